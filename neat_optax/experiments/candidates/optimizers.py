"""The optimizers that are compared, each as a function of its learning rate.

Every one measures conflict: those without a correction carry a contest of alpha 0 in
front, which changes no update. Every corrected one has a control: itself with alpha 0.
Those about plasticity have theirs in `plasticities`, those of others in `usual`.
"""

from collections.abc import Callable
from typing import Any

import jax
import optax

from neat_optax._reading import diagnostics
from neat_optax.compat._presets import neat_adaptive, neat_adaptive_alpha, neat_lion
from neat_optax.conflict._alignment import Contest
from neat_optax.conflict._detect import stateless_rule
from neat_optax.conflict._monitor import monitor_update
from neat_optax.conflict._neat import neat, neat_correction
from neat_optax.conflict._opponents import gradient_ema
from neat_optax.conflict._rules import neat_rules
from neat_optax.experiments.candidates import plasticities, usual
from neat_optax.experiments.candidates.candidate import (
    Candidate,
    Lineup,
    Setting,
    changes_gradient,
)
from neat_optax.experiments.candidates.usual import (
    ADAM_RATE,
    BETA,
    HEAVY_BALL_RATE,
    LION_RATE,
    sgd,
)

NEAT_RATE = HEAVY_BALL_RATE / (1 - BETA)  # the same step: NEAT's momentum is a mean
DECAY = 1e-2


def _corrected(recipe: Callable) -> Callable:
    return lambda rate, setting: recipe(
        rate, alpha=setting.alpha, monitor=setting.watched
    )


def _uncorrected(recipe: Callable) -> Callable:
    return lambda rate, setting: recipe(rate, alpha=0.0, monitor=setting.watched)


def watched(build: Callable) -> Callable:
    """An optimizer without correction, with the measures of one."""
    watch = neat_correction(0.0, opponent=gradient_ema(BETA), monitor=True)

    def build_watched(rate: optax.ScalarOrSchedule, setting: Setting):
        if not setting.watched:
            return build(rate, setting)
        return monitor_update(optax.chain(watch, build(rate, setting)))

    return build_watched


def _plain(optimizer: Callable) -> Callable:
    return watched(lambda rate, _: optimizer(rate))


def _adamw(rate: optax.ScalarOrSchedule):
    return optax.adamw(rate, weight_decay=DECAY)


def random_signs(key: jax.Array) -> optax.GradientTransformation:
    """Rule: gives each step's correction a random sign. Comes after what corrects."""

    def rule(contest: Contest) -> Contest:
        draw = jax.random.fold_in(key, contest.step)
        return contest.scaled(jax.random.rademacher(draw, (), contest.strength.dtype))

    return stateless_rule(rule)


def _random_sign(rate: optax.ScalarOrSchedule, setting: Setting):
    rules = optax.chain(neat_rules(setting.alpha), random_signs(setting.key))
    return neat(rate, rules=rules, monitor=setting.watched)


def _with_control(name: str, control: str, recipe: Callable, rate: float, about: str):
    return {
        name: Candidate(_corrected(recipe), rate, control, about),
        control: Candidate(_uncorrected(recipe), rate, None, f"{name} with alpha 0"),
    }


_NEAT = ("control",)
_CANDIDATES = {
    **_with_control("neat", "control", neat, NEAT_RATE, "NEAT against its momentum"),
    "random-sign": Candidate(
        _random_sign, NEAT_RATE, "control", "NEAT, its correction with a random sign"
    ),
    "sgd": Candidate(_plain(sgd), HEAVY_BALL_RATE, None, "heavy-ball SGD", _NEAT),
    "adam": Candidate(_plain(optax.adam), ADAM_RATE, None, "Adam", _NEAT),
    "adamw": Candidate(
        _plain(_adamw),
        ADAM_RATE,
        None,
        f"Adam, weight decay {DECAY}",
        ("adam",),
        lambda _: "decays its weights",
    ),
    **_with_control(
        "adaptive",
        "adaptive-control",
        neat_adaptive,
        ADAM_RATE,
        "Adam-like NEAT, adaptive correction",
    ),
    **_with_control(
        "adaptive-alpha",
        "adaptive-alpha-control",
        neat_adaptive_alpha,
        ADAM_RATE,
        "Adam-like NEAT, adaptive alpha",
    ),
    **_with_control(
        "lion", "lion-control", neat_lion, LION_RATE, "NEAT with the sign of momentum"
    ),
}


_MEASURES = (
    "conflict",
    "opposed",
    "correction_ratio",
    "update_alignment",
    "plasticity",
    "plasticity_std",
    "gain",
    "modulation_share",
)
_OF_PLASTICITY = (
    "plasticity_median",
    "plasticity_min",
    "plasticity_max",
    "near_minimum",
    "near_maximum",
    "gradient_norm",
    "plastic_norm",
)
"""What is read of those that have coefficients."""


def _measures(opt_state: Any) -> dict[str, jax.Array]:
    measured = diagnostics(opt_state)
    names = (*_MEASURES, *(_OF_PLASTICITY if "plasticity" in measured else ()))
    return {name: measured[name].latest for name in names if name in measured}


OPTIMIZERS = Lineup(
    kind="optimizer",
    candidates=_CANDIDATES
    | {
        name: known._replace(build=watched(known.build))
        for name, known in (usual.CANDIDATES | plasticities.CANDIDATES).items()
    },
    default=("neat", "control", "sgd", "adam"),
    measures=_measures,
    did=changes_gradient,
)
