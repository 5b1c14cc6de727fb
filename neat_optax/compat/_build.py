"""From a configuration of neat-optim to a chain of this library's parts."""

import optax

from neat_optax import _checks
from neat_optax.compat._configs import NEATConfig, PlayerNEATConfig
from neat_optax.conflict._correct import dampen_conflict, project_conflict
from neat_optax.conflict._monitor import monitor_update
from neat_optax.conflict._neat import scale_by_neat
from neat_optax.conflict._opponents import (
    Opponent,
    blended,
    gradient_ema,
    momentum,
    previous_gradient,
)
from neat_optax.conflict._rules import neat_rules
from neat_optax.players._contest import player_contest
from neat_optax.players._opponents import batch_mean, others_mean
from neat_optax.sparsity import prune_below, soft_threshold
from neat_optax.transforms._centralize import centralize_outputs
from neat_optax.transforms._lookahead import keep_slow_params
from neat_optax.transforms._precondition import precondition

_SINGLE_ONLY = {
    "opponent_source": "momentum",
    "adaptive_alpha": False,
    "adaptive_preconditioning": False,
    "bias_correction": False,
    "update_mode": "momentum",
    "nesterov": False,
    "lookahead_k": 0,
    "gradient_centralization": False,
}


def from_config(
    config: NEATConfig, *, monitor: bool = False
) -> optax.GradientTransformationExtraArgs:
    """The optax transformation that a configuration describes.

    Args:
      config: a `NEATConfig`, for gradients shaped like the parameters, or a
        `PlayerNEATConfig`, for gradients with a leading player axis.
      monitor: whether to record conflict, correction and update for `diagnostics`; not
        between players.

    Raises:
      ValueError: for anything else, and for a `PlayerNEATConfig` with an option that
        has no meaning between players.

    Example:
      >>> tx = from_config(NEATConfig(learning_rate=0.05, alpha=0.5))
    """
    if not isinstance(config, NEATConfig):
        raise ValueError(f"`config` must be a NEATConfig, got {config!r}.")
    _checks.check_bool("monitor", monitor)
    if not isinstance(config, PlayerNEATConfig):
        optimizer = _single(config, monitor)
        return monitor_update(optimizer) if monitor else optimizer
    if monitor:
        raise ValueError(
            "`monitor` must be False between players, got True: see "
            "player_neat_correction."
        )
    return _between_players(config)


def _single(config: NEATConfig, monitor: bool) -> optax.GradientTransformationExtraArgs:
    """The options of the single-gradient optimizer, in the original's order."""
    parts: list[optax.GradientTransformation] = [_scale(config, monitor)]
    if config.gradient_centralization:
        parts.insert(0, centralize_outputs())
    if config.update_mode == "lion":
        parts.append(optax.scale_by_sign())
    if config.weight_decay:
        decay = optax.add_decayed_weights(config.weight_decay)
        parts.insert(len(parts) if config.decouple_weight_decay else 0, decay)
    parts.append(optax.scale_by_learning_rate(config.learning_rate))
    if config.lookahead_k:
        fast = optax.chain(*parts)
        parts = [keep_slow_params(fast, config.lookahead_k, config.lookahead_alpha)]
    return optax.chain(*parts, *_thresholds(config))


def _between_players(
    config: PlayerNEATConfig,
) -> optax.GradientTransformationExtraArgs:
    unused = [
        name for name, off in _SINGLE_ONLY.items() if getattr(config, name) != off
    ]
    if unused:
        raise ValueError(
            f"`{unused[0]}` must be {_SINGLE_ONLY[unused[0]]!r} between players, got "
            f"{getattr(config, unused[0])!r}."
        )
    by_all = config.opponent_mode == "batch_mean"
    correction = player_contest(
        batch_mean() if by_all else others_mean(),
        _rules(config),
        reduce=config.player_reduction,
    )
    parts = [correction, optax.ema(config.beta, debias=False)]
    if config.weight_decay:
        decay = optax.add_decayed_weights(config.weight_decay)
        parts.insert(len(parts) if config.decouple_weight_decay else 1, decay)
    parts.append(optax.scale_by_learning_rate(config.learning_rate))
    return optax.chain(*parts, *_thresholds(config))


def _scale(config: NEATConfig, monitor: bool) -> optax.GradientTransformationExtraArgs:
    """Correction and momentum, preconditioned where asked for."""
    scale = scale_by_neat(
        config.beta,
        opponent=_opponent(config),
        rules=_rules(config),
        debias=config.bias_correction,
        nesterov=config.nesterov,
        watch_decay=config.opponent_ema_decay if _adapts_alpha(config) else None,
        monitor=monitor,
    )
    if not config.adaptive_preconditioning:
        return scale
    return precondition(
        scale,
        decay=config.second_moment_beta,
        eps=config.eps,
        debias=config.bias_correction,
        as_metric=config.precondition_nce,
    )


def _rules(config: NEATConfig) -> optax.GradientTransformation:
    alpha_range = config.adaptive_alpha_min, config.adaptive_alpha_max
    correction_range = (
        config.adaptive_correction_min_scale,
        config.adaptive_correction_max_scale,
    )
    dampen = config.nce_mode == "cosine"
    return neat_rules(
        0.0 if config.nce_mode == "off" else config.alpha,
        correction=dampen_conflict if dampen else project_conflict,
        clip_ratio=config.nce_clip_ratio,
        warmup_steps=config.correction_warmup_steps or None,
        conflict_threshold=config.conflict_threshold or None,
        alpha_range=alpha_range if _adapts_alpha(config) else None,
        correction_range=correction_range if config.adaptive_correction else None,
        conflict_decay=config.adaptive_correction_decay,
        noise_decay=config.gradient_noise_decay,
    )


def _adapts_alpha(config: NEATConfig) -> bool:
    return config.adaptive_alpha and config.nce_mode != "off"


def _opponent(config: NEATConfig) -> Opponent:
    own = momentum(config.beta)
    ema = gradient_ema(config.opponent_ema_decay)
    choices = {
        "momentum": own,
        "previous_gradient": previous_gradient(),
        "gradient_ema": ema,
        "blended": blended(own, ema, config.opponent_blend),
    }
    return choices[config.opponent_source]


def _thresholds(config: NEATConfig) -> list[optax.GradientTransformation]:
    """Penalty and pruning, which go last so that zeros stay zero."""
    parts: list[optax.GradientTransformation] = []
    if config.sparsity_l1:
        parts.append(soft_threshold(config.learning_rate * config.sparsity_l1))
    if config.prune_threshold:
        parts.append(prune_below(config.prune_threshold))
    return parts
