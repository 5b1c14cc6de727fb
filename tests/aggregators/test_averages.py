import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aggregator_goldens as goldens
from neat_optax import aggregators
from player_contract import check_contract

ROWS = jnp.array([[1.0, 4.0], [3.0, -2.0]])
FACTORIES = {
    "Mean": lambda _: aggregators.mean(),
    "Sum": lambda _: aggregators.sum(),
    "Constant": lambda j: aggregators.constant(goldens.preference(j)),
}


def reduced(tx, g, **extra):
    return tx.update(g, tx.init(g[0]), **extra)[0]


def test_by_hand():
    np.testing.assert_array_equal(reduced(aggregators.mean(), ROWS), [2.0, 1.0])
    np.testing.assert_array_equal(reduced(aggregators.sum(), ROWS), [4.0, 2.0])
    constant = aggregators.constant((-1.0, 0.5))
    np.testing.assert_array_equal(reduced(constant, ROWS), [0.5, -5.0])


@pytest.mark.parametrize("name", FACTORIES)
def test_agrees_with_the_recorded(name):
    recorded = goldens.cases("aggregators", f"torchjd.{name}.float64")
    for matrix, j in goldens.MATRICES.items():
        update = reduced(FACTORIES[name](j), jnp.asarray(j, jnp.float32))
        assert goldens.error(update, recorded[matrix], j) < 1e-6, matrix


def test_preference_is_taken_as_it_is_and_overridden():
    tx = aggregators.mean(preference=(2.0, 1.0))
    np.testing.assert_array_equal(reduced(tx, ROWS), [5.0, 6.0])
    given = jnp.array([0.0, 0.5])
    np.testing.assert_array_equal(reduced(tx, ROWS, preference=given), [1.5, -1.0])


def test_absent_players():
    """The mean is over those present, and shares out the preference of the others."""
    alone = jnp.array([False, True])
    np.testing.assert_array_equal(
        reduced(aggregators.mean(), ROWS, present=alone), [3.0, -2.0]
    )
    preferred = aggregators.mean(preference=(0.75, 0.25))
    np.testing.assert_array_equal(reduced(preferred, ROWS, present=alone), [3.0, -2.0])
    np.testing.assert_array_equal(
        reduced(aggregators.sum(), ROWS, present=alone), [3.0, -2.0]
    )
    constant = aggregators.constant((-1.0, 0.5))
    np.testing.assert_array_equal(reduced(constant, ROWS, present=alone), [1.5, -1.0])


def test_random_weights_are_a_softmax_of_normal_numbers():
    key = jax.random.key(3)
    logits = np.asarray(jax.random.normal(key, (4,)), np.float64)
    expected = np.exp(logits) / np.sum(np.exp(logits))
    weights = aggregators.random_weights(jnp.zeros((4, 4)), key)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_random_weights_are_drawn_anew_in_each_step():
    """Their mean over many steps is equal weights, with all of them different."""
    tx = aggregators.random(key=0)
    g = jnp.eye(3)

    def body(state, _):
        update, state = tx.update(g, state)
        return state, update

    _, draws = jax.lax.scan(body, tx.init(g[0]), length=2000)
    np.testing.assert_allclose(np.sum(draws, axis=1), 1.0, rtol=1e-6)
    # The standard deviation of one weight is about 0.2: five of its errors of the mean.
    np.testing.assert_allclose(np.mean(draws, axis=0), 1 / 3, atol=5 * 0.2 / 2000**0.5)
    assert len(np.unique(draws[:, 0])) > 1990


def test_random_weights_of_absent_players_are_shared_out():
    present = jnp.array([True, False, True])
    weights = reduced(aggregators.random(key=1), jnp.eye(3), present=present)
    assert weights[1] == 0
    np.testing.assert_allclose(jnp.sum(weights), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    "tx",
    [aggregators.mean(), aggregators.sum(), aggregators.random()],
    ids=["mean", "sum", "random"],
)
def test_contract(tx):
    check_contract(tx)


def test_errors():
    with pytest.raises(ValueError, match="`weights` must be finite numbers, one for"):
        aggregators.constant((1.0, float("nan")))
    with pytest.raises(ValueError, match="`weights` must have one entry for each of"):
        reduced(aggregators.constant((1.0,)), ROWS)
    with pytest.raises(ValueError, match="`preference` must be nonnegative numbers"):
        aggregators.mean(preference=(1.0, -1.0))
