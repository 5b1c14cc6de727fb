import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
import weight_rules
from neat_optax import aggregators
from neat_optax.aggregators._cr_mogm import cr_mogm_weights
from oracle import aggregators as oracle

SEQUENCES = goldens.DATA["sequences"]


def test_by_hand():
    weights = cr_mogm_weights(np.array([1.0, 0.0]), np.array([0.5, 0.5]), 0.75)
    np.testing.assert_allclose(weights, [0.625, 0.375])


def averaged(rule, js, decay):
    """Updates of the averaged weights of an exact rule; rows are independent."""
    average, updates = None, []
    for j in js:
        weights = np.linalg.lstsq(j.T, rule(j))[0]
        average = (
            weights if average is None else decay * average + (1 - decay) * weights
        )
        updates.append(average @ j)
    return np.stack(updates)


@pytest.mark.parametrize(
    ("rule", "exact", "decay"),
    [
        (aggregators.imtl_g_weights, oracle.imtl_g, 0.9),
        (aggregators.mgda_weights, oracle.mgda, 0.5),
    ],
    ids=["imtl_g", "mgda"],
)
def test_agrees_with_the_oracle(rule, exact, decay):
    """TorchJD's own sequences rest on its inexact MGDA: not compared."""
    js = np.array(SEQUENCES["seq_3x10"]["matrices"])
    tx = aggregators.cr_mogm(rule, decay, num_players=3)
    updates = weight_rules.play(tx, js)
    for update, expected, j in zip(
        updates, averaged(exact, js, decay), js, strict=True
    ):
        assert goldens.error(update, expected, j) < 1e-5


def test_weightings_with_a_state():
    """Around GradVac of decay 1, whose targets stay 0: an average of PCGrad."""
    js = np.array(SEQUENCES["seq_3x10"]["matrices"])
    inner = aggregators.gradvac_weighting(1.0, num_players=3, key=None)
    updates = weight_rules.play(aggregators.cr_mogm(inner, 0.5, num_players=3), js)
    orders = [range(3)] * 3
    expected = averaged(lambda j: oracle.pcgrad(j, orders), js, 0.5)
    np.testing.assert_allclose(updates, expected, rtol=1e-4, atol=1e-4)


def test_weight_of_an_absent_player_stays():
    tx = aggregators.cr_mogm(aggregators.pcgrad_weighting(key=None), 0.5, num_players=2)
    g = np.array([[1.0, 0.0], [-1.0, 1.0]])
    _, state = stepping.play(tx, [g], present=[np.array([True, True])])
    np.testing.assert_allclose(state.weighting.weights, [[2.0, 1.5]], rtol=1e-6)
    update, state = stepping.step(tx, g, state, present=np.array([True, False]))
    np.testing.assert_allclose(state.weighting.weights, [[1.5, 1.5]], rtol=1e-6)
    np.testing.assert_allclose(update, [1.5, 0.0], rtol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\), got 1\.0\."):
        aggregators.cr_mogm(aggregators.upgrad_weights, 1.0, num_players=2)
    with pytest.raises(ValueError, match="`weighting` must be a function, got 1"):
        aggregators.cr_mogm(1, num_players=2)
