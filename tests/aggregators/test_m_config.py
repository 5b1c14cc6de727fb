import functools

import jax
import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
from neat_optax.aggregators._m_config import m_config
from properties import assert_trees_equal
from stepping import EVERYONE, gradients, replace


@functools.cache
def of(count):
    return m_config(num_players=count)


TX = of(3)


def test_by_hand():
    # one gradient each, so the averages are (1, 2) and (2, 1) and their direction is
    # (1, 1); the first pseudo-gradient is the direction itself, so Adam gives signs
    g = [np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0]])] * 2
    (first, second), state = stepping.play(of(2), g, present=np.eye(2, dtype=bool))
    np.testing.assert_array_equal(first, 0)
    np.testing.assert_allclose(second, [1.0, 1.0, 0.0], rtol=1e-6)
    assert int(state.step) == 1


@pytest.mark.fast("seq_3x10")
@pytest.mark.parametrize("case", goldens.DATA["sequences"])
def test_recorded_runs(case):
    """One gradient in each step; the rows of the others are not read."""
    recorded = goldens.DATA["sequences"][case]
    matrices = np.array(recorded["matrices"])
    count = matrices.shape[1]
    tx = of(count)
    state = stepping.start(tx, matrices[0])
    for expected in recorded["results"]["conflictfree.PseudoMomentumOperator"]["steps"]:
        fresh = np.arange(count) == expected["index"]
        j = matrices[expected["step_matrix"]]
        g = np.where(fresh[:, None], j, np.nan)
        update, state = stepping.step(tx, g, state, present=fresh)
        error = np.abs(np.asarray(update) - expected["vector"])
        assert np.max(error) < 1e-4, error


def test_absent_players():
    stepping.check_absent_players(TX)


def test_length_of_gradients_does_not_matter():
    stacks = [gradients(seed) for seed in range(3)]
    tx = m_config(eps=0.0, num_players=3)
    expected, _ = stepping.play(tx, stacks)
    for scale in (1e-12, 1e12):
        scaled = [jax.tree.map(lambda x, s=scale: x * s, g) for g in stacks]
        updates, _ = stepping.play(tx, scaled)
        np.testing.assert_allclose(updates[-1]["w"], expected[-1]["w"], rtol=1e-3)


def test_a_gradient_that_is_not_finite_is_not_fresh():
    _, state = stepping.play(TX, [gradients(0)], present=[EVERYONE])
    g, some = gradients(1), EVERYONE & [True, False, True]
    absent = stepping.step(TX, g, state, present=some)
    dropped = stepping.step(TX, replace(g, 1, np.inf), state, present=EVERYONE)
    assert_trees_equal(absent, dropped)
    assert np.any(absent[0]["w"] != 0)


def test_decays_of_zero_give_signs():
    tx = m_config(0.0, 0.0, 0.0, num_players=3)
    updates, _ = stepping.play(tx, [gradients(0), gradients(1)])
    np.testing.assert_allclose(np.abs(updates[-1]["w"]), 1.0, rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\), got 1.0\."):
        m_config(1.0, num_players=2)
    with pytest.raises(ValueError, match=r"`eps` must be in \[0, inf\), got -1.0\."):
        m_config(eps=-1.0, num_players=2)
    with pytest.raises(ValueError, match=r"must have 2 players, as `num_players` says"):
        stepping.step(m_config(num_players=2), gradients(0))
