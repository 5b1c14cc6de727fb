import jax
import numpy as np
import pytest

import aggregator_goldens as goldens
import stepping
import weight_rules
from neat_optax._leaves import per_leaf
from neat_optax.aggregators._excess_mtl import excess_mtl, excess_mtl_weights
from stepping import EVERYONE, gradients, replace

TX = excess_mtl(num_players=3)
PADDED = {
    warmup: excess_mtl(warmup_steps=warmup, num_players=weight_rules.SEATS)
    for warmup in (0, 2)
}
WARM = excess_mtl(warmup_steps=1, num_players=3)


def test_by_hand():
    weights = stepping.call(excess_mtl_weights, np.log([1.0, 9.0]), None, 0.5)
    np.testing.assert_allclose(weights, [0.25, 0.75], rtol=1e-6)
    # first risks are sums of magnitudes, 1 and 1 + ln 3
    g = np.array([[1.0, 0.0], [-1.0, np.log(3.0)]])
    update, _ = stepping.step(excess_mtl(num_players=2), g)
    np.testing.assert_allclose(update, [-0.5, 0.75 * np.log(3.0)], rtol=1e-6)


@pytest.mark.parametrize("case", goldens.DATA["sequences"])
@pytest.mark.parametrize(("name", "warmup"), [("ExcessMTL", 0), ("ExcessMTL_warm2", 2)])
def test_recorded_runs(case, name, warmup):
    recorded = goldens.DATA["sequences"][case]
    matrices = np.array(recorded["matrices"])
    steps = recorded["results"][f"torchjd.{name}"]["steps"]
    js = [matrices[t % len(matrices)] for t in range(len(steps))]
    padded, present = weight_rules.pad(js)
    updates = weight_rules.play(PADDED[warmup], padded, present=present)
    for update, expected, j in zip(updates, steps, js, strict=True):
        vector = np.array(expected["vector"])
        assert goldens.error(update[: len(vector)], vector, j) < 5e-5


@pytest.mark.slow
def test_scopes_share_the_risks_of_the_whole_tree():
    stacks = [gradients(0), gradients(1)]
    everyone = [EVERYONE] * 2
    whole, _ = stepping.play(TX, stacks, present=everyone)
    leaves, _ = stepping.play(excess_mtl(scope=per_leaf, num_players=3), stacks)
    np.testing.assert_allclose(whole[-1]["w"], leaves[-1]["w"], rtol=1e-6)


def test_absent_players():
    stepping.check_absent_players(WARM)


def test_lengths_do_not_matter_after_a_warmup():
    """Where TorchJD's 1e-7 would drown short gradients."""
    found = []
    for scale in (1.0, 1e-25, 1e25):
        stacks = [
            jax.tree.map(lambda x, s=scale: x * s, gradients(seed)) for seed in range(3)
        ]
        _, state = stepping.play(WARM, stacks, present=[EVERYONE] * 3)
        found.append(state.aggregate.weighting.logits[0])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4)


def test_a_zero_unit_waits_for_the_first_risk():
    _, state = stepping.step(TX, replace(gradients(0), 1, 0.0), present=EVERYONE)
    assert float(state.aggregate.weighting.unit[0, 1]) == 0
    _, state = stepping.step(TX, gradients(1), state, present=EVERYONE)
    assert float(state.aggregate.weighting.unit[0, 1]) > 0
    assert np.all(np.isfinite(state.aggregate.weighting.logits))


def test_absent_players_keep_their_state():
    _, before = stepping.step(TX, gradients(0), present=EVERYONE)
    broken = replace(gradients(1), 2, np.inf)
    _, after = stepping.step(TX, broken, before, present=EVERYONE)
    np.testing.assert_array_equal(before.roots["w"][2], after.roots["w"][2])
    assert np.all(after.roots["w"][0] > before.roots["w"][0])


def test_errors():
    with pytest.raises(ValueError, match=r"`step_size` must be in \(0, inf\), got 0.0"):
        excess_mtl(0.0, num_players=2)
    with pytest.raises(ValueError, match=r"`warmup_steps` must be an integer >= 0"):
        excess_mtl(warmup_steps=-1, num_players=2)
    with pytest.raises(ValueError, match=r"must have 2 players, as `num_players` says"):
        stepping.step(excess_mtl(num_players=2), gradients(0))
