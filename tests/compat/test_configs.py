"""Configurations with the original's names, defaults and ranges."""

import dataclasses
import json

import pytest

import neat_optax as neo

DEFAULTS = {
    "learning_rate": 1e-3,
    "alpha": 0.25,
    "beta": 0.9,
    "nce_mode": "projection",
    "eps": 1e-8,
    "weight_decay": 0.0,
    "decouple_weight_decay": True,
    "nce_clip_ratio": 1.0,
    "sparsity_l1": 0.0,
    "prune_threshold": 0.0,
    "opponent_source": "momentum",
    "opponent_ema_decay": 0.9,
    "opponent_blend": 0.5,
    "correction_warmup_steps": 0,
    "conflict_threshold": 0.0,
    "adaptive_correction": False,
    "adaptive_correction_decay": 0.9,
    "adaptive_correction_min_scale": 1.0,
    "adaptive_correction_max_scale": 3.0,
    "adaptive_preconditioning": False,
    "second_moment_beta": 0.999,
    "bias_correction": False,
    "precondition_nce": True,
    "update_mode": "momentum",
    "adaptive_alpha": False,
    "adaptive_alpha_min": 0.0,
    "adaptive_alpha_max": 1.0,
    "gradient_noise_decay": 0.95,
    "gradient_centralization": False,
    "nesterov": False,
    "lookahead_k": 0,
    "lookahead_alpha": 0.5,
}
PLAYERS = {"opponent_mode": "mean_excluding_self", "player_reduction": "mean"}


def test_defaults():
    assert neo.compat.NEATConfig().as_dict() == DEFAULTS
    assert neo.compat.PlayerNEATConfig().as_dict() == DEFAULTS | PLAYERS


def test_round_trip_through_json():
    config = neo.compat.PlayerNEATConfig(
        alpha=0.5, player_reduction="sum", lookahead_k=3
    )
    again = neo.compat.PlayerNEATConfig(**json.loads(json.dumps(config.as_dict())))
    assert again == config


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        neo.compat.NEATConfig().alpha = 1.0


FROM_ZERO = ("alpha", "weight_decay", "sparsity_l1", "prune_threshold")
POSITIVE = ("learning_rate", "eps", "nce_clip_ratio", "adaptive_correction_min_scale")
DECAYS = (
    "beta",
    "opponent_ema_decay",
    "adaptive_correction_decay",
    "second_moment_beta",
    "gradient_noise_decay",
)
OUTSIDE = (
    [(name, -0.1) for name in FROM_ZERO]
    + [(name, 0.0) for name in POSITIVE]
    + [(name, value) for name in DECAYS for value in (-0.1, 1.0)]
    + [(n, v) for n in ("opponent_blend", "conflict_threshold") for v in (-0.1, 1.1)]
    + [("lookahead_alpha", 0.0), ("lookahead_alpha", 1.1)]
    + [(name, float("nan")) for name in (*FROM_ZERO, *POSITIVE, *DECAYS)]
    + [(n, v) for n in ("lookahead_k", "correction_warmup_steps") for v in (-1, 1.5)]
    + [(n, "none") for n in ("nce_mode", "opponent_source", "update_mode")]
    + [(n, 1) for n, value in DEFAULTS.items() if isinstance(value, bool)]
    + [("adaptive_alpha_min", 2.0), ("adaptive_alpha_min", -0.1)]
    + [("adaptive_alpha_max", -1.0), ("adaptive_correction_max_scale", 0.5)]
    + [("alpha", "0.5"), ("learning_rate", lambda step: 0.1 + step)]
)


@pytest.mark.parametrize(("name", "value"), OUTSIDE)
@pytest.mark.parametrize("config", [neo.compat.NEATConfig, neo.compat.PlayerNEATConfig])
def test_values_out_of_range_are_named(config, name, value):
    with pytest.raises(ValueError, match=rf"{name}.* must be .*got ") as error:
        config(**{name: value})
    assert str(value)[:3] in str(error.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beta", 0.0),
        ("opponent_blend", 1.0),
        ("conflict_threshold", 1.0),
        ("lookahead_alpha", 1.0),
        ("adaptive_alpha_max", 0.0),
        ("adaptive_correction_max_scale", 1.0),
    ],
)
def test_ends_of_the_ranges_are_accepted(name, value):
    assert getattr(neo.compat.NEATConfig(**{name: value}), name) == value


@pytest.mark.parametrize("name", PLAYERS)
def test_choices_of_players(name):
    with pytest.raises(ValueError, match=rf"^`{name}` must be one of .*, got other\.$"):
        neo.compat.PlayerNEATConfig(**{name: "other"})
