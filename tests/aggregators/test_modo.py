import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
import weight_rules
from neat_optax import aggregators
from neat_optax.aggregators._modo import modo_weights, sdmgrad_step, sdmgrad_weights
from oracle import histories

SEQUENCES = goldens.DATA["sequences"]
HALF, ONE = np.array([0.5, 0.5]), np.diag([1.0, 0.0])
TWO = {
    "modo": aggregators.modo(num_players=2),
    "sdmgrad": aggregators.sdmgrad(num_players=2),
}


def test_modo_by_hand():
    """The slope is [.5, 0]: [0, .5] is brought back to the simplex."""
    np.testing.assert_allclose(
        stepping.call(modo_weights, ONE, HALF, 1.0, 0.0), [0.25, 0.75]
    )


def test_sdmgrad_by_hand():
    """The unit is (1/2)^2, so the slope is [4, 0]: [-.5, .5] goes to [0, 1]."""
    options = dict(step_size=0.25, num_steps=1, pull=1.0)
    weights = stepping.call(sdmgrad_step, ONE, HALF, HALF, **options)
    used = stepping.call(sdmgrad_weights, ONE, HALF, HALF, **options)
    np.testing.assert_allclose(weights, [0.0, 1.0])
    np.testing.assert_allclose(used, [0.25, 0.75])


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize(
    ("factory", "recorded"),
    [(aggregators.modo, "MoDoWeighting"), (aggregators.sdmgrad, "SDMGradWeighting")],
    ids=["modo", "sdmgrad"],
)
def test_recorded_sequences(factory, recorded, name):
    """The second batch of each step is the matrix of the step after it."""
    js = np.array(SEQUENCES[name]["matrices"])
    steps = SEQUENCES[name]["results"][f"torchjd.{recorded}"]["steps"]
    tx = factory(num_players=js.shape[1])
    updates = weight_rules.play(tx, js[:-1], second_batch=js[1:])
    for update, expected, j in zip(updates, steps, js, strict=False):
        wanted = np.array(expected["weights"]) @ j
        # SDMGrad takes 20 steps of length 10: its weights hold 1e-5.
        assert goldens.error(update, wanted, j) < 1e-4


def test_agrees_with_the_oracle():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        first, noise = rng.normal(size=(2, 4, 9))
        second = first + noise / 2
        weights = rng.dirichlet(np.ones(4))
        given = first @ second.T, weights
        found = stepping.call(modo_weights, *given, 0.3, 0.2)
        expected = histories.modo(weights, first, second, 0.3, 0.2)
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=f"seed {seed}")
        # Steps of the default length 10 need not converge, and then multiply rounding.
        expected = histories.sdmgrad(weights, first, second, 0.5)
        for rule, wanted in zip((sdmgrad_weights, sdmgrad_step), expected, strict=True):
            found = stepping.call(rule, *given, np.full(4, 0.25), 0.5)
            np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=f"seed {seed}")


def test_without_a_second_batch_the_gramian_serves():
    g = np.array([[1.0, 0.0], [0.0, 2.0]])
    for tx in TWO.values():
        alone, _ = stepping.step(tx, g)
        twice, _ = stepping.step(tx, g, second_batch=g)
        np.testing.assert_allclose(alone, twice, rtol=1e-6)


def test_modo_reaches_the_shortest_combination():
    """Without decay, its rest is MGDA."""
    players = np.broadcast_to(np.diag([1.0, 2.0]), (200, 2, 2))
    updates, _ = stepping.play(aggregators.modo(0.1, 0.0, num_players=2), players)
    np.testing.assert_allclose(updates[-1], [0.8, 0.4], rtol=1e-5)


@pytest.mark.parametrize("factory", [aggregators.modo, aggregators.sdmgrad])
def test_absent_players_get_nothing(factory):
    present = np.array([True, False, True])
    update, _ = stepping.step(factory(num_players=3), np.eye(3), present=present)
    assert update[1] == 0
    np.testing.assert_allclose(update[0], update[2])
    assert update[0] > 0


def test_errors():
    with pytest.raises(ValueError, match=r"`step_size` must be in \(0, inf\), got 0"):
        aggregators.modo(0.0, num_players=2)
    with pytest.raises(ValueError, match=r"`momentum` must be in \[0, 1\), got 1\.0"):
        aggregators.sdmgrad(momentum=1.0, num_players=2)
    with pytest.raises(ValueError, match="`num_steps` must be an integer >= 1, got 0"):
        aggregators.sdmgrad(num_steps=0, num_players=2)
