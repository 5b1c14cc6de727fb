"""Agreement with the recorded values of NeuroPlastic, and where it ends, and why."""

import jax
import numpy as np
import pytest

from neat_optax import plasticity
from neat_optax.plasticity._plan import PlasticityState
from plasticity_goldens import (
    CASES,
    CLOSE,
    DIFFERENT,
    as_arrays,
    by_steps,
    of,
    optimizer,
    options,
    stabilizer,
)

ONE = lambda step: 1.0 + 0 * step  # noqa: E731


@of("compute_plasticity")
def test_coefficient(case):
    """Decays of 1 keep the recorded averages as they are."""
    grad, *averages = (
        np.asarray(case["inputs"][name], np.float32)
        for name in ("grad", "activity_trace", "momentum", "variance")
    )
    decays = dict(
        activity=dict(decay=ONE), memory=dict(momentum_decay=ONE, variance_decay=ONE)
    )
    tx = plasticity.coefficients(**options(case["config"], **decays))
    state = tx.init(grad)
    pairs = zip(("activity", "momentum", "variance"), averages, strict=True)
    kept = {name: x for name, x in pairs if name in state.averages}
    step = jax.jit(lambda g, kept: tx.update(g, state._replace(averages=kept))[0])
    alpha = step(grad, kept)
    expected = np.asarray(case["expected"]["alpha"], np.float32)
    if case["name"] not in DIFFERENT:
        np.testing.assert_allclose(alpha, expected, **CLOSE)
        return
    assert not np.allclose(alpha, expected, **CLOSE)
    if case["name"] == "all_zero_hits_min":
        np.testing.assert_array_equal(alpha, np.full(4, 1.0))  # unchanged gradients
    else:  # in the same order, and within the same bounds
        assert np.argsort(alpha).tolist() == np.argsort(expected).tolist()
        larger = step(np.float32(1e3) * grad, _times(kept, 1e3))
        np.testing.assert_allclose(larger, alpha, rtol=1e-5)


def _times(kept, scale):
    """Memories of gradients that are larger by a factor."""
    powers = dict(activity=1, momentum=1, variance=2)
    return {name: x * np.float32(scale ** powers[name]) for name, x in kept.items()}


@of("stabilize")
def test_stabilizer(case):
    update = np.asarray(case["inputs"]["update"], np.float32)
    tx = stabilizer(case["config"])
    actual = jax.jit(lambda u: tx.update(u, tx.init(u))[0])(update)
    np.testing.assert_allclose(actual, case["expected"]["update"], **CLOSE)


@pytest.mark.fast(
    "traj_lr_controller_global",
    "traj_orthogonal_late_schedule",
    "traj_sgd_momentum_wd",
    "traj_rule_not_parameterwise",
    "test_weight_decay_coupled",
    "zero_gradient_steps",
)
@of("optimizer")
def test_trajectory(case):
    """The same parameters after each step."""
    visited, (states,) = by_steps(case["name"], (optimizer(case["config"]),))
    before = as_arrays(case["inputs"]["params"])
    for number, expected in enumerate(case["expected"]["steps"]):
        params = [x[number] for x in visited]
        wanted = as_arrays(expected["params"])
        if case["name"] in DIFFERENT and not _agree(params, wanted):
            assert case["name"] == "alpha_goes_negative_with_scale2"
            assert wanted[0][0] > before[0][0]  # against a positive gradient
            assert np.all(params[0] <= before[0])
            return
        for actual, recorded in zip(params, wanted, strict=True):
            np.testing.assert_allclose(actual, recorded, **CLOSE)
        state = jax.tree.map(lambda x, n=number: x[n], states)
        _assert_same_memories(state, expected["state"], case["config"])
        before = params
    assert case["name"] not in DIFFERENT


def _agree(params, wanted):
    return all(np.allclose(a, b, **CLOSE) for a, b in zip(params, wanted, strict=True))


def _assert_same_memories(state, recorded, config):
    """Where a memory is kept at all, it is the recorded one."""
    if config["plasticity"].get("mode") == "ablation_grad_only":
        return
    names = dict(activity="activity_trace", momentum="momentum", variance="variance")
    holders = [
        x
        for x in jax.tree.leaves(state, is_leaf=_keeps_averages)
        if _keeps_averages(x) and x.averages
    ]
    assert holders
    for holder in holders:
        for ours, theirs in names.items():
            pairs = zip(holder.averages[ours], recorded, strict=True)
            for actual, leaf in pairs:
                np.testing.assert_allclose(actual, leaf[theirs], **CLOSE)


def _keeps_averages(node):
    return isinstance(node, PlasticityState)


def test_every_difference_is_one_of_a_recorded_case():
    assert set(DIFFERENT) <= {case["name"] for case in CASES}
