"""The recorded cases of NeuroPlastic, and their configurations as chains."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import plasticity

_FILE = pathlib.Path(__file__).parent / "data" / "neuroplastic.json"
CASES = json.loads(_FILE.read_text())
CLOSE = dict(rtol=2e-5, atol=2e-6)
GRAD_ONLY = dict(activity_weight=0, gradient_weight=1, memory_weight=0)

EPSILON = "P1: an epsilon beside the mean sets the scale there"
DIFFERENT = {
    "all_zero_hits_min": EPSILON + "; a signal of zeros counts as 1 here",
    "tiny_gradients_1e-9": EPSILON,
    "eps_1e-3": EPSILON,
    "alpha_goes_negative_with_scale2": "P2: clipped again, so that nothing ascends",
}


def of(kind):
    cases = [case for case in CASES if case["kind"] == kind]
    return pytest.mark.parametrize("case", cases, ids=[case["name"] for case in cases])


def as_arrays(tree):
    return [jnp.asarray(x, jnp.float32) for x in tree]


def options(config):
    """The arguments of `coefficients` under the original's names."""
    weights = {
        f"{kind}_weight": config[f"{kind}_weight"]
        for kind in ("activity", "gradient", "memory")
        if f"{kind}_weight" in config
    }
    if config.get("mode") == "ablation_grad_only":
        weights = GRAD_ONLY
    granularity = neo.sparsity.entries
    if not config.get("parameterwise", True):
        granularity = neo.sparsity.arrays
    bounds = dict(
        minimum=config.get("min_alpha", 0.2), maximum=config.get("max_alpha", 2.0)
    )
    return dict(weights, granularity=granularity, **bounds)


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
