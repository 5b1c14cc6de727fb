import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aggregator_goldens as goldens
from neat_optax.aggregators._m_config import m_config
from player_contract import PARAMS, check_contract, compiled, gradients, replace, run
from properties import assert_trees_equal


def test_by_hand():
    # one gradient each, so the averages are (1, 2) and (2, 1) and their direction is
    # (1, 1); the first pseudo-gradient is the direction itself, so Adam gives signs
    tx, g = compiled(m_config(2)), jnp.array([[1.0, 2.0], [2.0, 1.0]])
    state = tx.init(g[0])
    first, state = tx.update(g, state, present=jnp.array([True, False]))
    second, state = tx.update(g, state, present=jnp.array([False, True]))
    np.testing.assert_array_equal(first, 0)
    np.testing.assert_allclose(second, [1.0, 1.0], rtol=1e-6)
    assert int(state.step) == 1


@pytest.mark.parametrize("case", goldens.DATA["sequences"])
def test_recorded_runs(case):
    """One gradient in each step; the rows of the others are not read."""
    recorded = goldens.DATA["sequences"][case]
    matrices = np.array(recorded["matrices"])
    count = matrices.shape[1]
    tx = m_config(count)
    step, state = jax.jit(tx.update), tx.init(jnp.zeros(matrices.shape[2]))
    for expected in recorded["results"]["conflictfree.PseudoMomentumOperator"]["steps"]:
        fresh = np.arange(count) == expected["index"]
        j = matrices[expected["step_matrix"]]
        g = jnp.asarray(np.where(fresh[:, None], j, np.nan), jnp.float32)
        update, state = step(g, state, present=jnp.asarray(fresh))
        error = np.abs(np.asarray(update) - expected["vector"])
        assert np.max(error) < 1e-4, error


def test_contract():
    check_contract(m_config(3))


def test_length_of_gradients_does_not_matter():
    stacks = [gradients(seed) for seed in range(3)]
    tx = compiled(m_config(3, eps=0.0))
    expected, _ = run(tx, stacks)
    for scale in (1e-12, 1e12):
        scaled = [jax.tree.map(lambda x, s=scale: x * s, g) for g in stacks]
        update, _ = run(tx, scaled)
        np.testing.assert_allclose(update["w"], expected["w"], rtol=1e-3)


def test_a_gradient_that_is_not_finite_is_not_fresh():
    tx, everyone = compiled(m_config(3)), jnp.ones(3, bool)
    _, state = run(tx, [gradients(0)], present=everyone)
    g = gradients(1)
    absent = tx.update(g, state, PARAMS, present=everyone.at[1].set(False))
    dropped = tx.update(replace(g, 1, jnp.inf), state, PARAMS, present=everyone)
    assert_trees_equal(absent, dropped)
    assert np.any(absent[0]["w"] != 0)


def test_decays_of_zero_give_signs():
    update, _ = run(compiled(m_config(3, 0.0, 0.0, 0.0)), [gradients(0), gradients(1)])
    np.testing.assert_allclose(np.abs(update["w"]), 1.0, rtol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\), got 1.0\."):
        m_config(2, 1.0)
    with pytest.raises(ValueError, match=r"`eps` must be in \[0, inf\), got -1.0\."):
        m_config(2, eps=-1.0)
    with pytest.raises(ValueError, match=r"must have 2 players, as `num_players` says"):
        run(m_config(2), [gradients(0)])
