import jax.numpy as jnp
import numpy as np
import pytest

import aggregator_goldens as goldens
from neat_optax.aggregators._stch import stch, stch_weights
from player_contract import check_contract, gradients, run

LOSSES = [0.5, 2.0, 1.0]


def test_by_hand():
    # gaps 0 and 2 ln 3, times p = 1/2: the softmax is 1/4 and 3/4
    weights = stch_weights(jnp.array([1.0, 1.0 + 2 * np.log(3)]), 1.0)
    np.testing.assert_allclose(weights, [0.125, 0.375], rtol=1e-6)


@pytest.mark.parametrize("case", goldens.DATA["scalarizers"])
@pytest.mark.parametrize(
    ("name", "mu", "preferred"),
    [("STCH_mu1", 1.0, False), ("STCH_mu0.01", 0.01, False), ("STCH_pref", 0.1, True)],
)
def test_recorded(case, name, mu, preferred):
    recorded = goldens.DATA["scalarizers"][case]
    losses = jnp.array(recorded["losses"])
    chosen = goldens.preference(losses) if preferred else None
    weights = stch_weights(losses, mu, chosen)
    np.testing.assert_allclose(weights, recorded["results"][name]["grad"], 3e-4, 1e-12)


def test_contract():
    check_contract(stch(0.5, ideal=None, num_players=3), LOSSES)


def test_tracked_ideal_is_the_smallest_loss():
    tx = stch(1.0, ideal=None, num_players=2)
    g = jnp.eye(2)
    state = tx.init(g[0])
    for losses in ([1.0, 3.0], [2.0, 1.0], [4.0, jnp.inf]):
        _, state = tx.update(g, state, losses=jnp.array(losses))
    np.testing.assert_allclose(state.weighting.ideal[0], [1.0, 1.0])


def test_schedule_and_preference_argument():
    g = gradients(0)
    chosen = jnp.array([0.2, 0.3, 0.5])
    losses = jnp.array(LOSSES)
    first, _ = run(stch(lambda step: 0.5 + step), [g], losses=losses, preference=chosen)
    second, _ = run(stch(0.5, preference=chosen), [g], losses=losses)
    np.testing.assert_allclose(first["w"], second["w"], rtol=1e-6)


def test_a_loss_that_is_not_finite_is_left_out():
    weights = stch_weights(jnp.array([1.0, jnp.nan, 1.0]), 1.0)
    np.testing.assert_allclose(weights, [0.25, 0.0, 0.25])


def test_errors():
    with pytest.raises(ValueError, match=r"`mu` must be in \(0, inf\), got 0.0\."):
        stch(0.0)
    with pytest.raises(ValueError, match=r"`num_players` must be given for stch"):
        stch(ideal=None)
    with pytest.raises(ValueError, match=r"`ideal` must be in \(-inf, inf\), got nan"):
        stch(ideal=float("nan"))
    with pytest.raises(ValueError, match=r"`losses` must be passed to update for stch"):
        run(stch(), [gradients(0)])
    with pytest.raises(ValueError, match=r"`ideal` must have one entry for each of th"):
        run(stch(ideal=(0.0, 0.0)), [gradients(0)], losses=jnp.ones(3))
