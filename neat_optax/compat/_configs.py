"""Configurations with the field names of neat-optim, for run files and for migrants."""

import dataclasses
from typing import Any

import optax

from neat_optax import _checks
from neat_optax.conflict._correct import dampen_conflict, project_conflict
from neat_optax.conflict._neat import neat
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

_INTERVALS = {
    "learning_rate": "(0, inf)",
    "alpha": "[0, inf)",
    "beta": "[0, 1)",
    "eps": "(0, inf)",
    "weight_decay": "[0, inf)",
    "nce_clip_ratio": "(0, inf)",
    "sparsity_l1": "[0, inf)",
    "prune_threshold": "[0, inf)",
    "opponent_ema_decay": "[0, 1)",
    "opponent_blend": "[0, 1]",
    "conflict_threshold": "[0, 1]",
    "adaptive_correction_decay": "[0, 1)",
    "adaptive_correction_min_scale": "(0, inf)",
    "adaptive_correction_max_scale": "(0, inf)",
    "second_moment_beta": "[0, 1)",
    "adaptive_alpha_min": "[0, inf)",
    "adaptive_alpha_max": "[0, inf)",
    "gradient_noise_decay": "[0, 1)",
    "lookahead_alpha": "(0, 1]",
}
_CHOICES = {
    "nce_mode": ("projection", "cosine", "off"),
    "opponent_source": ("momentum", "previous_gradient", "gradient_ema", "blended"),
    "update_mode": ("momentum", "lion"),
}
_COUNTS = ("correction_warmup_steps", "lookahead_k")
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
_RULE_OPTIONS = (
    "alpha",
    "correction",
    "clip_ratio",
    "warmup_steps",
    "conflict_threshold",
    "correction_range",
    "conflict_decay",
)
_PAIRS = ("adaptive_alpha_m{}", "adaptive_correction_m{}_scale")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NEATConfig:
    """Configuration of NEAT for single gradients.

    Field names, defaults and ranges are neat-optim's; docs/migration.md maps each to
    its name in this library. Every violation raises `ValueError` at construction.
    """

    learning_rate: float = 1e-3
    alpha: float = 0.25
    beta: float = 0.9
    nce_mode: str = "projection"
    eps: float = 1e-8
    weight_decay: float = 0.0
    decouple_weight_decay: bool = True
    nce_clip_ratio: float = 1.0
    sparsity_l1: float = 0.0
    prune_threshold: float = 0.0
    opponent_source: str = "momentum"
    opponent_ema_decay: float = 0.9
    opponent_blend: float = 0.5
    correction_warmup_steps: int = 0
    conflict_threshold: float = 0.0
    adaptive_correction: bool = False
    adaptive_correction_decay: float = 0.9
    adaptive_correction_min_scale: float = 1.0
    adaptive_correction_max_scale: float = 3.0
    adaptive_preconditioning: bool = False
    second_moment_beta: float = 0.999
    bias_correction: bool = False
    precondition_nce: bool = True
    update_mode: str = "momentum"
    adaptive_alpha: bool = False
    adaptive_alpha_min: float = 0.0
    adaptive_alpha_max: float = 1.0
    gradient_noise_decay: float = 0.95
    gradient_centralization: bool = False
    nesterov: bool = False
    lookahead_k: int = 0
    lookahead_alpha: float = 0.5

    def __post_init__(self) -> None:
        values = dataclasses.asdict(self)
        _checks.check_fields(values, _INTERVALS)
        for name, choices in _CHOICES.items():
            _checks.check_choice(name, values[name], choices)
        for name in _COUNTS:
            _checks.check_count(name, values[name])
        for field in dataclasses.fields(self):
            if field.type is bool:
                _checks.check_bool(field.name, values[field.name])
        for name in _PAIRS:
            low, high = name.format("in"), name.format("ax")
            _checks.check_range(
                f"({low}, {high})", (values[low], values[high]), "[0, inf)"
            )

    def as_dict(self) -> dict[str, Any]:
        """All fields, as plain values that JSON can hold."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlayerNEATConfig(NEATConfig):
    """Configuration of NEAT between players.

    Options of the single-gradient optimizer that have no meaning between players are
    refused by `from_config` where they are switched on.
    """

    opponent_mode: str = "mean_excluding_self"
    player_reduction: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        modes = ("mean_excluding_self", "batch_mean")
        _checks.check_choice("opponent_mode", self.opponent_mode, modes)
        reductions = ("mean", "sum")
        _checks.check_choice("player_reduction", self.player_reduction, reductions)


def from_config(config: NEATConfig) -> optax.GradientTransformationExtraArgs:
    """The optax transformation that a configuration describes.

    Args:
      config: a `NEATConfig`, for gradients shaped like the parameters, or a
        `PlayerNEATConfig`, for gradients with a leading player axis.

    Raises:
      ValueError: for anything else, and for a `PlayerNEATConfig` with an option that
        has no meaning between players.

    Example:
      >>> tx = from_config(NEATConfig(learning_rate=0.05, alpha=0.5))
    """
    if not isinstance(config, NEATConfig):
        raise ValueError(f"`config` must be a NEATConfig, got {config!r}.")
    if isinstance(config, PlayerNEATConfig):
        return _between_players(config)
    return neat(**_options(config))


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
    options = _options(config)
    rules = {name: options[name] for name in _RULE_OPTIONS}
    by_all = config.opponent_mode == "batch_mean"
    correction = player_contest(
        batch_mean() if by_all else others_mean(),
        neat_rules(**rules),
        reduce=config.player_reduction,
    )
    parts = [correction, optax.ema(config.beta, debias=False)]
    if config.weight_decay:
        decay = optax.add_decayed_weights(config.weight_decay)
        parts.insert(len(parts) if config.decouple_weight_decay else 1, decay)
    parts.append(optax.scale_by_learning_rate(config.learning_rate))
    if config.sparsity_l1:
        parts.append(soft_threshold(config.learning_rate * config.sparsity_l1))
    if config.prune_threshold:
        parts.append(prune_below(config.prune_threshold))
    return optax.chain(*parts)


def _options(config: NEATConfig) -> dict[str, Any]:
    """A configuration in the argument names of `neat`."""
    alpha_range = (config.adaptive_alpha_min, config.adaptive_alpha_max)
    correction_range = (
        config.adaptive_correction_min_scale,
        config.adaptive_correction_max_scale,
    )
    off = config.nce_mode == "off"
    adaptive = config.adaptive_alpha and not off
    dampen = config.nce_mode == "cosine"
    return dict(
        learning_rate=config.learning_rate,
        alpha=0.0 if off else config.alpha,
        beta=config.beta,
        correction=dampen_conflict if dampen else project_conflict,
        eps=config.eps,
        weight_decay=config.weight_decay or None,
        decouple_weight_decay=config.decouple_weight_decay,
        clip_ratio=config.nce_clip_ratio,
        l1=config.sparsity_l1 or None,
        prune_threshold=config.prune_threshold or None,
        opponent=_opponent(config),
        warmup_steps=config.correction_warmup_steps or None,
        conflict_threshold=config.conflict_threshold or None,
        correction_range=correction_range if config.adaptive_correction else None,
        conflict_decay=config.adaptive_correction_decay,
        second_moment_decay=(
            config.second_moment_beta if config.adaptive_preconditioning else None
        ),
        debias=config.bias_correction,
        precondition_conflict=config.precondition_nce,
        sign=config.update_mode == "lion",
        alpha_range=alpha_range if adaptive else None,
        noise_decay=config.gradient_noise_decay,
        watch_decay=config.opponent_ema_decay,
        centralize=config.gradient_centralization,
        nesterov=config.nesterov,
        lookahead_period=config.lookahead_k or None,
        lookahead_step_size=config.lookahead_alpha,
    )


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
