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
SEATS = 5
FACTORIES = {
    "modo": (aggregators.modo(num_players=3), "MoDoWeighting"),
    "sdmgrad": (aggregators.sdmgrad(num_players=3), "SDMGradWeighting"),
}


def decide(rule, cross, *vectors, **given):
    """A rule's answer, with absent players behind: one compiled rule for all sizes."""
    count = len(cross)
    rest = (0, SEATS - count)
    padded = [np.pad(vector, rest) for vector in vectors]
    present = np.arange(SEATS) < count
    decided = stepping.call(
        rule, np.pad(cross, rest), *padded, present=present, **given
    )
    assert not np.any(decided[count:])
    return decided[:count]


def modo(cross, weights, step_size=0.1, decay=0.1):
    return decide(modo_weights, cross, weights, step_size=step_size, decay=decay)


def sdmgrad(cross, weights, preference, step_size=10.0, num_steps=20, pull=0.3):
    """The weights that are used, and those to go on from."""
    given = {"step_size": step_size, "num_steps": num_steps, "pull": pull}
    return [
        decide(rule, cross, weights, preference, **given)
        for rule in (sdmgrad_weights, sdmgrad_step)
    ]


def test_modo_by_hand():
    """The slope is [.5, 0]: [0, .5] is brought back to the simplex."""
    np.testing.assert_allclose(modo(ONE, HALF, 1.0, 0.0), [0.25, 0.75])


def test_sdmgrad_by_hand():
    """The unit is (1/2)^2, so the slope is [4, 0]: [-.5, .5] goes to [0, 1]."""
    used, weights = sdmgrad(ONE, HALF, HALF, step_size=0.25, num_steps=1, pull=1.0)
    np.testing.assert_allclose(weights, [0.0, 1.0])
    np.testing.assert_allclose(used, [0.25, 0.75])


def test_rules_have_the_defaults_of_their_factories():
    given = np.array([[1.0, 0.2], [0.1, 2.0]], np.float32), HALF.astype(np.float32)
    np.testing.assert_allclose(stepping.call(modo_weights, *given), modo(*given), 1e-6)
    alone = stepping.call(sdmgrad_weights, *given, HALF)
    np.testing.assert_allclose(alone, sdmgrad(*given, HALF)[0], rtol=1e-5)


@pytest.mark.parametrize("name", SEQUENCES)
def test_rules_on_recorded_sequences(name):
    """The second batch of each step is the matrix of the step after it."""
    js = np.array(SEQUENCES[name]["matrices"])
    equal = np.full(js.shape[1], 1 / js.shape[1])
    weights = rest = equal
    results = SEQUENCES[name]["results"]
    recorded = zip(
        results["torchjd.MoDoWeighting"]["steps"],
        results["torchjd.SDMGradWeighting"]["steps"],
        js,
        js[1:],
        strict=False,
    )
    for wanted, of_sdmgrad, j, second in recorded:
        cross = j @ second.T
        weights = modo(cross, weights)
        expected = np.array(wanted["weights"]) @ j
        assert goldens.error(weights @ j, expected, j) < 1e-4
        used, rest = sdmgrad(cross, rest, equal)
        # SDMGrad takes 20 steps of length 10: its weights hold 1e-5.
        expected = np.array(of_sdmgrad["weights"]) @ j
        assert goldens.error(used @ j, expected, j) < 1e-4


@pytest.mark.parametrize("name", FACTORIES)
def test_a_recorded_run(name):
    tx, recorded = FACTORIES[name]
    js = np.array(SEQUENCES["seq_3x10"]["matrices"])
    steps = SEQUENCES["seq_3x10"]["results"][f"torchjd.{recorded}"]["steps"]
    present = np.ones((len(js) - 1, 3), bool)
    given = {"second_batch": js[1:], "present": present}
    updates = weight_rules.play(tx, js[:-1], **given)
    for update, expected, j in zip(updates, steps, js, strict=False):
        wanted = np.array(expected["weights"]) @ j
        assert goldens.error(update, wanted, j) < 1e-4


def test_agrees_with_the_oracle():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        first, noise = rng.normal(size=(2, 4, 9))
        second = first + noise / 2
        weights = rng.dirichlet(np.ones(4))
        cross = first @ second.T
        expected = histories.modo(weights, first, second, 0.3, 0.2)
        np.testing.assert_allclose(modo(cross, weights, 0.3, 0.2), expected, atol=1e-6)
        # Steps of the default length 10 need not converge, and then multiply rounding.
        expected = histories.sdmgrad(weights, first, second, 0.5)
        found = sdmgrad(cross, weights, np.full(4, 0.25), 0.5)
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.fast("modo")
@pytest.mark.parametrize("name", FACTORIES)
def test_without_a_second_batch_the_gramian_serves(name):
    g, tx = np.eye(3, 10) * [[1.0], [2.0], [0.5]], FACTORIES[name][0]
    alone, _ = stepping.step(tx, g)
    twice, _ = stepping.step(tx, g, second_batch=g, present=stepping.EVERYONE)
    np.testing.assert_allclose(alone, twice, rtol=1e-6)


def test_modo_reaches_the_shortest_combination():
    """Without decay, its rest is MGDA."""
    gramian, weights = np.diag([1.0, 4.0]), HALF
    for _ in range(200):
        weights = modo(gramian, weights, 0.1, 0.0)
    np.testing.assert_allclose(weights, [0.8, 0.2], rtol=1e-5)


@pytest.mark.parametrize("name", FACTORIES)
def test_absent_players_get_nothing(name):
    g, present = np.eye(3, 10), np.array([True, False, True])
    update, _ = stepping.step(FACTORIES[name][0], g, second_batch=g, present=present)
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
