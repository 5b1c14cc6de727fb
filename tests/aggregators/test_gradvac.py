import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax import aggregators
from neat_optax.aggregators._gradvac import gradvac_step
from oracle import histories

SEQUENCES = goldens.DATA["sequences"]


def step(*args):
    return stepping.call(gradvac_step, *args)


def test_by_hand():
    """.75 of the other turns a right angle into the cosine .6; half of .6 is left."""
    weights, targets = step(np.eye(2), np.full((2, 2), 0.6))
    np.testing.assert_allclose(weights, [1.75, 1.75], rtol=1e-6)
    np.testing.assert_allclose(targets, [[0.6, 0.3], [0.3, 0.6]], rtol=1e-6)


def turned(j, targets, orders):
    g = np.asarray(j, np.float32)
    weights, targets = step(g @ g.T, targets, 0.5, np.asarray(orders))
    return weights.astype(np.float64) @ j, targets


@pytest.mark.parametrize("name", SEQUENCES)
def test_recorded_sequences(name):
    """With torch's orders; TorchJD adds 1e-8 to products of norms."""
    js = np.array(SEQUENCES[name]["matrices"])
    count = js.shape[1]
    # Recorded without the player itself.
    orders = [
        [[*others, i] for i, others in enumerate(order)]
        for order in goldens.DATA["orders"]["GradVac_sequence"][str(count)]
    ]
    recorded = SEQUENCES[name]["results"]["torchjd.GradVac"]["steps"]
    targets = np.zeros((count, count))
    exact = np.zeros((count, count))
    for j, order, expected in zip(js, orders, recorded, strict=True):
        update, targets = turned(j, targets, order)
        oracle, exact = histories.gradvac(j, exact, order, 0.5)
        # Cosines of -0.9997 in the strongest conflict: float32 holds sines of 0.02
        # to 1e-5 of themselves, and GradVac divides by them.
        assert goldens.error(update, oracle, j) < 1e-4
        assert goldens.error(update, np.array(expected["vector"]), j) < 1e-4
        np.testing.assert_allclose(targets, exact, atol=1e-4)


def test_agrees_with_the_oracle():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        targets = rng.uniform(-0.9, 0.9, size=(5, 5))
        orders = np.stack([rng.permutation(5) for _ in range(5)])
        j = rng.normal(size=(5, 20)) * 10.0 ** rng.uniform(-2, 2, size=(5, 1))
        expected, usual = histories.gradvac(j, targets, orders, 0.5)
        update, new = turned(j, targets, orders)
        assert goldens.error(update, expected, j) < 1e-5, seed
        np.testing.assert_allclose(new, usual, atol=1e-5, err_msg=f"seed {seed}")


def test_first_step_is_pcgrad():
    j = goldens.MATRICES["conflict_3x10"]
    weights, _ = step(j @ j.T)
    pcgrad = stepping.call(aggregators.pcgrad_weights, j @ j.T)
    np.testing.assert_allclose(weights, pcgrad, rtol=1e-4)


def test_transformation_remembers_targets():
    tx = aggregators.gradvac(decay=0.25, key=None, num_players=2)
    _, state = stepping.step(tx, np.array([[1.0, 0.0], [-1.0, 1.0]]))
    # The first meets the second at -1/sqrt 2; so does the second the first.
    expected = -0.75 / np.sqrt(2)
    targets = state.weighting.targets[0]
    np.testing.assert_allclose(targets, [[0, expected], [expected, 0]], rtol=1e-5)


def test_zero_rows_and_targets_out_of_reach_change_nothing():
    weights, targets = step(np.diag([1.0, 0.0]), np.ones((2, 2)))
    assert weights[0] == 1
    np.testing.assert_array_equal(targets, np.ones((2, 2)))


def test_errors():
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\], got 1\.5\."):
        aggregators.gradvac(1.5, num_players=2)
    with pytest.raises(ValueError, match="`num_players` must be an integer >= 1"):
        aggregators.gradvac(num_players=0)
