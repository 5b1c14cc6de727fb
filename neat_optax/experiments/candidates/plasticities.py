"""Optimizers that use plasticity or keep it, by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import optax

import neat_optax as neo
from neat_optax import _checks
from neat_optax.experiments.candidates.candidate import Candidate, Setting
from neat_optax.experiments.candidates.usual import ADAM_RATE

NEUROPLASTIC_RATE = 0.5
_PEERS = ("neuroplastic-off", "sgd", "adam", "adamw")
_ALONE = dict(activity_weight=0, gradient_weight=1, memory_weight=0)
OPTIONS: dict[str, Any] = {
    "activity_weight": 0.4,
    "gradient_weight": 0.4,
    "memory_weight": 0.2,
    "activity_decay": 0.95,
    "momentum_decay": 0.9,
    "variance_decay": 0.99,
    "minimum": 0.2,
    "maximum": 2.0,
    "strength": 1.0,
    "weight_decay": None,
    "decouple_weight_decay": True,
    "max_norm": 1.0,
    "target_rms": None,
    "stabilizer_rate": 0.01,
}
"""The options of `neuroplastic` that a configuration may set, and their defaults."""

_BOUNDS = ("minimum", "maximum", "strength")
_RECIPE = tuple(inspect.signature(neo.plasticity.neuroplastic).parameters)


def check_options(options: Mapping[str, Any]) -> None:
    """Raises unless `neuroplastic` takes the options."""
    for name in options:
        _checks.check_choice("neuroplastic", name, tuple(OPTIONS))
    recipe(1.0, options)


def recipe(
    rate: optax.ScalarOrSchedule, options: Mapping[str, Any], *, monitor: bool = True
) -> optax.GradientTransformation:
    """`neuroplastic` by options of the names in `OPTIONS`."""
    given = {**OPTIONS, **options}
    signals = (
        neo.plasticity.gradient(given["gradient_weight"]),
        neo.plasticity.activity(given["activity_weight"], given["activity_decay"]),
        neo.plasticity.memory(
            given["memory_weight"], given["momentum_decay"], given["variance_decay"]
        ),
    )
    bounds = {name: given[name] for name in _BOUNDS}
    scaling = neo.plasticity.scale_by_plasticity(signals, **bounds, monitor=monitor)
    rest = {name: value for name, value in given.items() if name in _RECIPE}
    return neo.plasticity.neuroplastic(rate, scaling, **rest, monitor=monitor)


def _neuroplastic(rate: optax.ScalarOrSchedule, setting: Setting):
    return recipe(rate, setting.neuroplastic, monitor=setting.watched)


def _gradient_alone(rate: optax.ScalarOrSchedule, setting: Setting):
    options = {**setting.neuroplastic, **_ALONE}
    return recipe(rate, options, monitor=setting.watched)


def _off(rate: optax.ScalarOrSchedule, setting: Setting):
    return _gradient_alone(rate, setting._replace(neuroplastic=_ones(setting)))


def _ones(setting: Setting) -> dict[str, Any]:
    return {**setting.neuroplastic, "minimum": 1.0, "maximum": 1.0}


def _modulated(rate: optax.ScalarOrSchedule, setting: Setting):
    scaled = neo.plasticity.modulate(optax.scale_by_adam(), monitor=setting.watched)
    return optax.chain(scaled, optax.scale_by_learning_rate(rate))


def _l2_to_init(rate: optax.ScalarOrSchedule, setting: Setting):
    del setting
    return optax.chain(neo.continual.l2_to_init(1e-2), optax.adam(rate))


def _shrink_and_perturb(rate: optax.ScalarOrSchedule, setting: Setting):
    shrinking = neo.continual.shrink_and_perturb(
        1 - 1e-4, 1e-3, every=1, key=setting.key
    )
    return optax.chain(optax.adam(rate), shrinking)


def _reset_dormant(rate: optax.ScalarOrSchedule, setting: Setting):
    every = max(1, min(100, setting.steps // 10))  # a short run resets units too
    return neo.continual.reset_dormant(
        optax.adam(rate), _layers(setting), every=every, key=setting.key
    )


def _continual_backprop(rate: optax.ScalarOrSchedule, setting: Setting):
    return neo.continual.continual_backprop(
        optax.adam(rate), _layers(setting), key=setting.key
    )


def _layers(setting: Setting) -> tuple[str, ...]:
    if not setting.task.layers:
        raise ValueError(
            "`optimizer` must not reset units where a network is no chain of dense "
            "layers, got one that does."
        )
    return setting.task.layers


def _scales(report: dict[str, Any]) -> str:
    """What a coefficient did to the gradient, as the predicate of a sentence."""
    seen = report["mean_over_run"]
    mean, deviation = seen["plasticity"], seen["plasticity_std"]
    return f"multiplies entries of the gradient by {mean:.2f} ± {deviation:.2f}"


def _moves(report: dict[str, Any]) -> str:
    share = report["mean_over_run"]["modulation_share"]
    return f"moves Adam's updates by {100 * share:.2g} % on average"


def _did(what: str) -> Callable[[dict[str, Any]], str]:
    return lambda _: what


CANDIDATES = {
    "neuroplastic": Candidate(
        _neuroplastic,
        NEUROPLASTIC_RATE,
        "neuroplastic-control",
        "gradient, activity and memory scale the gradient",
        _PEERS,
        _scales,
    ),
    "neuroplastic-control": Candidate(
        _gradient_alone,
        NEUROPLASTIC_RATE,
        None,
        "neuroplastic by the gradient alone, in the same bounds",
        did=_scales,
    ),
    "neuroplastic-off": Candidate(
        _off,
        NEUROPLASTIC_RATE,
        None,
        "neuroplastic with coefficients of 1: the rest of the recipe",
        did=_scales,
    ),
    "adam-modulated": Candidate(
        _modulated,
        ADAM_RATE,
        "adam",
        "Adam, its updates modulated by plasticity",
        did=_moves,
    ),
    "l2-to-init": Candidate(
        _l2_to_init,
        ADAM_RATE,
        "adam",
        "Adam, pulled to where it started",
        did=_did("is pulled to where it started"),
    ),
    "shrink-and-perturb": Candidate(
        _shrink_and_perturb,
        ADAM_RATE,
        "adam",
        "Adam, shrunk and perturbed at each step",
        did=_did("is shrunk and perturbed at each step"),
    ),
    "reset-dormant": Candidate(
        _reset_dormant,
        ADAM_RATE,
        "adam",
        "Adam, dormant units reset: ReDo",
        did=_did("resets dormant units"),
    ),
    "continual-backprop": Candidate(
        _continual_backprop,
        ADAM_RATE,
        "adam",
        "Adam, the least useful units replaced",
        did=_did("replaces the least useful units"),
    ),
}
"""Watched by `optimizers` like all others."""
