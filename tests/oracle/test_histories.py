"""The oracle of aggregators that remember, against recordings and by hand."""

import numpy as np
import pytest

import aggregator_goldens as goldens
from oracle import histories

MATRICES = goldens.MATRICES
SEQUENCES = goldens.DATA["sequences"]
LOG3 = np.log(3.0)

# TorchJD adds 1e-8 to products of norms; the oracle adds nothing.
GRADVAC_TOLERANCE = 1e-7
GRADVAC_SMALL_ROWS = {"scales_5x20": "two rows below 1e-2: 1e-8 is not small to them"}

RUNS = {
    "torchjd.ExcessMTL": histories.excess_mtl,
    "torchjd.ExcessMTL_warm2": lambda js: histories.excess_mtl(js, warmup=2),
    "torchjd.PCD": histories.pcd,
    "torchjd.PCD_tau0.5_beta0.9": lambda js: histories.pcd(js, tau=0.5, decay=0.9),
}


def matrices(name):
    return np.array(SEQUENCES[name]["matrices"])


def recorded(name, method, field="vector"):
    """What was recorded at each step."""
    return [np.array(s[field]) for s in SEQUENCES[name]["results"][method]["steps"]]


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("method", RUNS)
def test_runs_agree_with_torchjd(method, name):
    js = matrices(name)
    expected = recorded(name, method)
    for actual, vector, j in zip(RUNS[method](js), expected, js, strict=True):
        assert goldens.error(actual, vector, j) < 1e-9


@pytest.mark.parametrize("method", ["ExcessMTL", "PCD"])
def test_first_steps_agree_with_torchjd(method):
    run = RUNS[f"torchjd.{method}"]
    expected = goldens.cases("aggregators", f"torchjd.{method}_first_call.float64")
    errors = {
        matrix: goldens.error(run([j])[0], expected[matrix], j)
        for matrix, j in MATRICES.items()
    }
    assert max(errors.values()) < 1e-9, errors


@pytest.mark.parametrize("name", SEQUENCES)
def test_gradvac_agrees_with_torchjd(name):
    js = matrices(name)
    count = js.shape[1]
    orders = goldens.DATA["orders"]["GradVac_sequence"][str(count)]
    targets = np.zeros((count, count))
    for j, order, vector in zip(
        js, orders, recorded(name, "torchjd.GradVac"), strict=True
    ):
        update, targets = histories.gradvac(j, targets, order, 0.5)
        assert goldens.error(update, vector, j) < GRADVAC_TOLERANCE


@pytest.mark.parametrize("seed", "012")
def test_first_gradvac_agrees_with_torchjd(seed):
    runs = goldens.DATA["random_aggregators"]["torchjd.GradVac.float64"]["cases"]
    for matrix, j in MATRICES.items():
        expected = np.array(runs[matrix]["seeds"][seed]["vector"])
        orders = goldens.DATA["orders"]["GradVac"][str(len(j))][seed]
        update, _ = histories.gradvac(j, np.zeros((len(j), len(j))), orders, 0.5)
        agrees = goldens.error(update, expected, j) < GRADVAC_TOLERANCE
        assert agrees == (matrix not in GRADVAC_SMALL_ROWS), matrix


def test_gradvac_by_hand():
    """.75 of the other turns a right angle into the cosine .6; half of .6 is left."""
    targets = np.full((2, 2), 0.6)
    update, usual = histories.gradvac(np.eye(2), targets, [[1], [0]], 0.5)
    np.testing.assert_allclose(update, [1.75, 1.75])
    np.testing.assert_allclose(usual, [[0.6, 0.3], [0.3, 0.6]])
    np.testing.assert_array_equal(targets, np.full((2, 2), 0.6))


def test_gradvac_without_an_angle_to_reach_changes_nothing():
    """A zero row has the cosine 0; no sum of the rows reaches the cosine 1."""
    rows = [[1.0, 0.0], [0.0, 0.0]]
    update, usual = histories.gradvac(rows, np.ones((2, 2)), [[0, 1], [0, 1]], 1.0)
    np.testing.assert_array_equal(update, [1.0, 0.0])
    np.testing.assert_array_equal(usual, [[1.0, 0.0], [0.0, 1.0]])
    update, _ = histories.gradvac(rows, np.full((2, 2), 0.5), [[1], [0]], 0.0)
    np.testing.assert_array_equal(update, [1.0, 0.0])


def test_excess_mtl_by_hand():
    """The first risks are the lengths 1 and 1 + log 3, so the weights are 1/4, 3/4."""
    (update,) = histories.excess_mtl([[[1.0], [1.0 + LOG3]]], eps=0.0)
    np.testing.assert_allclose(update, [0.25 + 0.75 * (1.0 + LOG3)])


def test_excess_mtl_in_units_of_the_warmup():
    """The same gradients again: both risks fall to 1 / sqrt 2 of their unit."""
    js = [[[1.0], [3.0]]] * 2
    updates = histories.excess_mtl(js, warmup=1, eps=0.0)
    np.testing.assert_allclose(updates, [[2.0], [2.0]])


def test_excess_mtl_of_a_risk_beyond_all_others_is_finite():
    """The first weight is rounded to 0 and stays there."""
    updates = histories.excess_mtl([[[0.0], [1e6]]] * 2, eps=0.0)
    np.testing.assert_allclose(updates, [[1e6], [1e6]])


def test_pcd_by_hand():
    """Half of the other's unit joins the leader's, at the leader's length."""
    (update,) = histories.pcd([[[2.0, 0.0], [0.0, 3.0]]], tau=0.5, eps=0.0)
    np.testing.assert_allclose(update, 2.0 * np.array([1.0, 0.5]) / np.sqrt(1.25))


@pytest.mark.parametrize(
    ("others", "update"),
    [
        ([], [2.0, 0.0]),
        ([[0.0, 0.0]], [2.0, 0.0]),
        ([[0.0, 1.0], [0.0, -1.0]], [2.0, 0.0]),
        ([[-1.0, 0.0]], [-2.0, 0.0]),
    ],
)
def test_pcd_where_the_others_ask_nothing_or_too_much(others, update):
    """Alone, beside a zero row, between opposed players; one opponent turns it."""
    for eps in (0.0, 1e-8):
        actual = histories.pcd([[[2.0, 0.0], *others]], eps=eps)[0]
        np.testing.assert_allclose(actual, update)


def test_pcd_with_one_share_for_each():
    j = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    (update,) = histories.pcd([j], tau=np.array([0.5, 1.0]), eps=0.0)
    np.testing.assert_allclose(update, np.array([1.0, 0.5, 1.0]) / 1.5)


def test_pcd_of_a_leader_that_rests_is_zero():
    np.testing.assert_array_equal(histories.pcd([[[0.0], [1.0]]])[0], [0.0])


@pytest.mark.parametrize("name", SEQUENCES)
def test_modo_and_sdmgrad_agree_with_torchjd(name):
    js = matrices(name)
    weights = rest = np.full(js.shape[1], 1.0 / js.shape[1])
    modo = recorded(name, "torchjd.MoDoWeighting", "weights")
    sdmgrad = recorded(name, "torchjd.SDMGradWeighting", "weights")
    for step in range(len(js) - 1):
        weights = histories.modo(weights, js[step], js[step + 1])
        used, rest = histories.sdmgrad(rest, js[step], js[step + 1])
        np.testing.assert_allclose(weights, modo[step], atol=1e-12)
        np.testing.assert_allclose(used, sdmgrad[step], atol=1e-12)


def test_modo_by_hand():
    """The slope is [.5, 0]: [0, .5] is brought back to the simplex."""
    half, rows = np.full(2, 0.5), np.array([[1.0], [0.0]])
    weights = histories.modo(half, rows, rows, step_size=1.0, pull=0.0)
    np.testing.assert_allclose(weights, [0.25, 0.75])
    weights = histories.modo(half, rows, rows, step_size=1.0, pull=1.0)
    np.testing.assert_allclose(weights, [0.25, 0.75])


def test_sdmgrad_by_hand():
    """The unit is (1/2)^2, so the slope is [4, 0]: [-.5, .5] goes to [0, 1].

    With the preference [0, 1] the slope is [2, 0], and [0, .5] goes to [.25, .75].
    """
    half, rows = np.full(2, 0.5), np.array([[1.0], [0.0]])
    used, weights = histories.sdmgrad(
        half, rows, rows, step_size=0.25, steps=1, pull=1.0, eps=0.0
    )
    np.testing.assert_allclose(weights, [0.0, 1.0])
    np.testing.assert_allclose(used, [0.25, 0.75])
    used, _ = histories.sdmgrad(
        half, rows, rows, 0.25, steps=1, pull=1.0, preference=np.array([0.0, 1.0])
    )
    np.testing.assert_allclose(used, [0.125, 0.875], atol=1e-7)
