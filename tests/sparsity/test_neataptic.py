"""Agreement with the recorded values of NeatapticTS, and where it ends, and why."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax.sparsity import bang_bang, make_mask, snip
from neat_optax.sparsity._feedback import adapt_level, start_level

FILE = pathlib.Path(__file__).parents[1] / "data" / "neataptic.json"
CASES = json.loads(FILE.read_text())

REFUSED = {
    "interval_0_never_active": "an interval of 0 is an error, and not never",
    "negative_start": "steps count from 0",
    "target_above_one_not_validated": "a sparsity of 1 or more is an error",
    "negative_target_sparsity": "so is a negative one",
}
ROUNDING = "10 * (1 - 0.8) is 1.9999999999999996 there, and 2 here"
DIFFERENT = {
    "floor_float_error_0.8": ROUNDING,
    "start_equals_end": "a ramp without length is at its end, and not at its start",
}


def of(kind):
    cases = [case for case in CASES if case["kind"] == kind]
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def kept_at(tx, weights, steps):
    """How many weights are kept after a call at each of those steps."""

    def one(state, step):
        _, state = tx.update(weights, state._replace(step=step), weights, grad=weights)
        return state, jnp.sum(state.mask)

    played = jax.jit(lambda steps: jax.lax.scan(one, tx.init(weights), steps)[1])
    return played(np.asarray(steps, np.int32)).tolist()


@jax.jit
def adapted(state, complexity, sparsity, tolerance, rate):
    control = bang_bang(rate)
    return adapt_level(
        state, complexity, sparsity=sparsity, tolerance=tolerance, control=control
    )


def scheduled(config):
    """The original's options as a transformation of ours."""
    target, begin = config["targetSparsity"], config.get("startGeneration", 0)
    ramp = config.get("rampGenerations", 0)
    sparsity = optax.linear_schedule(0.0, target, ramp, begin) if ramp > 0 else target
    every = config.get("interval", 1)
    score = snip if config.get("method") == "snip" else neo.sparsity.magnitude
    tx = neo.sparsity.prune_to_sparsity(sparsity, begin=begin, every=every, score=score)
    return tx, sparsity


@of("scheduled_pruning")
def test_scheduled_pruning(case):
    """Active at the same steps, with the same sparsity."""
    if case["name"] in REFUSED:
        with pytest.raises(ValueError, match=r"^`(every|begin|sparsity)` must be"):
            neo.sparsity.prune_to_sparsity(
                case["config"]["targetSparsity"],
                begin=case["config"].get("startGeneration", 0),
                every=case["config"].get("interval", 1),
            )
        return
    tx, sparsity = scheduled(case["config"])
    w = np.arange(1.0, 201.0, dtype="f4").reshape(20, 10)
    steps = case["expected"]["steps"]
    counts = kept_at(tx, w, [step["generation"] for step in steps])
    asked = 0.0
    for step, count in zip(steps, counts, strict=True):
        if step["active"]:
            asked = step["target_sparsity"]
            value = sparsity(step["generation"]) if callable(sparsity) else sparsity
            np.testing.assert_allclose(value, asked, rtol=1e-6)
        kept = int(np.floor(200 * (1 - asked) + 1e-6))
        assert count == kept


@of("adaptive_pruning")
def test_adaptive_pruning(case):
    """The same levels, from the same observations."""
    config = case["config"]
    if case["name"] in REFUSED:
        with pytest.raises(ValueError, match=r"^`sparsity` must be in \[0, 1\)"):
            neo.sparsity.adapt_pruning(config["targetSparsity"])
        return
    steps = case["expected"]["steps"]
    if not config.get("enabled"):
        assert all(step["calls"] == 0 for step in steps)  # left out of the chain here
        return
    start = case["inputs"]["initial_prune_level"]
    baseline = case["inputs"]["initial_baseline"]
    state = start_level(0.0 if start is None else start)
    if baseline is not None:
        state = state._replace(baseline=np.float32(baseline))
    numbers = ("targetSparsity", 0.5), ("tolerance", 0.05), ("adjustRate", 0.02)
    options = [np.float32(config.get(*number)) for number in numbers]
    for step in steps:
        state, moved = adapted(state, np.float32(step["metric_value"]), *options)
        assert bool(moved) == step["adjusted"]
        np.testing.assert_allclose(state.level, step["prune_level"], 2e-5, 1e-7)
        np.testing.assert_allclose(state.baseline, step["baseline"], 1e-6)


@of("genome_prune_to_sparsity")
def test_genome_pruning(case):
    """The same connections stay, equal ones included."""
    weights = np.float32([case["inputs"]["weights"]])
    proxies = case["inputs"]["gradient_proxies"]
    grad = weights if proxies is None else np.float32([proxies])
    mask = np.ones_like(weights, dtype=bool)
    for (target, method), step in zip(
        case["inputs"]["calls"], case["expected"]["steps"], strict=True
    ):
        score = snip if method == "snip" else neo.sparsity.magnitude
        mask = mask & make_mask(weights * mask, target, score=score, grad=grad)
        kept = np.flatnonzero(mask[0]).tolist()
        if case["name"] in DIFFERENT:
            assert (len(kept), step["count"]) == (2, 1)
            assert set(step["remaining"]) < set(kept)
        else:
            assert kept == step["remaining"]


@of("training_prune_schedule")
def test_training_schedule(case):
    """The same counts; a frequency of 0 means 1 there."""
    config = case["config"]
    begin, end = config["start"], config["end"]
    target = config["targetSparsity"]
    ramp = optax.linear_schedule(0.0, target, end - begin, begin)
    tx = neo.sparsity.prune_to_sparsity(
        ramp if end > begin else target,
        begin=begin,
        end=end,
        every=config["frequency"] or 1,
    )
    w = np.arange(1.0, case["inputs"]["n_connections"] + 1, dtype="f4")[None, :] / 10
    steps = case["expected"]["steps"]
    counts = kept_at(tx, w, [step["iteration"] for step in steps])
    for step, count in zip(steps, counts, strict=True):
        if case["name"] in DIFFERENT and step["iteration"] >= begin:
            assert (count, step["count"]) == (5, 10)
        else:
            assert count == step["count"]


def test_every_difference_is_one_of_a_recorded_case():
    names = {case["name"] for case in CASES}
    assert set(REFUSED) | set(DIFFERENT) <= names
