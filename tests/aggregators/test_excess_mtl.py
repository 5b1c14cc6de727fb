import jax
import jax.numpy as jnp
import numpy as np
import pytest

import aggregator_goldens as goldens
from neat_optax._leaves import per_leaf
from neat_optax.aggregators._excess_mtl import excess_mtl, excess_mtl_weights
from player_contract import PARAMS, check_contract, compiled, gradients, replace, run


def test_by_hand():
    weights = excess_mtl_weights(jnp.log(jnp.array([1.0, 9.0])), None, 0.5)
    np.testing.assert_allclose(weights, [0.25, 0.75], rtol=1e-6)
    # first risks are sums of magnitudes, 1 and 1 + ln 3
    g = jnp.array([[1.0, 0.0], [-1.0, np.log(3.0)]])
    update, _ = excess_mtl(num_players=2).update(
        g, excess_mtl(num_players=2).init(g[0])
    )
    np.testing.assert_allclose(update, [-0.5, 0.75 * np.log(3.0)], rtol=1e-6)


@pytest.mark.parametrize("case", goldens.DATA["sequences"])
@pytest.mark.parametrize(("name", "warmup"), [("ExcessMTL", 0), ("ExcessMTL_warm2", 2)])
def test_recorded_runs(case, name, warmup):
    recorded = goldens.DATA["sequences"][case]
    matrices = np.array(recorded["matrices"])
    tx = excess_mtl(warmup_steps=warmup, num_players=matrices.shape[1])
    step, state = jax.jit(tx.update), tx.init(jnp.zeros(matrices.shape[2]))
    steps = recorded["results"][f"torchjd.{name}"]["steps"]
    for t, expected in enumerate(steps):
        j = matrices[t % len(matrices)]
        update, state = step(jnp.asarray(j, jnp.float32), state)
        assert goldens.error(update, np.array(expected["vector"]), j) < 5e-5


def test_scopes_share_the_risks_of_the_whole_tree():
    stacks = [gradients(0), gradients(1)]
    whole, _ = run(compiled(excess_mtl(num_players=3)), stacks)
    leaves, _ = run(compiled(excess_mtl(scope=per_leaf, num_players=3)), stacks)
    np.testing.assert_allclose(whole["w"], leaves["w"], rtol=1e-6)


def test_contract():
    check_contract(excess_mtl(warmup_steps=1, num_players=3))


def test_lengths_do_not_matter_after_a_warmup():
    """Where TorchJD's 1e-7 would drown short gradients."""
    tx, found = compiled(excess_mtl(warmup_steps=1, num_players=3)), []
    for scale in (1.0, 1e-25, 1e25):
        stacks = [
            jax.tree.map(lambda x, s=scale: x * s, gradients(seed)) for seed in range(3)
        ]
        _, state = run(tx, stacks)
        found.append(state.aggregate.weighting.logits[0])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4)


def test_a_zero_unit_waits_for_the_first_risk():
    tx = compiled(excess_mtl(num_players=3))
    _, state = run(tx, [replace(gradients(0), 1, 0.0)])
    assert float(state.aggregate.weighting.unit[0, 1]) == 0
    _, state = tx.update(gradients(1), state, PARAMS)
    assert float(state.aggregate.weighting.unit[0, 1]) > 0
    assert np.all(np.isfinite(state.aggregate.weighting.logits))


def test_absent_players_keep_their_state():
    tx = compiled(excess_mtl(num_players=3))
    _, before = run(tx, [gradients(0)])
    _, after = tx.update(replace(gradients(1), 2, jnp.inf), before, PARAMS)
    np.testing.assert_array_equal(before.roots["w"][2], after.roots["w"][2])
    assert np.all(after.roots["w"][0] > before.roots["w"][0])


def test_errors():
    with pytest.raises(ValueError, match=r"`step_size` must be in \(0, inf\), got 0.0"):
        excess_mtl(0.0, num_players=2)
    with pytest.raises(ValueError, match=r"`warmup_steps` must be an integer >= 0"):
        excess_mtl(warmup_steps=-1, num_players=2)
    with pytest.raises(ValueError, match=r"must have 2 players, as `num_players` says"):
        run(excess_mtl(num_players=2), [gradients(0)])
