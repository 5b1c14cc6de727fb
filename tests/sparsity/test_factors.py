"""The proximal maps alone, against minimizers of what they say they minimize."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import optimize

import samplers
from neat_optax.sparsity import _factors

ULP = np.finfo(np.float32).eps
SHAPE = (4, 3)
PENALTIES = {
    "soft": lambda x, level: level * np.abs(x),
    "elastic": lambda x, l1, l2: l1 * np.abs(x) + l2 / 2 * x**2,
    "hard": lambda x, level: level * (x != 0),
    "nonnegative": lambda x, level: np.where(x < 0, 1e6, level * x),
    "group": lambda x, level: level * np.linalg.norm(x, axis=0),
}
FACTORS = {name: jax.jit(getattr(_factors, name)) for name in PENALTIES}
EACH = pytest.mark.parametrize("name", PENALTIES)


@st.composite
def problems(draw, name):
    """A point, a metric over two decades or None, and levels that prune some of it."""
    rng = np.random.default_rng(draw(samplers.seeds))
    z, logs = rng.normal(size=(2, *SHAPE)).astype("f4")
    metric = draw(st.sampled_from([None, 10 ** np.clip(logs, -1, 1)]))
    levels = 10 ** rng.uniform(-2, 0.5, size=2 if name == "elastic" else 1)
    return z, metric, *levels.astype("f4")


def shrunk(name, z, metric, *levels):
    """The minimizer that the package finds, in float64."""
    metric = None if metric is None else jnp.asarray(metric, jnp.float32)
    factor = FACTORS[name](jnp.asarray(z, jnp.float32), metric, *levels)
    return np.asarray(factor, np.float64) * z


def objective(name, z, metric, *levels):
    """For each entry or group, as a function of the whole array."""
    weight = np.ones(SHAPE) if metric is None else np.asarray(metric, np.float64)

    def value(x):
        near = weight / 2 * (x - z.astype(np.float64)) ** 2
        if name == "group":
            near = near.sum(axis=0)
        return PENALTIES[name](x, *map(float, levels)) + near

    return value


def minimized(z, value):
    """The better of zero and the best point between zero and `z`, by search."""
    best = np.zeros(SHAPE)
    for index in np.ndindex(SHAPE):

        def one(x, index=index):
            point = np.zeros(SHAPE)
            point[index] = x
            return value(point)[index]

        ends = sorted((0.0, float(z[index])))
        found = optimize.minimize_scalar(
            one, bounds=ends, method="bounded", options={"xatol": 1e-9}
        ).x
        best[index] = found if one(found) < one(0.0) else 0.0
    return best


def minimized_group(z, value):
    """The better of zero and a descent from `z`, group by group."""
    best = np.zeros(SHAPE)
    for column in range(SHAPE[1]):

        def one(x, column=column):
            point = np.zeros(SHAPE)
            point[:, column] = x
            return value(point)[column]

        start = z[:, column].astype(np.float64)
        options = {"xatol": 1e-9, "fatol": 1e-15, "maxiter": 4000, "maxfev": 4000}
        found = optimize.minimize(one, start, method="Nelder-Mead", options=options).x
        best[:, column] = found if one(found) < one(0 * start) else 0.0
    return best


@pytest.mark.parametrize("name", [name for name in PENALTIES if name != "group"])
@given(data=st.data())
def test_a_map_finds_the_minimizer(name, data):
    problem = data.draw(problems(name))
    value, x = objective(name, *problem), shrunk(name, *problem)
    best = minimized(problem[0], value)
    # A penalty on the number of weights has two minima, which may be equally good.
    gap = value(0 * best) - value(problem[0])
    assume(name != "hard" or np.abs(gap).min() > 1e-5)
    np.testing.assert_allclose(x, best, atol=1e-5)


def assert_minimizes_groups(problem):
    value, x = objective("group", *problem), shrunk("group", *problem)
    best = minimized_group(problem[0], value)
    np.testing.assert_allclose(x, best, atol=1e-5)


@settings(max_examples=5)
@given(problem=problems("group"))
def test_the_map_of_groups_finds_the_minimizer(problem):
    assert_minimizes_groups(problem)


@pytest.mark.slow
@given(problem=problems("group"))
def test_the_map_of_groups_finds_the_minimizer_often(problem):
    assert_minimizes_groups(problem)


@EACH
@given(data=st.data(), size=st.sampled_from([1e-3, 1e-1, 1.0]))
def test_no_point_nearby_is_better(name, data, size):
    problem = data.draw(problems(name))
    value, x = objective(name, *problem), shrunk(name, *problem)
    rng = np.random.default_rng(data.draw(samplers.seeds))
    for _ in range(20):
        assert np.all(value(x) <= value(x + size * rng.normal(size=SHAPE)) + 1e-6)


@EACH
@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e10, 1e18])
def test_maps_are_free_of_scale(name, scale):
    """Parameters in other units, with levels in theirs, get the same factors."""
    z = np.random.default_rng(0).normal(size=SHAPE)
    metric = np.exp(np.random.default_rng(1).normal(size=SHAPE))
    power = {"hard": 2, "elastic": 1}.get(name, 1)
    if scale**power < 1e-37 or scale**power > 1e37:
        pytest.skip("the level itself is no float32")
    levels = (0.8 * scale**power, 0.5)[: 2 if name == "elastic" else 1]
    plain = (0.8, 0.5)[: len(levels)]
    for weight in (None, metric):
        actual = shrunk(name, z * scale, weight, *levels) / scale
        np.testing.assert_allclose(actual, shrunk(name, z, weight, *plain), rtol=1e-5)


def test_a_constant_metric_is_the_closed_form():
    z = np.random.default_rng(0).normal(size=(6, 50)).astype("f4")
    norm = np.linalg.norm(z.astype(np.float64), axis=0)
    for constant in (1e-6, 0.3, 1.0, 1e5):
        x = shrunk("group", z, np.full(z.shape, constant), constant * 2.0)
        expected = z * np.maximum(1 - 2 / norm, 0)
        np.testing.assert_allclose(x, expected, atol=4 * ULP * norm.max())


def hard_groups(rng, size=8):
    """A group near its threshold, entries and metric over many decades.

    In every second one, the entry with the largest metric is tiny, so that Newton's
    method alone would follow it for long.
    """
    z = rng.normal(size=size) * 10 ** rng.uniform(-rng.choice([0, 3, 6]), 0, size=size)
    metric = 10 ** rng.uniform(-rng.choice([0.1, 2, 8]), 0, size=size)
    if rng.random() < 0.5:
        z[0], metric[0] = 10 ** rng.uniform(-9, -1), 10 ** rng.uniform(0, 4)
    z, metric = z.astype("f4"), metric.astype("f4")
    force = np.linalg.norm((z * metric.astype(np.float64))[rng.integers(2) :])
    return (
        z,
        metric,
        np.float32(force * (1 - rng.choice([-1, 1]) * 10 ** rng.uniform(-5, 0))),
    )


def by_bisection(z, metric, strength):
    """The shrunk group, from its equation in float64."""
    z, metric, strength = (np.asarray(x, np.float64) for x in (z, metric, strength))
    if np.linalg.norm(z * metric) <= strength:
        return 0 * z

    def gap(log):
        norm = np.exp(log)
        return np.linalg.norm(metric * z / (norm * metric + strength)) - 1

    longest = np.log(np.linalg.norm(z))
    norm = np.exp(optimize.brentq(gap, longest - 80, longest, xtol=1e-14))
    return metric * z * norm / (norm * metric + strength)


def test_groups_are_right_to_a_few_units_in_the_last_place():
    rng = np.random.default_rng(0)
    draws = [hard_groups(rng) for _ in range(400)]
    columns = jax.jit(jax.vmap(lambda *one: _factors.group(*one, ()), in_axes=1))
    z, metric = (np.stack([draw[i] for draw in draws], axis=1) for i in (0, 1))
    strength = np.array([draw[2] for draw in draws])
    factors = columns(jnp.asarray(z), jnp.asarray(metric), jnp.asarray(strength[None]))
    pruned = 0
    for draw, factor in zip(draws, np.asarray(factors, np.float64), strict=True):
        wanted = by_bisection(*draw)
        error = np.abs(factor * draw[0] - wanted).max()
        assert error <= 4 * ULP * np.abs(draw[0]).max()
        pruned += not np.any(wanted)
    assert 20 < pruned < 380
