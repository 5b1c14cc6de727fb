"""Running moments of inputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import properties
import running
from neat_optax.continual import normalize_inputs

RNG = np.random.default_rng(0)
ROWS = (RNG.normal(size=(24, 3)) * [1, 1e-3, 1e3] + [1e3, 0, -5]).astype("f4")


def played(batches, **options):
    """The last state, and the last batch normalized."""
    normalizer = normalize_inputs(**options)

    @running.quick_jit
    def play(batches):
        start = normalizer.init(batches[0])
        step = lambda state, x: (normalizer.update(state, x), None)  # noqa: E731
        state = jax.lax.scan(step, start, batches)[0]
        return state, normalizer.apply(state, batches[-1])

    return jax.device_get(play(batches))


@pytest.mark.parametrize("size", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_moments_are_those_of_all_examples_whatever_the_batches(size):
    state, found = played(ROWS.reshape(-1, size, 3))
    wide = ROWS.astype(np.float64)
    np.testing.assert_allclose(state.mean, wide.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(state.variance, wide.var(axis=0), rtol=1e-4)
    assert float(state.weight) == 24
    expected = (wide[-size:] - wide.mean(axis=0)) / wide.std(axis=0)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def weighted(batches, decay):
    """Moments of all examples with the weights that a decay gives their batches."""
    wide = np.asarray(batches, np.float64)
    weights = decay ** np.arange(len(wide) - 1, -1, -1.0)
    weights = np.repeat(weights, wide.shape[1])
    rows = wide.reshape(-1, *wide.shape[2:])
    mean = np.average(rows, axis=0, weights=weights)
    return weights.sum(), mean, np.average((rows - mean) ** 2, axis=0, weights=weights)


def test_of_trees_with_a_decay_and_several_axes_of_examples():
    images = RNG.normal(size=(5, 2, 4, 4, 3)).astype("f4")
    pixels = RNG.integers(0, 256, size=(5, 2, 4, 4, 1)).astype("u1")
    batches = {"images": images, "pixels": pixels}
    normalizer = normalize_inputs(decay=0.75, axis=(0, 1, 2), epsilon=0.5, clip=1.25)

    @running.quick_jit
    def play(batches):
        start = normalizer.init(jax.tree.map(lambda x: x[0], batches))
        step = lambda state, x: (normalizer.update(state, x), None)  # noqa: E731
        state = jax.lax.scan(step, start, batches)[0]
        return state, normalizer.apply(state, jax.tree.map(lambda x: x[1], batches))

    state, found = jax.device_get(play(batches))
    for name, each in batches.items():
        rows = each.reshape(5, 32, -1)
        weight, mean, variance = weighted(rows, 0.75)
        properties.assert_trees_close(
            tuple(state[name]), (weight, mean, variance), rtol=1e-5
        )
        expected = np.clip((each[1] - mean) / np.sqrt(variance + 0.5), -1.25, 1.25)
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-5)
        assert found[name].dtype == np.float32


def test_parts_of_a_batch_and_states_are_merged_exactly():
    normalizer, named = normalize_inputs(), normalize_inputs(axis_name="data")
    mesh = jax.make_mesh((4,), ("data",), axis_types=(AxisType.Auto,))

    @running.quick_jit
    @functools.partial(
        jax.shard_map, mesh=mesh, in_specs=(P(), P("data")), out_specs=P()
    )
    def divided(state, x):
        return named.update(state, x)

    @running.quick_jit
    def both():
        start = normalizer.update(normalizer.init(ROWS), ROWS[:8])
        other = normalizer.update(normalizer.init(ROWS), ROWS[8:])
        return start, normalizer.merge(start, other), normalizer.update(start, ROWS[8:])

    start, merged, expected = jax.device_get(both())
    properties.assert_trees_close(merged, expected)
    found = jax.device_get(divided(start, ROWS[8:]))
    properties.assert_trees_close(found, expected, rtol=1e-5, atol=1e-6)


def test_what_does_not_vary_what_is_not_finite_and_what_is_not_there():
    normalizer = normalize_inputs(axis=-2)
    constant = np.tile(np.array([[0.1, 1e15, 0]], "f4"), (3001, 1))

    @running.quick_jit
    def all_of_them(constant, broken):
        start = normalizer.init(constant)
        state = normalizer.update(start, constant)
        unseen = normalizer.apply(start, constant)
        nothing = normalizer.update(state, constant[:0])
        return (
            normalizer.apply(state, constant),
            unseen,
            state,
            (nothing, normalizer.update(state, broken)),
        )

    broken = constant[:2] * np.array([[1.0], [np.nan]], "f4")
    found, unseen, state, same = jax.device_get(all_of_them(constant, broken))
    assert np.all(np.abs(found) <= 1e-6 * np.abs(constant))
    np.testing.assert_array_equal(unseen, constant)
    for other in same:
        properties.assert_trees_equal(other, state)


def test_what_does_not_vary_but_for_rounding_has_no_scale():
    """The mean of seven equal means need not be that mean."""
    constant = np.tile(10 * RNG.normal(size=64).astype("f4"), (7, 2, 1))
    named, normalizer = normalize_inputs(axis_name="parts"), normalize_inputs()

    @running.quick_jit
    def play(parts):
        start = named.init(parts[0])
        step = jax.vmap(named.update, in_axes=(None, 0), axis_name="parts")
        state = jax.tree.map(lambda x: x[0], step(start, parts))
        return state, normalizer.apply(state, parts[0])

    state, found = jax.device_get(play(constant))
    assert np.any(state.variance > 0)
    np.testing.assert_allclose(found, 0, atol=1e-4)


@pytest.mark.slow
def test_low_precision_and_single_examples():
    rows = ROWS[:, :2].astype(jnp.bfloat16)
    state, found = played(rows, axis=())
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(state.mean, wide.mean(axis=0), rtol=1e-5)
    assert (state.mean.dtype, found.dtype) == (np.float32, jnp.bfloat16)


@pytest.mark.slow
def test_no_derivative_goes_through_moments():
    normalizer = normalize_inputs()

    def total(x):
        state = normalizer.update(normalizer.init(x), x)
        return jnp.sum(normalizer.apply(state, x)), state

    slopes, state = jax.jit(jax.grad(total, has_aux=True))(ROWS)
    expected = np.broadcast_to(1 / np.sqrt(state.variance), ROWS.shape)
    np.testing.assert_allclose(slopes, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(decay=0.0), r"^`decay` must be in \(0, 1\], got 0\.0\.$"),
        (dict(epsilon=-1.0), r"^`epsilon` must be in \[0, inf\), got -1\.0\.$"),
        (dict(clip=0.0), r"^`clip` must be in \(0, inf\), got 0\.0\.$"),
        (dict(axis=0.5), r"^`axis` must be an integer, got 0\.5\.$"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        normalize_inputs(**options)


def test_inputs_that_do_not_fit():
    normalizer = normalize_inputs()
    state = jax.eval_shape(normalizer.init, ROWS)
    with pytest.raises(ValueError, match=r"^`inputs` must have the axes \(0,\) of"):
        normalizer.init(np.float32(1))
    with pytest.raises(ValueError, match=r"^`inputs` must have examples of the shape"):
        jax.eval_shape(normalizer.update, state, ROWS[:, :2])
    with pytest.raises(ValueError, match=r"^`inputs` must have examples of the shape"):
        jax.eval_shape(normalizer.apply, state, ROWS[:, :2])
    with pytest.raises(ValueError, match=r"^`inputs` must have the tree structure of"):
        jax.eval_shape(normalizer.apply, state, [ROWS])
