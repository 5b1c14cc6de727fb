"""One NEAT step on one tensor."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from neat_optax.reference import _vectors as v


@dataclasses.dataclass(frozen=True)
class State:
    """Everything that one tensor remembers; None means zeros.

    A `slow_param` of None means the parameter as it enters the step.
    """

    momentum: Any = None
    nce: Any = None
    previous_gradient: Any = None
    gradient_ema: Any = None
    second_moment: Any = None
    slow_param: Any = None
    conflict_ema: float = 0.0
    gradient_noise_ema: float = 0.0
    alignment_ema: float = 0.0
    step: int = 0


class Step(NamedTuple):
    """Result of one step."""

    param: np.ndarray
    state: State
    metrics: dict[str, float]


def zeros_like(param: Any) -> State:
    """The state before the first step."""
    zero = np.zeros_like(_wide(param))
    return State(zero, zero, zero, zero, np.zeros(zero.shape), _wide(param))


def neat_step(param: Any, grad: Any, state: State, config: Any) -> Step:
    """One step of NEAT.

    Args:
      param: the tensor.
      grad: its gradient, of the same shape.
      state: a `State`; it is not changed.
      config: a `NEATConfig`.

    Returns:
      The new tensor, the new state, and the metrics of the original by name.

    Raises:
      ValueError: if the shapes differ.
    """
    p0, g = _wide(param), _wide(grad)
    if p0.shape != g.shape:
        raise ValueError(
            f"`grad` must have the shape of `param`, got {g.shape} for {p0.shape}."
        )
    old = _filled(p0, state)
    if not config.decouple_weight_decay:
        g = g + config.weight_decay * p0
    if config.gradient_centralization:
        g = v.centralize(g)
    if not np.all(np.isfinite(g)):
        return _skip(p0, g, old, config)
    moment = v.average(old.second_moment, np.abs(g) ** 2, config.second_moment_beta)
    root = _root(moment, old.step + 1, config)
    o = _opponent(old, config)
    q, facts = _correct(g, o, root, old, config)
    m = v.average(old.momentum, g + q, config.beta)
    x = _direction(m, g + q, root, old.step + 1, config)
    p, slow = _move(p0, x, old, config)
    new = State(
        momentum=m,
        nce=q,
        previous_gradient=g,
        gradient_ema=v.average(old.gradient_ema, g, config.opponent_ema_decay),
        second_moment=moment,
        slow_param=slow,
        conflict_ema=facts["conflict_ema"],
        gradient_noise_ema=facts["noise_ema"],
        alignment_ema=facts["alignment_ema"],
        step=old.step + 1,
    )
    return Step(p, new, _metrics(g, q, x, o, p, facts))


def _correct(g: np.ndarray, o: np.ndarray, root: Any, old: State, config: Any):
    """The correction, and the numbers that decided it."""
    judged_in = root if _preconditioned(config) else 1.0
    gt, ot = g / judged_in, o / judged_in
    measured = v.conflict(gt, ot)
    habit = v.average(old.conflict_ema, measured, config.adaptive_correction_decay)
    noise = v.ratio(v.norm(g - old.gradient_ema), v.norm(g) + v.norm(old.gradient_ema))
    alignment = v.cosine(g, old.previous_gradient)
    noise_ema = v.average(old.gradient_noise_ema, noise, config.gradient_noise_decay)
    alignment_ema = v.average(old.alignment_ema, alignment, config.gradient_noise_decay)
    alpha = config.alpha
    if config.adaptive_alpha:
        wish = 1 + habit + noise_ema - 0.5 * max(0.0, alignment_ema)
        alpha = float(
            np.clip(alpha * wish, config.adaptive_alpha_min, config.adaptive_alpha_max)
        )
    idle = config.nce_mode == "off" or old.step < config.correction_warmup_steps
    q = np.zeros_like(g)
    if not idle and measured >= config.conflict_threshold - 1e-6:
        scale = v.scale_of(gt, ot, max(measured, habit), config)
        away = v.correction_direction(gt, ot, config.nce_mode)
        q = -alpha * scale * measured * away * judged_in
        q = v.limit(q, config.nce_clip_ratio * v.norm(g))
    facts = {
        "conflict": 0.0 if idle else measured,
        "conflict_ema": habit,
        "noise": noise,
        "noise_ema": noise_ema,
        "alignment_ema": alignment_ema,
        "alpha": alpha,
    }
    return q, facts


def _opponent(old: State, config: Any):
    blend = config.opponent_blend
    choices = {
        "momentum": old.momentum,
        "previous_gradient": old.previous_gradient,
        "gradient_ema": old.gradient_ema,
        "blended": blend * old.momentum + (1 - blend) * old.gradient_ema,
    }
    return choices[config.opponent_source]


def _direction(
    m: np.ndarray, corrected: np.ndarray, root: Any, count: int, config: Any
):
    """What the learning rate multiplies."""
    mean = m / (1 - config.beta**count) if config.bias_correction else m
    x = mean
    if config.nesterov:
        x = config.beta * mean + (1 - config.beta) * corrected
    if config.adaptive_preconditioning:
        x = x / root
    return np.sign(x) if config.update_mode == "lion" else x


def _root(moment: np.ndarray, count: int, config: Any):
    if config.bias_correction:
        moment = moment / (1 - config.second_moment_beta**count)
    return np.sqrt(moment) + config.eps


def _move(p0: np.ndarray, x: np.ndarray, old: State, config: Any):
    """The new parameter and slow copy: decay, learning rate, lookahead, thresholds."""
    decay = config.weight_decay if config.decouple_weight_decay else 0.0
    p = p0 - config.learning_rate * (x + decay * p0)
    slow = old.slow_param
    if config.lookahead_k > 0 and (old.step + 1) % config.lookahead_k == 0:
        p = slow = slow + config.lookahead_alpha * (p - slow)
    p = v.soften(p, config.learning_rate * config.sparsity_l1)
    return v.prune(p, config.prune_threshold), slow


def _metrics(
    g: np.ndarray,
    q: np.ndarray,
    x: np.ndarray,
    o: np.ndarray,
    p: np.ndarray,
    facts: dict[str, float],
):
    grad_norm, nce_norm = v.norm(g), v.norm(q)
    return {
        "grad_norm": grad_norm,
        "update_norm": v.norm(x),
        "nce_norm": nce_norm,
        "conflict_ratio": facts["conflict"],
        "active_fraction": float(np.mean(p != 0)) if p.size else 1.0,
        "opponent_norm": v.norm(o),
        "correction_ratio": v.ratio(nce_norm, grad_norm),
        "update_alignment": v.cosine(g, g + q),
        "correction_active": float(nce_norm > 0),
        "effective_alpha": facts["alpha"],
        "gradient_noise": facts["noise"],
    }


def _skip(p0: np.ndarray, g: np.ndarray, old: State, config: Any):
    """A gradient that is not finite: the step goes on as with an update of zero.

    Histories are left as they were, the second moment where an entry is not finite;
    the scalar averages see zeros.
    """
    finite = np.isfinite(g)
    square = np.abs(np.where(finite, g, 0.0)) ** 2
    moment = v.average(old.second_moment, square, config.second_moment_beta)
    zero = np.zeros_like(p0)
    p, slow = _move(p0, zero, old, config)
    facts: dict[str, float] = dict.fromkeys(("conflict", "noise", "alpha"), 0.0)
    decay = config.gradient_noise_decay
    new = dataclasses.replace(
        old,
        nce=zero,
        second_moment=np.where(finite, moment, old.second_moment),
        slow_param=slow,
        conflict_ema=v.average(old.conflict_ema, 0.0, config.adaptive_correction_decay),
        gradient_noise_ema=v.average(old.gradient_noise_ema, 0.0, decay),
        alignment_ema=v.average(old.alignment_ema, 0.0, decay),
        step=old.step + 1,
    )
    return Step(p, new, _metrics(zero, zero, zero, zero, p, facts))


def _preconditioned(config: Any):
    return config.adaptive_preconditioning and config.precondition_nce


def _filled(p0: np.ndarray, state: State):
    """The state with its None fields replaced by what they mean."""
    zero = np.zeros_like(p0)
    arrays = {
        name: zero if getattr(state, name) is None else _wide(getattr(state, name))
        for name in ("momentum", "nce", "previous_gradient", "gradient_ema")
    }
    moment, slow = state.second_moment, state.slow_param
    return dataclasses.replace(
        state,
        **arrays,
        second_moment=np.real(zero)
        if moment is None
        else np.asarray(moment, np.float64),
        slow_param=p0 if slow is None else _wide(slow),
    )


def _wide(array: Any):
    array = np.asarray(array)
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
