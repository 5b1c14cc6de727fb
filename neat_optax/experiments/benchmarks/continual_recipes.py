"""The methods of the benchmark of continual learning, alone and together."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from neat_optax.experiments.candidates.continual_parts import PARTS, Part

CONTROLS = ("sgd", "adam", "normalize-inputs", "l2")
LEFT_OUT = ("l2-er", "perturbed")
"""One example has features of rank one, whatever the network. And normal numbers for
every weight take thirty times as long as the rest of a step: `l2` is `perturbed`
without them, as `upgd-quiet` is `upgd`."""
SGD_RATES = (3e-3, 1e-2, 3e-2)
ADAM_RATES = (3e-4, 1e-3, 3e-3)
GATED_RATES = (1e-2, 3e-2, 1e-1)
GATED_ADAM_RATES = (1e-3, 3e-3, 1e-2)
"""Gates are near one half, and halve a step."""
RECIPES = (
    "adam",
    "adamw",
    "adam+normalize-inputs",
    "adam+l2",
    "adam+l2-to-init",
    "adam+reset-dormant",
    "adam+regrama",
    "adam+cpr",
    "adam+upgd-quiet",
    "adam+weight-clipping",
    "adam+fire",
    "adam+normalize-inputs+l2-to-init",
    "adam+l2-to-init+weight-clipping",
    "adam+upgd-quiet+l2-to-init",
    "adam+reset-dormant+l2-to-init",
    "adam+reset-dormant+weight-clipping",
    "adam+reset-dormant+shrink-and-perturb",
    "adam+normalize-inputs+upgd-quiet+weight-clipping",
    "adam+normalize-inputs+upgd-quiet+l2-to-init",
    "adam+normalize-inputs+reset-dormant+l2-to-init",
    "reset-dormant+l2-to-init",
)
"""Single methods around Adam, and recipes of several, of which one is selected."""
SINGLE = "adam+l2-to-init"
COMPOSED = "adam+normalize-inputs+upgd-quiet+l2-to-init"
"""The best of each kind on seeds that are used for nothing else."""

SCALINGS = ("sgd", "adam")
ALIASES = {"adamw": ("adam", "decay"), "adamo": ("adam", "adamo")}
"""Names of what is around Adam."""


class Method(NamedTuple):
    """An optimizer, and the rates that it tries."""

    parts: tuple[Part, ...]
    scaling: Callable[[], Any]
    rates: tuple[float, ...]


def method(name: str) -> Method:
    """By its name: parts with plus signs between them, around Adam where that is one.

    Example:
      >>> method("adam+weight-clipping").rates == ADAM_RATES
      True
    """
    words = [x for word in name.split("+") for x in ALIASES.get(word, (word,))]
    parts = tuple(PARTS[word] for word in words if word not in SCALINGS)
    gated = any(word.startswith("upgd") for word in words)
    if "adam" in words:
        rates = GATED_ADAM_RATES if gated else ADAM_RATES
        return Method(parts, optax.scale_by_adam, rates)
    return Method(parts, optax.identity, GATED_RATES if gated else SGD_RATES)


def leaderboard() -> tuple[str, ...]:
    """All methods, the controls first, and the recipe."""
    apart = (*CONTROLS, *LEFT_OUT, "decay", "upgd")
    rest = [name for name in PARTS if name not in apart]
    return (*CONTROLS, "adamw", *rest, SINGLE, COMPOSED, "upgd")


def ablation(recipe: str) -> tuple[str, ...]:
    """The recipe, what is left without each part, and the best single method."""
    names = recipe.split("+")
    without = ["+".join(x for x in names if x != name) for name in names]
    return tuple(dict.fromkeys((recipe, *without, SINGLE)))


def is_single(name: str) -> bool:
    """Whether it is one method at most, whatever it stands around."""
    return len([word for word in name.split("+") if word not in SCALINGS]) < 2
