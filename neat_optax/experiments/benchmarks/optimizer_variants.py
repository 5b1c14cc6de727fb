"""NEAT with one part changed, and the optimizers of the original's tables."""

from typing import Any

import optax

from neat_optax._leaves import per_leaf, whole_tree
from neat_optax.compat._presets import neat_adaptive
from neat_optax.conflict._correct import dampen_conflict
from neat_optax.conflict._neat import neat
from neat_optax.conflict._opponents import (
    blended,
    gradient_ema,
    momentum,
    previous_gradient,
)
from neat_optax.conflict._rules import neat_rules
from neat_optax.experiments.candidates.candidate import Candidate, Lineup, Setting
from neat_optax.experiments.candidates.optimizers import (
    NEAT_RATE,
    OPTIMIZERS,
    random_signs,
    watched,
)
from neat_optax.experiments.candidates.usual import sgd

WARMUP = 50  # steps
STRONG = 1.0  # the alpha of all variants but one


def variant(
    about: str,
    alpha: float = STRONG,
    opponent: Any = None,
    scope: Any = per_leaf,
    random_sign: bool = False,
    **rules: Any,
) -> Candidate:
    """NEAT with other parts than the usual ones.

    Args:
      about: what is other.
      alpha: strength of the correction.
      opponent: what the gradient is compared with; its momentum by default.
      scope: over which parameters conflict is measured.
      random_sign: whether each step's correction has a random sign.
      **rules: further arguments of `neat_rules`.
    """

    def build(rate: optax.ScalarOrSchedule, setting: Setting):
        decided = neat_rules(alpha, **rules)
        if random_sign:
            decided = optax.chain(decided, random_signs(setting.key))
        return neat(
            rate, opponent=opponent, rules=decided, scope=scope, monitor=setting.watched
        )

    return Candidate(build, NEAT_RATE, None, about)


ABLATION: Lineup = OPTIMIZERS._replace(
    candidates={
        "alpha 0": variant("no correction", 0.0),
        "whole recipe": variant("alpha 1, momentum, each leaf, projection"),
        "alpha 0.25": variant("the usual strength", 0.25),
        "random sign": variant("the correction's sign is drawn", random_sign=True),
        "previous gradient": variant("another opponent", opponent=previous_gradient()),
        "mean gradient": variant("another opponent", opponent=gradient_ema(0.9)),
        "blended": variant(
            "two opponents", opponent=blended(momentum(0.9), gradient_ema(0.9))
        ),
        "whole tree": variant("one conflict for all", scope=whole_tree),
        "dampened": variant("a shorter gradient", correction=dampen_conflict),
        "clipped at 0.1": variant("a tight bound", clip_ratio=0.1),
        "warm-up": variant(f"after {WARMUP} steps", warmup_steps=WARMUP),
        "threshold 0.2": variant("strong conflict alone", conflict_threshold=0.2),
        "adaptive": variant("up to three times as long", correction_range=(1.0, 3.0)),
    }
)
"""What is ablated: a recipe strong enough that a part of it could be seen."""

_OF_ORIGINAL = 0.25  # the original's alpha


def _original(opponent: Any = None, **rules: Any) -> Candidate:
    return variant("as published", _OF_ORIGINAL, opponent, **rules)


def _preset(alpha: float) -> Candidate:
    def build(rate: optax.ScalarOrSchedule, setting: Setting):
        return neat_adaptive(rate, alpha=alpha, monitor=setting.watched)

    return Candidate(build, 0.008, None, "as published")


def _plain(optimizer: Any) -> Candidate:
    return Candidate(watched(lambda rate, _: optimizer(rate)), 1.0, None, "usual")


def _adamw(rate: optax.ScalarOrSchedule):
    return optax.adamw(rate, weight_decay=1e-4)


_OFF = variant("as published, without correction", 0.0)
_RATES: dict[str, tuple[Candidate, float]] = {
    "off, rate 0.03": (_OFF, 0.03),
    "NEAT, rate 0.03": (_original(), 0.03),
    "off, rate 0.05": (_OFF, 0.05),
    "NEAT, rate 0.05": (_original(), 0.05),
    "off, rate 0.06": (_OFF, 0.06),
    "NEAT, rate 0.06": (_original(), 0.06),
    "NEAT, previous gradient, adaptive, rate 0.06": (
        _original(previous_gradient(), correction_range=(1.0, 3.0)),
        0.06,
    ),
    "adaptive preset off": (_preset(0.0), 0.008),
    "adaptive preset": (_preset(_OF_ORIGINAL), 0.008),
    "SGD": (_plain(sgd), 0.01),
    "Adam": (_plain(optax.adam), 0.001),
    "AdamW": (_plain(_adamw), 0.001),
}
PUBLISHED: Lineup = OPTIMIZERS._replace(
    candidates={name: known for name, (known, _) in _RATES.items()}
)
"""The optimizers of the original's table of digits, and its controls."""
UNCORRECTED = (
    "off, rate 0.06",
    "off, rate 0.03",
    "off, rate 0.05",
    "adaptive preset off",
    "SGD",
    "Adam",
    "AdamW",
)
"""Those of them without a correction, the one held against the others first."""
RATES = {name: (rate,) for name, (_, rate) in _RATES.items()}
"""The one rate that each had."""
