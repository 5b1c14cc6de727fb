"""Configurations with the field names of neat-optim."""

import dataclasses
from typing import Any

from neat_optax import _checks

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
_RANGES = (
    ("adaptive_alpha_min", "adaptive_alpha_max"),
    ("adaptive_correction_min_scale", "adaptive_correction_max_scale"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NEATConfig:
    """Configuration of NEAT for single gradients.

    Field names, defaults and ranges are neat-optim's; docs/howto/migrate_neat_optim.md
    maps each to its name in this library. Every violation raises `ValueError` at
    construction.
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
        for low, high in _RANGES:
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
