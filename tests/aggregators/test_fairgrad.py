import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import samplers
import stepping
import weight_rules
from neat_optax import aggregators
from oracle import aggregators as oracle

KINDS = {"FairGrad_a0.5": 0.5, "NashMTL_FairGrad_a1": 1.0, "FairGrad_a2": 2.0}
EPS = np.finfo(np.float32).eps
FAIR = {alpha: aggregators.fairgrad(alpha) for alpha in (1.0, 2.0)}


def check_residual(gramian, weights, alpha):
    """`g_i . u = w_i^(-1/alpha)` to 1e-4, or to what float32 holds.

    A gain is a sum of terms. Where they cancel, rounding the weights alone violates the
    condition by `eps` times their absolute sum. Returns whether it exceeds 1e-4.
    """
    wanted = weights ** (-1 / alpha)
    residual = np.abs(gramian @ weights / wanted - 1)
    rounding = 8 * EPS * (np.abs(gramian) @ weights) / wanted
    assert np.all(residual <= np.maximum(1e-4, rounding)), np.max(residual)
    return np.max(residual) > 1e-4


@pytest.mark.parametrize(
    ("alpha", "expected"), [(0.5, [1 / 4, 1 / 9]), (1.0, [1 / 8, 1 / 27])]
)
def test_by_hand(alpha, expected):
    """Rows at right angles: w_i = n_i^(-2 alpha / (1 + alpha))."""
    j = np.diag([8.0, 27.0])
    weights = weight_rules.weights("fairgrad", j, alpha=alpha)
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gate_on_the_exact_answers(kind):
    """Residuals of 1e-4, but for a cosine of -0.9997 and lengths from 1e-6 to 1e6."""
    alpha, answers, cancel = KINDS[kind], goldens.cases("exact", kind), set()
    for name, expected in answers.items():
        if expected is None:
            continue
        j = goldens.MATRICES[name]
        weights = weight_rules.weights("fairgrad", j, alpha=alpha)
        cancel |= {name} if check_residual(j @ j.T, weights, alpha) else set()
        assert goldens.error(weights @ j, expected, j) <= 2e-4, name
    assert cancel <= {"conflict_2x3", "scales_5x20"}


@pytest.mark.fast("2.0")
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@given(j=samplers.improvable(decades=4.0))
def test_agrees_with_the_oracle(j, alpha):
    weights = weight_rules.weights("fairgrad", j, alpha=alpha)
    check_residual(j @ j.T, weights, alpha)
    assert goldens.error(weights @ j, oracle.fairgrad(j, alpha), j) <= 2e-4


def test_without_a_solution_all_weights_are_zero():
    names = [n for n, v in goldens.cases("exact", "FairGrad_a2").items() if v is None]
    assert len(names) == 5
    for name in names:
        weights = weight_rules.weights("fairgrad", goldens.MATRICES[name], alpha=2.0)
        if name != "zero_row_3x10":
            assert not np.any(weights), name


def test_zero_rows_are_left_out():
    j = goldens.MATRICES["zero_row_3x10"]
    kept = np.any(j != 0, axis=1)
    weights = weight_rules.weights("fairgrad", j, alpha=1.0)
    alone = weight_rules.weights("fairgrad", j[kept], alpha=1.0)
    assert not np.any(weights[~kept])
    np.testing.assert_allclose(weights[kept], alone, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", goldens.DATA["gramians"])
def test_realistic_gramians(name):
    recorded = goldens.DATA["gramians"][name]
    gramian = np.array(recorded["gramian"])
    small = gramian.astype(np.float32)
    weights = weight_rules.decide("fairgrad", small, weight_rules.LARGE, alpha=1.0)
    assert np.all(weights > 0)
    assert not check_residual(gramian, weights, 1.0)
    exact = recorded["exact"]["NashMTL_FairGrad_a1"]["inner_products"]
    np.testing.assert_allclose(gramian @ weights, exact, rtol=1e-4)


@pytest.mark.parametrize("power", [-15, 0, 15])
def test_length_at_any_scale(power):
    """`s^((1 - alpha) / (1 + alpha))`: 1e5 or 1e-5 for alpha 2 and 10^15."""
    j = np.diag([1.0, 4.0]) * 10.0**power
    for alpha, expected in ((1.0, 2**0.5), (2.0, (1 + 4 ** (-2 / 3)) ** 0.5)):
        update, _ = stepping.step(FAIR[alpha], j)
        scaled = expected * 10.0 ** (power * (1 - alpha) / (1 + alpha))
        np.testing.assert_allclose(np.linalg.norm(update), scaled, rtol=1e-5)


@pytest.mark.slow
def test_nash_mtl_is_alpha_one():
    g = np.array([[1.0, 0.2], [-0.5, 3.0]])
    one, two = (stepping.step(tx, g)[0] for tx in (aggregators.nash_mtl(), FAIR[1.0]))
    np.testing.assert_array_equal(one, two)


@pytest.mark.slow
def test_float64():
    for name, expected in goldens.cases("exact", "NashMTL_FairGrad_a1").items():
        if expected is not None:
            j = goldens.MATRICES[name]
            update = weight_rules.update("fairgrad", j, np.float64, alpha=1.0)
            assert goldens.error(update, expected, j) < 1e-9, name
