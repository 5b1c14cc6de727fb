"""One NEAT step on one tensor from a stack of players' gradients."""

from typing import Any, NamedTuple

import numpy as np

from neat_optax.reference import _vectors as v
from neat_optax.reference._single import State


class PlayerStep(NamedTuple):
    """Result of one step."""

    param: np.ndarray
    state: State
    metrics: dict[str, float]


def neat_player_step(
    param: Any, player_grads: Any, state: State, config: Any
) -> PlayerStep:
    """One step of NEAT between players, as the original defines it.

    The average of the conflict moves once for each player, in their order.

    Args:
      param: the tensor, of shape `S`.
      player_grads: gradients of shape `(P, *S)` with `P >= 1`.
      state: a `State`, of which momentum, conflict average and step are used.
      config: a `PlayerNEATConfig`.

    Returns:
      The new tensor, the new state, and the metrics of the original by name.

    Raises:
      ValueError: if the player axis is missing or empty.
    """
    p0 = np.asarray(param, np.float64)
    grads = np.asarray(player_grads, np.float64)
    if grads.shape[1:] != p0.shape or grads.ndim != p0.ndim + 1 or len(grads) == 0:
        raise ValueError(
            "`player_grads` must have a leading player axis of at least 1 on the shape "
            f"of `param`, {p0.shape}, got {grads.shape}."
        )
    momentum = np.zeros_like(p0) if state.momentum is None else state.momentum
    corrections, conflicts, habit = [], [], state.conflict_ema
    for i, g in enumerate(grads):
        o = _opponent(grads, i, config)
        conflicts.append(v.conflict(g, o))
        habit = v.average(habit, conflicts[-1], config.adaptive_correction_decay)
        corrections.append(_correction(g, o, conflicts[-1], habit, state.step, config))
    reduce = np.mean if config.player_reduction == "mean" else np.sum
    g, q = reduce(grads, axis=0), reduce(np.stack(corrections), axis=0)
    m = v.average(np.asarray(momentum, np.float64), g + q, config.beta)
    p = p0 - config.learning_rate * (m + config.weight_decay * p0)
    p = v.prune(
        v.soften(p, config.learning_rate * config.sparsity_l1), config.prune_threshold
    )
    ratios = [
        v.ratio(v.norm(c), v.norm(player))
        for c, player in zip(corrections, grads, strict=True)
    ]
    metrics = {
        "grad_norm": v.norm(g),
        "update_norm": v.norm(m),
        "nce_norm": v.norm(q),
        "mean_player_conflict": float(np.mean(conflicts)),
        "max_player_conflict": float(np.max(conflicts)),
        "active_fraction": float(np.mean(p != 0)) if p.size else 1.0,
        "num_players": len(grads),
        "mean_correction_ratio": float(np.mean(ratios)),
    }
    new = State(momentum=m, nce=q, conflict_ema=habit, step=state.step + 1)
    return PlayerStep(p, new, metrics)


def _opponent(grads: np.ndarray, i: int, config: Any):
    if config.opponent_mode == "batch_mean":
        return grads.mean(axis=0)
    others = np.delete(grads, i, axis=0)
    return others.mean(axis=0) if len(others) else np.zeros_like(grads[i])


def _correction(
    g: np.ndarray, o: np.ndarray, measured: float, habit: float, step: int, config: Any
):
    if config.nce_mode == "off" or step < config.correction_warmup_steps:
        return np.zeros_like(g)
    if measured < config.conflict_threshold - 1e-6:
        return np.zeros_like(g)
    scale = v.scale_of(g, o, max(measured, habit), config)
    away = v.correction_direction(g, o, config.nce_mode)
    correction = -config.alpha * scale * measured * away
    return v.limit(correction, config.nce_clip_ratio * v.norm(g))
