"""The oracle of robust aggregators against TorchJD's recordings and by hand."""

import numpy as np
import pytest

import aggregator_goldens as goldens
from oracle import robust

MATRICES = goldens.MATRICES

# All of the selection has the same score, so that which rows it takes is not defined.
KRUM_TIES = {
    "duplicate_conflict_4x10": "all distances to the nearest row are 0",
    "weak_stationary_4x10": "two rows are nearest to each other",
    "krum_5x3": "two rows share the second place",
}


def krum_scores(j, near):
    """Sums of the plain distances to the nearest rows."""
    distances = np.linalg.norm(j[:, None] - j[None], axis=-1)
    return np.sort(distances, axis=1)[:, 1 : near + 1].sum(axis=1)


@pytest.mark.parametrize("selected", [1, 2])
def test_krum_agrees_with_torchjd(selected):
    """TorchJD sums distances that are not squared."""
    recorded = goldens.DATA["aggregators"][f"torchjd.Krum_b1_s{selected}.float64"]
    for name, case in recorded["cases"].items():
        j = MATRICES[name]
        if "vector" not in case:
            with pytest.raises(ValueError, match=r"`j` must have at least 4 rows, got"):
                robust.krum(j, 1, selected, squared=False)
            continue
        update = robust.krum(j, 1, selected, squared=False)
        if name in KRUM_TIES:
            scores = krum_scores(j, len(j) - 3)
            best = np.sort(scores)[:selected].mean()
            chosen = np.dot(case["weights"], scores)
            assert chosen == pytest.approx(best, abs=1e-12), name
        else:
            assert goldens.error(update, np.array(case["vector"]), j) < 1e-12, name


def test_krum_by_hand():
    """Nearest two of the middle row: 1 + 2.25 squared, against 7.25, 8.5 and more."""
    rows = np.array([[0.0], [1.0], [2.5], [100.0]])
    np.testing.assert_array_equal(robust.krum(rows, 0), [1.0])
    np.testing.assert_array_equal(robust.krum(rows, 0, num_selected=2), [0.5])


def test_krum_squared_or_not():
    """Distances 1, 5 and 3.2, 3.2: the sums are 6 and 6.4, of squares 26 and 20.48."""
    far = [500.0, 0.0, 0.0]
    rows = np.array([[0.0, 0, 0], [1, 0, 0], [0, 5, 0]])
    rows = np.vstack([rows, far, np.add(far, [3.2, 0, 0]), np.add(far, [0, 3.2, 0])])
    np.testing.assert_array_equal(robust.krum(rows, 2, squared=True), far)
    np.testing.assert_array_equal(robust.krum(rows, 2, squared=False), rows[0])


def test_trimmed_mean_agrees_with_torchjd():
    recorded = goldens.cases("aggregators", "torchjd.TrimmedMean_1.float64")
    for name, expected in recorded.items():
        j = MATRICES[name]
        if expected is None:
            with pytest.raises(ValueError, match=r"`j` must have at least 3 rows, got"):
                robust.trimmed_mean(j, 1)
        else:
            assert goldens.error(robust.trimmed_mean(j, 1), expected, j) < 1e-12, name


def test_trimmed_mean_by_hand():
    rows = [[1.0, 4.0], [2.0, -9.0], [9.0, 2.0], [4.0, 0.0]]
    np.testing.assert_allclose(robust.trimmed_mean(rows, 1), [3.0, 1.0])


def test_geometric_median_is_optimal():
    """The unit vectors towards the rows cancel, or weigh less than the row it is on."""
    for name, j in MATRICES.items():
        offsets = j - robust.geometric_median(j)
        distances = np.linalg.norm(offsets, axis=1)
        apart = distances > 0
        pull = np.sum(offsets[apart] / distances[apart, None], axis=0)
        assert np.linalg.norm(pull) <= max(np.sum(~apart), 1e-6), name


@pytest.mark.parametrize("factor", [1e-200, 1.0, 1e200])
def test_geometric_median_of_a_right_triangle(factor):
    """Fermat's point of the triangle with two sides of 1: (3 - sqrt 3) / 6 twice."""
    rows = factor * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    expected = np.full(2, (3 - np.sqrt(3)) / 6)
    np.testing.assert_allclose(robust.geometric_median(rows) / factor, expected)


@pytest.mark.parametrize(
    ("rows", "median"),
    [
        ([[2.0, 1.0]], [2.0, 1.0]),
        ([[0.0, 0.0], [0.0, 0.0]], [0.0, 0.0]),
        ([[1.0, 0.0], [-3.0, 0.0]], [-1.0, 0.0]),
        ([[0.0, 0.0], [1.0, 1.0], [9.0, 9.0]], [1.0, 1.0]),
        ([[-1.0, 0.1], [1.0, 0.1], [0.0, 0.0]], [0.0, 0.0]),
        ([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0], [2.0, 2.0]], [2.0, 2.0]),
        ([[0.0, 0.0], [5.0, 1.0], [5.0, 1.0], [7.0, 9.0]], [5.0, 1.0]),
    ],
)
def test_geometric_median_on_a_line_or_a_row(rows, median):
    np.testing.assert_allclose(robust.geometric_median(rows), median, atol=1e-14)


def test_the_mean_on_a_row_that_is_not_the_median_is_left():
    """The mean is the first row; there the others pull to the right with 2.4."""
    rows = [[0.0, 0], [-20, 0], [5, 5], [5, -5], [5, 1], [5, -1]]
    offsets = rows - robust.geometric_median(rows)
    units = offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
    np.testing.assert_allclose(units.sum(axis=0), [0.0, 0.0], atol=1e-12)


def test_a_median_that_steps_do_not_reach_is_refused():
    rows = [[9.0, -8.0], [9.0, -8.0 + 1e-9], [-4.0, -2.0], [1.0, -2.0]]
    with pytest.raises(RuntimeError, match="did not settle"):
        robust.geometric_median(rows)
