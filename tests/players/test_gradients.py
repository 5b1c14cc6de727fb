import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from neat_optax import value_and_player_grads

PARAMS = {"w": np.float32([1.0, -2.0, 0.5]), "b": np.asarray(0.25, np.float32)}
X = np.float32([[1.0, 2, 3], [-1, 0.5, 2], [0.0, 1, -1], [2.0, 2, -2]])
Y = np.float32([1.0, 0, -1, 2])


def example_loss(params, x, y):
    return (jnp.dot(params["w"], x) + params["b"] - y) ** 2


def all_losses(params, x, y):
    return jax.vmap(example_loss, (None, 0, 0))(params, x, y)


of_players = jax.jit(value_and_player_grads(all_losses))


def assert_trees_close(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_player_gradients_are_those_of_each_loss_alone():
    """(w . x + b - y)^2, and twice the difference times x and 1."""
    losses, gradients = of_players(PARAMS, x=X, y=Y)
    gaps = X @ PARAMS["w"] + PARAMS["b"] - Y
    np.testing.assert_allclose(losses, gaps**2, rtol=1e-6)
    assert_trees_close(gradients, {"w": 2 * gaps[:, None] * X, "b": 2 * gaps})


def test_one_forward_pass_serves_all_players():
    calls = []

    def counted(params, x, y):
        jax.debug.callback(lambda: calls.append(1))
        return all_losses(params, x, y)

    jax.jit(value_and_player_grads(counted))(PARAMS, X, Y)
    jax.effects_barrier()
    assert len(calls) == 1


def loss_of(index):
    return lambda params, x, y: example_loss(params, x[index], y[index])


@pytest.mark.parametrize(
    "functions",
    [
        [loss_of(i) for i in range(4)],
        tuple(loss_of(i) for i in range(4)),
        {name: loss_of(i) for i, name in enumerate("zyxw")},
    ],
    ids=lambda x: type(x).__name__,
)
def test_a_function_for_each_player_gives_the_same_in_their_order(functions):
    found = jax.jit(value_and_player_grads(functions))(PARAMS, X, Y)
    turn = -1 if isinstance(functions, dict) else 1  # keys are sorted
    in_turn = jax.device_get(of_players(PARAMS, X, Y))
    expected = jax.tree.map(lambda x: x[::turn], in_turn)
    assert_trees_close(found, expected)


def broken_loss(params, _, y):
    return jnp.sum(params["w"] * y[:3]) / jnp.sum(0 * y)


def both_losses(params, x, y):
    return [loss_of(0)(params, x, y), broken_loss(params, x, y)]


@pytest.mark.parametrize(
    "loss_fn",
    [[loss_of(0), broken_loss], both_losses],
    ids=["functions", "one function"],
)
def test_a_loss_that_is_not_finite_spoils_its_own_row(loss_fn):
    found = jax.jit(value_and_player_grads(loss_fn))(PARAMS, X, Y)
    losses, gradients = jax.device_get(found)
    expected = jax.device_get(of_players(PARAMS, X, Y))[1]
    np.testing.assert_allclose(gradients["w"][0], expected["w"][0], rtol=1e-6)
    assert not np.isfinite(losses[1]) and not np.any(np.isfinite(gradients["w"][1]))


def test_a_loss_that_is_not_finite_spoils_every_row_of_an_array():
    """As the docstring says: the pullback of each multiplies the others by zero."""

    def in_array(params, x, y):
        return jnp.stack(both_losses(params, x, y))

    losses, gradients = jax.jit(value_and_player_grads(in_array))(PARAMS, X, Y)
    assert np.isfinite(losses[0]) and not np.any(np.isfinite(gradients["w"]))


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_losses_may_come_in_a_list_or_a_dictionary(kind):
    """In the order that they have there, or of sorted keys, with one forward pass."""
    calls = []

    def named(params, x, y):
        jax.debug.callback(lambda: calls.append(1))
        losses = all_losses(params, x, y)
        return kind(zip("zyxw", losses, strict=True)) if kind is dict else kind(losses)

    found = jax.jit(value_and_player_grads(named))(PARAMS, X, Y)
    turn = -1 if kind is dict else 1
    in_turn = jax.device_get(of_players(PARAMS, X, Y))
    expected = jax.tree.map(lambda x: x[::turn], in_turn)
    assert_trees_close(found, expected)
    jax.effects_barrier()
    assert len(calls) == 1


def test_players_with_batches_of_their_own_cost_their_sum():
    def task(index):
        return lambda p, xs: jnp.mean(jnp.tanh(jnp.tanh(xs[index] @ p) @ p) ** 2)

    def flops(players):
        of_each = value_and_player_grads([task(i) for i in range(players)])
        arguments = jnp.ones((16, 16)), [jnp.ones((16, 16))] * players
        return jax.jit(of_each).lower(*arguments).compile().cost_analysis()["flops"]

    assert flops(8) < 4.5 * flops(2)


@pytest.mark.parametrize("chunk_size", [None, 1])
def test_inside_shard_map(chunk_size):
    """Parameters that vary over the mesh give the gradients of each device's data."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    of_both = value_and_player_grads(
        lambda p, x: jnp.mean((x @ p) ** 2, axis=0), chunk_size=chunk_size
    )

    def mean_over_devices(p, x):
        gradients = of_both(jax.lax.pcast(p, "data", to="varying"), x)[1]
        return jax.lax.pmean(gradients, "data")

    p = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    specs = dict(in_specs=(P(), P("data")), out_specs=P())
    found = jax.jit(jax.shard_map(mean_over_devices, mesh=mesh, **specs))(p, x)
    np.testing.assert_allclose(found, jax.jit(of_both)(p, x)[1], rtol=1e-5)


def test_aux_of_each_player_comes_back_like_the_functions():
    functions = {"b": lambda p: (p, {"x": p + 1}), "a": lambda p: (2 * p, ())}
    of_each = jax.jit(value_and_player_grads(functions, has_aux=True))
    (losses, aux), gradients = of_each(np.float32(3))
    np.testing.assert_allclose(losses, [6, 3])
    np.testing.assert_allclose(gradients, [2, 1])
    assert aux == {"b": {"x": 4.0}, "a": ()}


@pytest.mark.parametrize("chunk_size", [1, 3, 4, 7])
def test_chunks_change_nothing(chunk_size):
    in_chunks = jax.jit(value_and_player_grads(all_losses, chunk_size=chunk_size))
    assert_trees_close(in_chunks(PARAMS, X, Y), of_players(PARAMS, X, Y))


def test_aux_comes_back_beside_the_losses():
    def losses_and_sum(params, x, y):
        return all_losses(params, x, y), jnp.sum(x)

    with_sum = jax.jit(value_and_player_grads(losses_and_sum, has_aux=True))
    (_, total), _ = with_sum(PARAMS, X, Y)
    np.testing.assert_allclose(total, np.sum(X), rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_gradients_have_the_dtype_of_the_parameters(dtype):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    _, gradients = jax.eval_shape(value_and_player_grads(all_losses), params, X, Y)
    assert {g.dtype for g in jax.tree.leaves(gradients)} == {jnp.dtype(dtype)}


def test_complex_parameters_follow_jax_grad():
    """Of |p|^2 and of the real part of p^2: twice the conjugate, and 2 p."""
    params = np.complex64([1.0 + 2.0j, -1.0j])

    def losses(p):
        return jnp.stack([jnp.sum(jnp.abs(p) ** 2), jnp.sum(jnp.real(p * p))])

    _, gradients = jax.jit(value_and_player_grads(losses))(params)
    expected = [2 * params.conj(), 2 * params]
    np.testing.assert_allclose(gradients, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("loss_fn", "got"),
    [
        (lambda p: p.sum(), r"float32 of shape \(\)"),
        (lambda p: p[None], r"float32 of shape \(1, 3\)"),
        (lambda p: p + 1j, r"complex64 of shape \(3,\)"),
        (lambda p: float(p.ndim), "a float"),
    ],
)
def test_losses_of_another_shape_are_refused(loss_fn, got):
    message = rf"`loss_fn` must return real floats of shape \[P\], got {got}\."
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(value_and_player_grads(loss_fn), np.ones(3, np.float32))


@pytest.mark.parametrize("loss_fn", [all_losses, [loss_of(0)]])
def test_what_has_no_gradient_is_refused(loss_fn):
    params = {**PARAMS, "n": np.ones(2, np.int32)}
    message = (
        r"^`params` must have floating .* int32 at \['n'\]; leave other leaves out"
    )
    with pytest.raises(ValueError, match=message):
        value_and_player_grads(loss_fn)(params, X, Y)


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([np.float32(1), np.ones(3, np.float32)], r"shape \[\], got .* shape \(3,\)"),
        ({}, "`loss_fn` must return at least one loss, got {}"),
    ],
)
def test_losses_in_a_list_are_numbers(losses, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(value_and_player_grads(lambda _: losses), np.ones(3, np.float32))


def test_the_loss_of_one_player_is_one_number():
    with pytest.raises(ValueError, match=r"shape \[\], got float32 of shape \(3,\)"):
        of_each = value_and_player_grads([lambda p: p.sum(), lambda p: p])
        jax.eval_shape(of_each, np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: value_and_player_grads(3), "`loss_fn` must be a function, got 3"),
        (lambda: value_and_player_grads([all_losses, 3]), "be a function, got 3"),
        (lambda: value_and_player_grads({}), "must have at least one function, got {}"),
        (
            lambda: value_and_player_grads(all_losses, chunk_size=0),
            "`chunk_size` must be an integer >= 1, got 0",
        ),
        (
            lambda: value_and_player_grads(all_losses, has_aux=1),
            "`has_aux` must be True or False, got 1",
        ),
    ],
)
def test_bad_arguments_are_named_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()
