import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from neat_optax import value_and_example_grads
from properties import assert_trees_close

PARAMS = {"w": np.float32([1.0, -2.0, 0.5]), "b": np.asarray(0.25, np.float32)}
X = np.float32([[1.0, 2, 3], [-1, 0.5, 2], [0.0, 1, -1], [2.0, 2, -2]])
Y = np.float32([1.0, 0, -1, 2])


def example_loss(params, x, y):
    return (jnp.dot(params["w"], x) + params["b"] - y) ** 2


of_examples = jax.jit(value_and_example_grads(example_loss))
of_pairs = jax.jit(value_and_example_grads(example_loss, num_players=2))


def test_gradients_are_those_of_each_example_alone():
    """(w . x + b - y)^2, and twice the difference times x and 1."""
    losses, gradients = of_examples(PARAMS, X, Y)
    gaps = X @ PARAMS["w"] + PARAMS["b"] - Y
    np.testing.assert_allclose(losses, gaps**2, rtol=1e-6)
    expected = {"w": 2 * gaps[:, None] * X, "b": 2 * gaps}
    assert_trees_close(gradients, expected, rtol=1e-6)


def test_groups_are_consecutive_and_averaged():
    """So the mean of the players is the gradient of the batch."""
    one = jax.tree.map(np.asarray, of_examples(PARAMS, X, Y))
    pairs = jax.tree.map(lambda x: x.reshape(2, 2, *x.shape[1:]).mean(1), one)
    assert_trees_close(of_pairs(PARAMS, X, Y), pairs)


@pytest.mark.parametrize("chunk_size", [1, 3, 7])
def test_chunks_change_nothing(chunk_size):
    in_chunks = jax.jit(value_and_example_grads(example_loss, chunk_size=chunk_size))
    assert_trees_close(in_chunks(PARAMS, X, Y), of_examples(PARAMS, X, Y))


def test_memory_of_chunks_does_not_grow_with_the_players():
    def loss(params, x):
        return jnp.mean(jnp.tanh(jnp.tanh(x @ params) @ params) ** 2)

    def temporaries(players, **how):
        of_each = value_and_example_grads(loss, **how)
        arguments = jnp.ones((8, 8)), jnp.ones((players, 256, 8))
        compiled = jax.jit(of_each).lower(*arguments).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    copied = 56 * 256 * 8 * 4  # XLA may arrange the batch anew
    assert temporaries(64, chunk_size=2) <= temporaries(8, chunk_size=2) + copied
    assert temporaries(64) > 4 * temporaries(64, chunk_size=2)


def test_aux_comes_back_in_the_order_of_the_batch():
    def loss_and_target(params, x, y):
        return example_loss(params, x, y), {"seen": y}

    of_pairs = value_and_example_grads(loss_and_target, num_players=2, has_aux=True)
    (losses, aux), _ = jax.jit(of_pairs)(PARAMS, X, Y)
    assert losses.shape == (2,)
    np.testing.assert_array_equal(aux["seen"], Y)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_gradients_have_the_dtype_of_the_parameters(dtype):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    _, gradients = jax.eval_shape(of_pairs, params, X, Y)
    assert {g.dtype for g in jax.tree.leaves(gradients)} == {jnp.dtype(dtype)}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((X, Y[:3]), r"`batch` must have .* got shapes \(4, 3\), \(3,\)"),
        ((X, np.asarray(1.0)), r"`batch` must have .* got shapes \(4, 3\), \(\)"),
        ((X[:0], Y[:0]), r"`batch` must have .* got shapes \(0, 3\), \(0,\)"),
        ((), "`batch` must have .* got shapes of no leaf"),
        ((X[:3], Y[:3]), "`num_players` must divide the batch of 3 examples, got 2"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused(batch, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(of_pairs, PARAMS, *batch)


def test_the_loss_of_an_example_is_one_number():
    message = r"real floats of shape \[\], got float32 of shape \(3,\)"
    with pytest.raises(ValueError, match=message):
        scaled = value_and_example_grads(lambda p, x: p["w"] * x)
        jax.eval_shape(scaled, PARAMS, X)


def test_the_number_of_groups_is_checked_at_once():
    with pytest.raises(
        ValueError, match="`num_players` must be an integer >= 1, got 0"
    ):
        value_and_example_grads(example_loss, num_players=0)


def mean_of_players():
    return optax.stateless(lambda u, _: jax.tree.map(lambda g: g.mean(0), u))


def test_a_linen_model_learns_from_gradients_per_example():
    model = nn.Dense(1)
    params = model.init(jax.random.key(0), X)["params"]
    tx = optax.chain(mean_of_players(), optax.adam(0.05))

    def loss(params, x, y):
        return jnp.mean((model.apply({"params": params}, x)[..., 0] - y) ** 2)

    @jax.jit
    def step(params, state):
        losses, grads = value_and_example_grads(loss)(params, X, Y)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state, losses.mean()

    state, history = tx.init(params), []
    for _ in range(30):
        params, state, value = step(params, state)
        history.append(value)
    assert history[-1] < 0.5 * history[0]


def test_an_nnx_model_learns_from_gradients_per_example():
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    tx = optax.chain(mean_of_players(), optax.adam(0.05))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        graph, params = nnx.split(model, nnx.Param)

        def loss(params, x, y):
            return jnp.mean((nnx.merge(graph, params)(x) - y) ** 2)

        losses, grads = value_and_example_grads(loss)(params, X, Y)
        optimizer.update(model, grads)
        return losses.mean()

    history = [step(model, optimizer) for _ in range(30)]
    assert history[-1] < 0.5 * history[0]
