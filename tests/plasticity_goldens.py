"""The recorded cases of NeuroPlastic, and their configurations as chains."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import plasticity

_FILE = pathlib.Path(__file__).parent / "data" / "neuroplastic.json"
CASES = json.loads(_FILE.read_text())
CLOSE = dict(rtol=2e-5, atol=2e-6)
GRAD_ONLY = dict(signals=[plasticity.gradient(1.0)])

EPSILON = "P1: an epsilon beside the mean sets the scale there"
DIFFERENT = {
    "all_zero_hits_min": EPSILON + "; a signal of zeros counts as 1 here",
    "tiny_gradients_1e-9": EPSILON,
    "eps_1e-3": EPSILON,
    "alpha_goes_negative_with_scale2": "P2: clipped again, so that nothing ascends",
}


def of(kind, fast=None):
    """Parametrizes a test by the cases of a kind; `fast` names those not slow."""
    slow = pytest.mark.slow
    cases = [
        pytest.param(
            case,
            id=case["name"],
            marks=[slow] if fast and case["name"] not in fast else [],
        )
        for case in CASES
        if case["kind"] == kind
    ]
    return pytest.mark.parametrize("case", cases)


def as_arrays(tree):
    return [np.asarray(x, np.float32) for x in tree]


def options(config, **decays):
    """The arguments of `coefficients` under the original's names."""
    weights = dict(gradient=0.4, activity=0.4, memory=0.2)
    for kind in weights:
        weights[kind] = config.get(f"{kind}_weight", weights[kind])
    if config.get("mode") == "ablation_grad_only":
        weights = dict(gradient=1.0, activity=0, memory=0)
    signals = [
        getattr(plasticity, kind)(weight, **decays.get(kind, {}))
        for kind, weight in weights.items()
    ]
    granularity = neo.sparsity.entries
    if not config.get("parameterwise", True):
        granularity = neo.sparsity.arrays
    bounds = dict(
        minimum=config.get("min_alpha", 0.2), maximum=config.get("max_alpha", 2.0)
    )
    return dict(signals=signals, granularity=granularity, **bounds)


def gain(config, scale=1.0, monitor=False):
    """The original's gain, which remembers nothing."""
    return plasticity.stabilize(
        config.get("target_rms", 0.02) * scale or 1e-30,
        jnp.float32(config.get("adaptation_rate", 0.01)),
        rule=plasticity.memoryless,
        minimum=0.5,
        maximum=1.5,
        monitor=monitor,
    )


def stabilizer(config, monitor=False):
    """The original's stabilizer; thirds by index are labels here."""
    scales = [config.get(f"{x}_target_rms_scale", 1.0) for x in ("early", "middle")]
    scales.append(config.get("late_target_rms_scale", 1.0))
    clip = neo.plasticity.clip_leaf_norm(
        config.get("max_update_norm", 1.0), monitor=monitor
    )
    if len(set(scales)) == 1:
        return optax.chain(clip, gain(config, scales[0], monitor))

    def third(params):
        n = len(params)
        ends = np.ceil(n / 3), np.ceil(2 * n / 3)
        return [int(np.searchsorted(ends, i, side="right")) for i in range(n)]

    gains = {
        number: gain(config, scale, monitor) for number, scale in enumerate(scales)
    }
    return optax.chain(clip, optax.partition(gains, third))


def alphas(config):
    """Coefficients and those of the gradient alone, in the same bounds."""
    kwargs = options(config)
    strength = config.get("plasticity_scale", 1.0)
    return kwargs | dict(strength=strength), kwargs | GRAD_ONLY


def classic(config, monitor=False):
    """The original's gradient descent: plain, or by a residual."""
    full, alone = alphas(config)
    inner = neo.plasticity.scale_by_plasticity(**full, monitor=monitor)
    if not config.get("orthogonal_residual"):
        return inner
    strength = config.get("orthogonal_lambda", 0.1)
    if config.get("orthogonal_schedule") == "late":  # epochs 1 to 4 of 4, from 0.3 on
        late = optax.linear_schedule(0.0, strength, 28, 12)
        strength = lambda step: late(10 * (step + 1))  # noqa: E731
    return neo.plasticity.orthogonal_residual(
        inner,
        neo.plasticity.scale_by_plasticity(**alone),
        strength=strength,
        ratio=config.get("orthogonal_max_ratio", 0.5),
        monitor=monitor,
    )


early_blocks = neo.by_path(lambda path, _: path in ("0", "1"))
"""Four arrays of six are no classifier, and the first two of them are early."""


def modulated(config, base, decay, debias, monitor=False):
    target = plasticity.gain
    if config.get("modulation_target") == "momentum":
        target = plasticity.momentum_target(decay, debias=debias)
    return neo.plasticity.modulate(
        base,
        plasticity.coefficients(**alphas(config)[0], monitor=monitor),
        target=target,
        strength=config.get("modulation_strength", 0.15),
        ratio=config.get("modulation_max_ratio", 0.25),
        mask=early_blocks if config.get("layer_scope") == "early_blocks" else None,
        monitor=monitor,
    )


def optimizer(config, monitor=False):
    """The recorded configuration as a chain."""
    options_, decay = config["plasticity"], config["weight_decay"]
    stable = stabilizer(config["homeostatic"], monitor)
    weights = optax.add_decayed_weights(decay)
    rate = optax.scale_by_learning_rate(config["lr"])
    base = options_.get("hybrid_base", "classic")
    if base == "adamw":
        adam = modulated(options_, optax.scale_by_adam(), 0.9, True, monitor)
        return optax.chain(adam, stable, weights, rate)
    if base == "sgd_momentum":
        # The gradient that the coefficients see has no decay in it.
        heavy = optax.chain(weights, optax.trace(0.9))
        return optax.chain(
            modulated(options_, heavy, 0.9, False, monitor), stable, rate
        )
    parts = [classic(options_, monitor), stable]
    parts.insert(2 if config["decoupled_weight_decay"] else 1, weights)
    chained = optax.chain(*parts, rate)
    if options_.get("lr_controller_mode") != "global":
        return chained
    return neo.plasticity.modulate_rate(
        chained,
        *[plasticity.coefficients(**x) for x in alphas(options_)],
        strength=options_["controller_alpha"],
        scope=neo.whole_tree,
        monitor=monitor,
    )


def by_steps(name, pair):
    """The parameters and the states of two optimizers after each step of a case.

    The first one moves the parameters.
    """
    case = next(case for case in CASES if case["name"] == name)

    def step(carry, gradients):
        params, states = carry
        moves = [
            tx.update(gradients, state, params)
            for tx, state in zip(pair, states, strict=True)
        ]
        (updates, _), (_, states) = moves[0], zip(*moves, strict=True)
        carry = optax.apply_updates(params, updates), states
        return carry, carry

    @jax.jit
    def run(params, gradients):
        start = params, tuple(tx.init(params) for tx in pair)
        return jax.lax.scan(step, start, gradients)[1]

    steps = zip(*map(as_arrays, case["inputs"]["grads"]), strict=True)
    gradients = [np.stack(step) for step in steps]
    found = run(as_arrays(case["inputs"]["params"]), gradients)
    return jax.tree.map(np.asarray, found)


@functools.cache
def states_of(name):
    """The states of a case whose optimizer records, and of one beside it.

    That is a residual that adds nothing, and records by how much the coefficients
    differ from those of the gradient alone.
    """
    config = next(case["config"] for case in CASES if case["name"] == name)
    full, alone = (
        plasticity.scale_by_plasticity(**x) for x in alphas(config["plasticity"])
    )
    beside = plasticity.orthogonal_residual(full, alone, strength=0, monitor=True)
    return by_steps(name, (optimizer(config, monitor=True), beside))[1]
