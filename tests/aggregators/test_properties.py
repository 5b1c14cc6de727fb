"""What the aggregators promise, on samples that prove what they are.

`non_conflict`, `permutation`, `linear_under_scaling` and `stationarity` are the
properties that TorchJD tests; the gates are tighter, and the samples harder.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samplers
import stepping
import weight_rules
from neat_optax import aggregators
from oracle import aggregators as oracle

HARMLESS = {
    "upgrad": {},
    "dual_proj": {},
    "mgda": {},
    "cagrad": {"c": 1.0},
    "fairgrad": {"alpha": 1.0},
}
CONFLICT = 1e-4


def each(names):
    return pytest.mark.parametrize("name", names)


@each(HARMLESS)
@pytest.mark.parametrize("decades", [0.0, 6.0, 12.0])
def test_non_conflict(name, decades):
    """On gradients that can all be served, with lengths over up to 12 decades."""

    @given(samplers.improvable(decades=decades))
    def check(j):
        update = weight_rules.update(name, j, **HARMLESS[name])
        assert np.any(update)
        assert oracle.conflict(j, update) <= CONFLICT

    check()


@each(["upgrad", "dual_proj", "mgda"])
@given(j=samplers.degenerate())
def test_non_conflict_of_degenerate_gradients(name, j):
    """With zero rows, duplicates and dependent rows; CAGrad's mean may be harmed."""
    update = weight_rules.update(name, j)
    longest = np.linalg.norm(j, axis=1).max()
    if np.linalg.norm(update) > 1e-3 * longest:  # shorter ones are stationary points'
        assert oracle.conflict(j, update) <= 1e-3  # a direction made of few digits


ORDERLESS = {
    "upgrad": {},
    "dual_proj": {},
    "mgda": {},
    "cagrad": {"c": 0.5},
    "fairgrad": {"alpha": 2.0},
    "imtl_g": {},
    "config": {},
    "aligned_mtl": {},
    "geometric_median": {},
    "krum": {"num_byzantine": 1, "num_selected": 2},
    "neat": {"alpha": 1.0},
}


@pytest.mark.fast("upgrad", "cagrad", "fairgrad", "krum", "neat")
@each(ORDERLESS)
@given(j=samplers.improvable(shapes=[(5, 20), (7, 7)]), seed=samplers.seeds)
def test_permutation(name, j, seed):
    """Players in another order have their weights in this order."""
    order = np.random.default_rng(seed).permutation(len(j))
    given = ORDERLESS[name]
    straight = weight_rules.weights(name, j, **given)[order]
    mixed = weight_rules.weights(name, j[order], **given)
    # Cosines of -0.9 with a hidden share of 0.1: conditions of up to 1e3.
    scale = np.max(np.abs(straight))
    np.testing.assert_allclose(mixed / scale, straight / scale, atol=1e-4)


@given(
    samplers.improvable(decades=2.0),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 4.0]),
)
def test_linear_under_scaling(j, seed, decades):
    """UPGrad of `diag(a) J` and of `diag(b) J` add up to that of `diag(a + b) J`."""
    rng = np.random.default_rng(seed)
    exponents = rng.uniform(-decades / 2, decades / 2, size=(2, len(j)))
    a, b = rng.uniform(size=(2, len(j))) * 10.0**exponents
    parts = [weight_rules.update("upgrad", s[:, None] * j) for s in (a, b)]
    whole = weight_rules.update("upgrad", (a + b)[:, None] * j)
    unit = np.linalg.norm(parts[0]) + np.linalg.norm(parts[1])
    assert np.linalg.norm(parts[0] + parts[1] - whole) <= 1e-4 * unit


@each(["dual_proj", "mgda", "cagrad", "fairgrad", "imtl_g"])
def test_others_are_not_linear_under_scaling(name):
    """The test above can fail: two gradients of which one is doubled."""
    j = np.array([[1.0, 0.0], [-0.5, 1.0]])
    given = HARMLESS.get(name, {})
    one = weight_rules.update(name, j, **given)
    two = weight_rules.update(name, np.diag([1.0, 5.0]) @ j, **given)
    three = weight_rules.update(name, np.diag([2.0, 6.0]) @ j, **given)
    assert np.linalg.norm(one + two - three) > 1e-2 * np.linalg.norm(three)


STATIONARY = ("upgrad", "dual_proj", "mgda")


SHAPE = (3, 10)
MEASURED = {
    name: getattr(aggregators, name)(num_players=SHAPE[0], monitor=True)
    for name in STATIONARY
}


def measure(name, j):
    """The update and the measures of one step."""
    update, state = stepping.step(MEASURED[name], j)
    return update.astype(np.float64), state.recorded.latest


@pytest.mark.fast("upgrad")
@each(STATIONARY)
def test_stationary_gives_near_zero(name):
    """Where some combination is zero: to the root of the rounding of a Gramian."""

    @given(samplers.stationary(shapes=[SHAPE]))
    def check(j):
        update, measures = measure(name, j)
        longest = np.linalg.norm(j, axis=1).max()
        assert np.linalg.norm(update) <= 5e-3 * longest
        assert measures.min_norm_ratio[0] <= 5e-3

    check()


@pytest.mark.fast("upgrad")
@each(STATIONARY)
def test_near_zero_only_if_stationary(name):
    """By contraposition: every unit row has 0.1 along a direction, and gains it."""

    @given(samplers.improvable(shapes=[SHAPE]))
    def check(j):
        update, measures = measure(name, j)
        assert np.linalg.norm(update) >= 0.099
        assert measures.min_norm_ratio[0] >= 0.099

    check()


@given(samplers.stationary())
def test_bargain_without_a_solution_is_exactly_zero(j):
    for alpha in (0.5, 1.0, 2.0):
        assert not np.any(weight_rules.weights("fairgrad", j, alpha=alpha))


SCALES = (-20, -10, 10, 20)
BY_SCALE = {
    "upgrad": (MEASURED["upgrad"], 1.0),
    "dual_proj": (MEASURED["dual_proj"], 1.0),
    "mgda": (MEASURED["mgda"], 1.0),
    "cagrad": (aggregators.cagrad(0.5), 1.0),
    "fairgrad": (aggregators.fairgrad(2.0), -1 / 3),
    "imtl_g": (aggregators.imtl_g(), 1.0),
    "config": (aggregators.conflict_free(), 1.0),
    "aligned_mtl": (aggregators.aligned_mtl(), 1.0),
    "pcgrad": (aggregators.pcgrad(key=None), 1.0),
    "gradvac": (aggregators.gradvac(key=None, num_players=3), 1.0),
    "geometric_median": (aggregators.geometric_median(), 1.0),
    "krum": (aggregators.krum(0), 1.0),
    "pcd": (aggregators.pcd(0.1, num_players=3), 1.0),
    "db_mtl": (aggregators.db_mtl(num_players=3), 1.0),
    "sdmgrad": (aggregators.sdmgrad(num_players=3), 1.0),
}
"""Each with the power of the scale that its update has."""


@pytest.mark.fast("upgrad", "fairgrad", "pcgrad", "krum")
@each(BY_SCALE)
def test_global_scale(name):
    """Gradients of 1e-20 to 1e20, whose squares leave float32, change nothing else."""
    tx, power = BY_SCALE[name]
    j = np.random.default_rng(0).normal(size=SHAPE) + 0.3
    j[1] = -j[0] + 0.3 * j[1]
    expected = stepping.step(tx, j)[0].astype(np.float64)
    for exponent in SCALES:
        update = stepping.step(tx, j * 10.0**exponent)[0].astype(np.float64)
        update *= 10.0 ** (-exponent * power)
        np.testing.assert_allclose(
            update, expected, rtol=1e-4, atol=1e-4 * np.max(np.abs(expected))
        )


@pytest.mark.parametrize("exponent", [-20, 20])
def test_rows_of_many_lengths_at_a_far_scale(exponent):
    """12 decades between the rows, and all of them far from 1."""

    @given(samplers.improvable(shapes=[SHAPE], decades=12.0))
    def check(j):
        update, _ = stepping.step(MEASURED["upgrad"], j * 10.0**exponent)
        assert oracle.conflict(j, update.astype(np.float64)) <= CONFLICT

    check()
