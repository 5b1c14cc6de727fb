"""Agreement with the recorded values of NeuroPlastic, and where it ends, and why."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import plasticity
from plasticity_goldens import (
    CASES,
    CLOSE,
    DIFFERENT,
    as_arrays,
    of,
    optimizer,
    options,
    stabilizer,
)


@of("compute_plasticity")
def test_coefficient(case):
    """Decays of 1 would keep the recorded memories; here the gradient is taken back."""
    grad, *memories = (
        jnp.asarray(case["inputs"][name], jnp.float32)
        for name in ("grad", "activity_trace", "momentum", "variance")
    )
    tx = plasticity.coefficients(
        **options(case["config"]),
        activity_decay=lambda step: 1.0 + 0 * step,
        momentum_decay=lambda step: 1.0 + 0 * step,
        variance_decay=lambda step: 1.0 + 0 * step,
    )
    state = tx.init(grad)
    names = ("activity", "momentum", "variance")
    pairs = zip(names, memories, strict=True)
    kept = {name: x for name, x in pairs if not isinstance(getattr(state, name), tuple)}
    alpha, _ = tx.update(grad, state._replace(**kept))
    expected = np.asarray(case["expected"]["alpha"], np.float32)
    if case["name"] not in DIFFERENT:
        np.testing.assert_allclose(alpha, expected, **CLOSE)
        return
    assert not np.allclose(alpha, expected, **CLOSE)
    if case["name"] == "all_zero_hits_min":
        np.testing.assert_array_equal(alpha, np.full(4, 1.0))  # unchanged gradients
    else:  # in the same order, and within the same bounds
        assert np.argsort(alpha).tolist() == np.argsort(expected).tolist()
        larger, _ = tx.update(1e3 * grad, state._replace(**_times(kept, 1e3)))
        np.testing.assert_allclose(larger, alpha, rtol=1e-5)


def _times(kept, scale):
    """Memories of gradients that are larger by a factor."""
    powers = dict(activity=1, momentum=1, variance=2)
    return {name: x * scale ** powers[name] for name, x in kept.items()}


@of("stabilize")
def test_stabilizer(case):
    update = jnp.asarray(case["inputs"]["update"], jnp.float32)
    tx = stabilizer(case["config"])
    actual, _ = tx.update(update, tx.init(update))
    np.testing.assert_allclose(actual, case["expected"]["update"], **CLOSE)


@of("optimizer")
def test_trajectory(case):
    """The same parameters after each step."""
    tx = optimizer(case["config"])
    params = as_arrays(case["inputs"]["params"])
    state = tx.init(params)
    step = jax.jit(tx.update)
    pairs = zip(case["inputs"]["grads"], case["expected"]["steps"], strict=True)
    for gradients, expected in pairs:
        updates, state = step(as_arrays(gradients), state, params)
        before, params = params, optax.apply_updates(params, updates)
        wanted = as_arrays(expected["params"])
        if case["name"] in DIFFERENT and not _agree(params, wanted):
            assert case["name"] == "alpha_goes_negative_with_scale2"
            assert wanted[0][0] > before[0][0]  # against a positive gradient
            assert np.all(params[0] <= before[0])
            return
        for actual, recorded in zip(params, wanted, strict=True):
            np.testing.assert_allclose(actual, recorded, **CLOSE)
        _assert_same_memories(state, expected["state"], case["config"])
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
        for x in jax.tree.leaves(state, is_leaf=_keeps_memories)
        if _keeps_memories(x) and x.activity
    ]
    for holder in holders:
        for ours, theirs in names.items():
            pairs = zip(getattr(holder, ours), recorded, strict=True)
            for actual, leaf in pairs:
                np.testing.assert_allclose(actual, leaf[theirs], **CLOSE)


def _keeps_memories(node):
    return hasattr(node, "activity") and hasattr(node, "variance")


def test_every_difference_is_one_of_a_recorded_case():
    assert set(DIFFERENT) <= {case["name"] for case in CASES}
