import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from neat_optax import (
    aggregate_shared,
    aggregators,
    diagnostics,
    param_players,
    shared_params,
    value_and_player_grads,
)
from properties import assert_trees_close

PARAMS = {
    "heads": [np.float32([1.0, 2.0]), np.float32([0.5, -1.0])],
    "trunk": np.ones((3, 2), np.float32),
}
SHARED = {"heads": [False, False], "trunk": True}
X = np.float32([1.0, -1.0, 2.0])


def losses(params, x):
    hidden = x @ params["trunk"]
    return jnp.stack([jnp.sum((hidden * head) ** 2) for head in params["heads"]])


def mean():
    return optax.stateless(lambda u, _: jax.tree.map(lambda g: g.mean(0), u))


def players_times(name):
    """The mean over players times an extra argument [P] or a tree [P, ...]."""

    def update(updates, state, params=None, **extra):
        del params
        factor = extra[name]
        if jnp.ndim(factor) if not isinstance(factor, dict) else 0:
            factor = jax.tree.map(lambda _: factor, updates)

        def leaf(g, f):
            return jnp.mean(g * f.reshape(f.shape + (1,) * (g.ndim - f.ndim)), axis=0)

        return jax.tree.map(leaf, updates, factor), state

    return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)


def first(tx, gradients, **extra):
    """One first step."""

    def step(gradients, extra):
        return tx.update(gradients, tx.init(PARAMS), PARAMS, **extra)

    return jax.jit(step)(gradients, extra)


def test_the_trunk_is_shared_and_the_heads_are_not():
    assert shared_params(losses, PARAMS, X) == SHARED


def test_shapes_are_enough():
    shapes = jax.eval_shape(lambda: (PARAMS, X))
    assert shared_params(losses, *shapes) == SHARED


def test_one_player_shares_nothing_and_an_unused_leaf_is_not_shared():
    def first(params, x):
        return losses(params, x)[:1]

    found = shared_params(first, {**PARAMS, "unused": np.ones(2, np.float32)}, X)
    assert found == {"heads": [False, False], "trunk": False, "unused": False}


def test_aux_is_left_aside():
    def with_aux(params, x):
        return losses(params, x), params["heads"][0].sum()

    assert shared_params(with_aux, PARAMS, X, has_aux=True) == SHARED


def one_loss(number):
    return lambda params, x: losses(params, x)[number]


@pytest.mark.parametrize(
    "loss_fn",
    [
        lambda params, x: dict(zip("ba", losses(params, x)[::-1], strict=True)),
        {"b": one_loss(1), "a": one_loss(0)},
        [one_loss(0), one_loss(1)],
    ],
    ids=["dictionary", "functions by name", "functions"],
)
def test_every_form_of_losses_is_followed_in_its_order(loss_fn):
    assert shared_params(loss_fn, PARAMS, X) == SHARED
    first, second = param_players(loss_fn, PARAMS, X)["heads"]
    assert (first.tolist(), second.tolist()) == ([True, False], [False, True])


def test_losses_must_be_a_vector():
    with pytest.raises(ValueError, match=r"of shape \[P\], got float32 of shape \(\)"):
        shared_params(lambda p, x: losses(p, x).sum(), PARAMS, X)


def test_trunk_is_aggregated_and_heads_are_summed():
    tx = aggregate_shared(mean(), SHARED)
    _, gradients = jax.jit(value_and_player_grads(losses))(PARAMS, X)
    updates, _ = first(tx, gradients)
    total = jax.jit(jax.grad(lambda p: losses(p, X).sum()))(PARAMS)
    np.testing.assert_allclose(updates["trunk"], total["trunk"] / 2, rtol=1e-6)
    for found, expected in zip(updates["heads"], total["heads"], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_another_aggregator_for_the_rest():
    tx = aggregate_shared(mean(), SHARED, rest=mean())
    gradients = jax.tree.map(lambda p: np.stack([p, 3 * p]), PARAMS)
    updates, _ = first(tx, gradients)
    np.testing.assert_allclose(updates["heads"][0], 2 * PARAMS["heads"][0])


def test_extra_arguments_go_through_and_trees_are_divided():
    gradients = jax.tree.map(lambda p: np.stack([p, p]), PARAMS)
    factor = np.float32([2.0, 4.0])
    tx = aggregate_shared(players_times("losses"), SHARED)
    updates, _ = first(tx, gradients, losses=factor)
    np.testing.assert_allclose(updates["trunk"], 3 * PARAMS["trunk"])
    second = jax.tree.map(lambda g: 5 * np.ones_like(g), gradients)
    tx = aggregate_shared(players_times("second_batch"), SHARED)
    updates, _ = first(tx, gradients, second_batch=second)
    np.testing.assert_allclose(updates["trunk"], 5 * PARAMS["trunk"])


def test_a_library_aggregator_sees_the_trunk_alone():
    tx = aggregate_shared(aggregators.pcgrad(num_players=2, monitor=True), SHARED)
    gradients = {
        "heads": [np.float32([[1.0, 1], [0, 0]]), np.float32([[0.0, 0], [2, 2]])],
        "trunk": np.stack([PARAMS["trunk"], -PARAMS["trunk"]]),
    }
    extra = {"losses": np.ones(2, np.float32), "present": np.array([True, True])}

    @jax.jit
    def step(extra):
        updates, state = tx.update(gradients, tx.init(PARAMS), PARAMS, **extra)
        return updates, diagnostics(state)["worst_cosine"].latest

    updates, worst = step(extra)
    np.testing.assert_allclose(updates["trunk"], 0 * PARAMS["trunk"], atol=1e-6)
    np.testing.assert_array_equal(updates["heads"][1], [2.0, 2.0])
    assert worst < -0.999
    extra["present"] = np.array([True, False])
    updates, _ = step(extra)
    np.testing.assert_allclose(updates["trunk"], PARAMS["trunk"], rtol=1e-6)
    np.testing.assert_array_equal(updates["heads"][1], [0.0, 0.0])


def test_one_label_serves_a_whole_branch():
    gradients = jax.tree.map(lambda p: np.stack([p, 3 * p]), PARAMS)
    found = []
    for shared in (SHARED, {"heads": False, "trunk": True}):
        tx = aggregate_shared(mean(), shared)
        found.append(first(tx, gradients)[0])
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_is_one_transformation_of_a_chain_under_jit():
    tx = optax.chain(aggregate_shared(mean(), SHARED), optax.sgd(0.01))

    @jax.jit
    def step(params, state):
        values, gradients = value_and_player_grads(losses)(params, X)
        updates, state = tx.update(gradients, state, params, losses=values)
        return optax.apply_updates(params, updates), state, values.sum()

    params, state = PARAMS, tx.init(PARAMS)
    history = []
    for _ in range(10):
        params, state, value = step(params, state)
        history.append(value)
    assert history[-1] < history[0]


class Shared(nnx.Module):
    def __init__(self, rngs):
        self.trunk = nnx.Linear(3, 4, rngs=rngs)
        self.heads = nnx.List([nnx.Linear(4, 1, rngs=rngs) for _ in range(2)])

    def __call__(self, x):
        hidden = nnx.relu(self.trunk(x))
        return jnp.concatenate([head(hidden) for head in self.heads], axis=-1)


@pytest.mark.slow
def test_an_nnx_model_is_divided_and_learns():
    model = Shared(nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    y = np.ones((8, 2), np.float32)
    graph, params = nnx.split(model, nnx.Param)

    def model_losses(params, x, y):
        return jnp.mean((nnx.merge(graph, params)(x) - y) ** 2, axis=0)

    shared = shared_params(model_losses, nnx.as_pure(params), x, y)
    assert jax.tree.leaves(shared) == [False] * 4 + [True] * 2
    tx = optax.chain(aggregate_shared(mean(), shared), optax.sgd(0.1))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    history = []

    @nnx.jit
    def step(model, optimizer):
        params = nnx.state(model, nnx.Param)
        values, grads = value_and_player_grads(model_losses)(params, x, y)
        optimizer.update(model, grads, losses=values)
        return values.sum()

    for _ in range(10):
        history.append(step(model, optimizer))
    assert history[-1] < history[0]


def test_a_tree_of_another_structure_is_refused():
    tx = aggregate_shared(mean(), {"trunk": True})
    with pytest.raises(ValueError, match="`shared` must have the tree structure"):
        tx.init(PARAMS)


def test_labels_are_true_or_false():
    with pytest.raises(ValueError, match="`shared` must be True or False, got 1"):
        aggregate_shared(mean(), {"trunk": 1})


def test_flags_of_a_flax_state_serve_its_plain_dictionary():
    """The optimizer of NNX sees a dictionary where the model has a state."""
    model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    state = nnx.state(model, nnx.Param)
    flags = jax.tree.map(lambda _: True, state)
    tx = aggregate_shared(aggregators.mean(), flags)
    params = nnx.as_pure(state)
    stack = jax.tree.map(lambda p: jnp.stack([p, 3 * p]), params)
    update, _ = jax.jit(lambda g: tx.update(g, tx.init(params), params))(stack)
    assert_trees_close(update, jax.tree.map(lambda p: 2 * p, params))
