"""The recipe is the chain that it says it is."""

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo

P = np.array([1, -2], np.float32)
G = np.array([0.5, -0.25], np.float32)


def stepped(tx):
    return P + np.asarray(jax.jit(lambda: tx.update(G, tx.init(P), P)[0])())


def test_by_hand():
    """Alpha is 19/15 and 11/15, and |alpha g| is below 1."""
    expected = P - 0.1 * np.array([19 / 15, 11 / 15]) * G
    np.testing.assert_allclose(
        stepped(neo.plasticity.neuroplastic(0.1)), expected, rtol=1e-6
    )


@pytest.mark.parametrize("decoupled", [True, False])
def test_weight_decay(decoupled):
    """Coupled decay is bounded with the rest of the update."""
    tx = neo.plasticity.neuroplastic(
        0.1, weight_decay=3.0, decouple_weight_decay=decoupled, max_norm=0.5
    )
    parts = [neo.plasticity.clip_leaf_norm(0.5), optax.add_decayed_weights(3.0)]
    parts = parts if decoupled else parts[::-1]
    chain = optax.chain(neo.plasticity.scale_by_plasticity(), *parts, optax.scale(-0.1))
    np.testing.assert_allclose(stepped(tx), stepped(chain), rtol=1e-6)


def test_target_rms():
    tx = neo.plasticity.neuroplastic(
        0.1, max_norm=None, target_rms=0.02, stabilizer_rate=1.0
    )
    moved = (P - stepped(tx)) / 0.1
    np.testing.assert_allclose(np.sqrt(np.mean(moved**2)), 0.02, rtol=1e-4)


def test_a_scaling_of_your_own():
    """By the gradient alone, alpha is 4/3 and 2/3."""
    alone = neo.plasticity.scale_by_plasticity([neo.plasticity.gradient(1.0)])
    expected = P - 0.1 * np.array([4 / 3, 2 / 3]) * G
    found = stepped(neo.plasticity.neuroplastic(0.1, alone))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r"`weight_decay` must be in \[0, inf\), got"):
        neo.plasticity.neuroplastic(0.1, weight_decay=-1.0)
    with pytest.raises(ValueError, match=r"`decouple_weight_decay` must be True or"):
        neo.plasticity.neuroplastic(0.1, decouple_weight_decay=1)  # pyright: ignore
