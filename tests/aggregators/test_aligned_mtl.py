import numpy as np
import pytest
from hypothesis import assume, given

import aggregator_goldens as goldens
import samplers
import weight_rules
from neat_optax import aggregators
from oracle import aggregators as oracle


@pytest.mark.parametrize(
    ("scale", "size"), [("min", 1.0), ("median", 2.0), ("rmse", np.sqrt(14 / 3))]
)
def test_by_hand(scale, size):
    """Rows at right angles of lengths 3, 2 and 1 all get the same length."""
    update = weight_rules.update("aligned_mtl", np.diag([3.0, 2.0, 1.0]), scale=scale)
    np.testing.assert_allclose(update, np.full(3, size / 3), rtol=1e-6)


def test_preference_by_hand():
    preference = np.array([0.75, 0.25])
    update = weight_rules.update(
        "aligned_mtl", np.diag([4.0, 2.0]), preference=preference
    )
    np.testing.assert_allclose(update, [1.5, 0.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("recorded", "given"),
    [
        ("AlignedMTL", {}),
        ("AlignedMTL_median", {"scale": "median"}),
        ("AlignedMTL_rmse", {"scale": "rmse"}),
        ("AlignedMTL_pref", {"preference": goldens.preference}),
    ],
)
def test_recorded(recorded, given):
    """Where float32 and float64 see the same rank of the Gramian."""
    cases = goldens.cases("aggregators", f"torchjd.{recorded}.float64")
    kept = {n: v for n, v in cases.items() if same_rank(goldens.MATRICES[n])}
    assert set(cases) - set(kept) == {"scales_5x20", "krum_5x3"}
    found = weight_rules.errors("aligned_mtl", kept, goldens.MATRICES, **given)
    assert max(found.values()) <= 1e-4, found


def same_rank(j):
    """No eigenvalue lies between what float32 and what float64 count as zero."""
    values = np.linalg.eigvalsh(j @ j.T)
    share = values / np.max(values) if np.max(values) > 0 else values
    lost = weight_rules.SEATS * np.finfo(np.float32).eps
    return not np.any((share > 1e-14) & (share < 10 * lost))


@given(samplers.players(shapes=samplers.PLAYER_SHAPES))
def test_agrees_with_the_oracle(j):
    values = np.linalg.svd(j, compute_uv=False)
    assume(values[0] / values[-1] < 30)
    update = weight_rules.update("aligned_mtl", j)
    assert goldens.error(update, oracle.aligned_mtl(j), j) < 1e-4


def test_errors():
    with pytest.raises(ValueError, match="`scale` must be one of min, median, rmse"):
        aggregators.aligned_mtl(scale="max")
