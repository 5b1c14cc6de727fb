"""Weights from losses against TorchJD's recordings and by hand."""

import numpy as np
import pytest

import aggregator_goldens as goldens
from oracle import scalarizers

RECORDED = goldens.DATA["scalarizers"]
LOG3 = np.log(3.0)


@pytest.mark.parametrize("name", RECORDED)
def test_agrees_with_torchjd(name):
    losses = np.array(RECORDED[name]["losses"])
    wish, fresh = goldens.preference(losses), np.zeros(len(losses))
    weights = {
        "STCH_mu1": scalarizers.stch(losses, 1.0),
        "STCH_mu0.01": scalarizers.stch(losses, 0.01),
        "STCH_pref": scalarizers.stch(losses, 0.1, wish),
        "UW": scalarizers.uncertainty(losses, fresh)[0],
        "IMTLL": scalarizers.imtl_l(losses, fresh)[0],
        "GeometricMean": scalarizers.gls(losses),
    }
    for method, actual in weights.items():
        expected = RECORDED[name]["results"][method]["grad"]
        np.testing.assert_allclose(actual, expected, rtol=1e-9, err_msg=method)


@pytest.mark.parametrize("name", RECORDED)
def test_famo_agrees_with_torchjd(name):
    steps = RECORDED[name]["results"]["FAMO_3_steps"]["steps"]
    weights, logits = scalarizers.famo(
        [step["losses"] for step in steps], [step["next_losses"] for step in steps]
    )
    np.testing.assert_allclose(weights, [s["grad"] for s in steps], rtol=1e-9)
    np.testing.assert_allclose(logits, [s["logits_after"] for s in steps], rtol=1e-9)


def test_stch_by_hand():
    weights = scalarizers.stch([1.0, 1.0 + LOG3], 1.0, np.ones(2), reference=1.0)
    np.testing.assert_allclose(weights, [0.25, 0.75])


def test_stch_of_large_losses_is_finite():
    np.testing.assert_allclose(scalarizers.stch([0.0, 1e6], 0.01), [0.0, 0.5])


def test_uncertainty_by_hand():
    weights, slopes = scalarizers.uncertainty([2.0, 4.0], [0.0, np.log(2.0)])
    np.testing.assert_allclose(weights, [0.5, 0.25])
    np.testing.assert_allclose(slopes, [-0.5, -0.5])


def test_imtl_l_by_hand():
    weights, slopes = scalarizers.imtl_l([2.0, 4.0], [0.0, np.log(2.0)])
    np.testing.assert_allclose(weights, [1.0, 2.0])
    np.testing.assert_allclose(slopes, [1.0, 7.0])


def test_gls_by_hand():
    """The mean of 1 and 4 is 2; its slopes are 2 / (2 * 1) and 2 / (2 * 4)."""
    np.testing.assert_allclose(scalarizers.gls([1.0, 4.0]), [1.0, 0.25])


def test_dwa_by_hand():
    weights = scalarizers.dwa([0.0, 4.0 * LOG3], [1.0, 2.0], temperature=2.0)
    np.testing.assert_allclose(weights, [0.5, 1.5])


def test_famo_by_hand():
    """Weights go as 1 / loss. What fell loses; Adam's first step is the rate itself."""
    weights, logits = scalarizers.famo([[1.0, 3.0]], [[0.5, 3.0]], learning_rate=0.1)
    np.testing.assert_allclose(weights, [[0.75, 0.25]], rtol=1e-7)
    np.testing.assert_allclose(logits, [[-0.1, 0.1]], rtol=1e-6)
