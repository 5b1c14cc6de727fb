"""What may be recommended: aggregators that follow one call convention."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import optax

from neat_optax import aggregators
from neat_optax.players._neat import player_neat_correction

NONE = "none"
"""The recommendation to take the plain mean."""


class Candidate(NamedTuple):
    """An aggregator that the doctor knows.

    Attributes:
      make: from the number of players to the transformation.
      code: how it is written, with the number of players as `{}`.
      about: what it does, in a few words.
    """

    make: Callable[[int], optax.GradientTransformation]
    code: str
    about: str


def _of(name: str, about: str) -> Candidate:
    factory = getattr(aggregators, name)
    code = f"neo.aggregators.{name}(num_players={{}})"
    return Candidate(lambda count: factory(num_players=count), code, about)


def _neat(count: int) -> optax.GradientTransformation:
    return player_neat_correction(0.25, num_players=count)


KNOWN: dict[str, Candidate] = {
    "upgrad": _of("upgrad", "projections that harm no player"),
    "dual_proj": _of("dual_proj", "the mean, projected so that it harms no player"),
    "nash_mtl": _of("nash_mtl", "equal relative gains, whatever the losses' scales"),
    "conflict_free": _of("conflict_free", "equal cosines with all players"),
    "imtl_g": _of("imtl_g", "equal projections on all players"),
    "aligned_mtl": _of("aligned_mtl", "the gradients' principal axes made equal"),
    "grad_norm_balancing": _of("grad_norm_balancing", "equal lengths, on average"),
    "db_mtl": _of("db_mtl", "logarithms of losses and equal lengths"),
    "famo": _of("famo", "equal rates of the logarithms of losses"),
    "imtl_l": _of("imtl_l", "learned scales of the losses"),
    "geometric_median": _of("geometric_median", "a center that outliers do not move"),
    "clip_example_norms": Candidate(
        lambda count: aggregators.clip_example_norms(1.0, num_players=count),
        "neo.aggregators.clip_example_norms(1.0, num_players={})",
        "no gradient longer than 1",
    ),
    "trimmed_mean": Candidate(
        lambda _: aggregators.trimmed_mean(1),
        "neo.aggregators.trimmed_mean(1)",
        "each coordinate without its extremes",
    ),
    "pcgrad": Candidate(
        lambda _: aggregators.pcgrad(),
        "neo.aggregators.pcgrad()",
        "projections of opposed pairs",
    ),
    "neat": Candidate(
        _neat,
        "neo.player_neat_correction(0.25, num_players={})",
        "a bounded correction against the mean of the others",
    ),
}
"""Candidates by name."""
OF_TASKS = ("upgrad", "nash_mtl", "conflict_free", "imtl_g", "grad_norm_balancing")
OF_EXAMPLES = ("upgrad", "geometric_median", "clip_example_norms")
"""Players that are alike differ by outliers only."""
MOST_PLAYERS = 128
"""With more, solvers that grow with the cube of their number are left out."""
CHEAP = ("geometric_median", "clip_example_norms")


def usual(count: int, alike: bool) -> tuple[str, ...]:
    """The few that are timed and tried by default.

    Args:
      count: of players.
      alike: whether no player has an aim of its own.
    """
    if count > MOST_PLAYERS:
        return CHEAP
    return OF_EXAMPLES if alike else OF_TASKS


def named(
    given: Iterable[str] | Mapping[str, Callable[[int], Any]],
) -> dict[str, Candidate]:
    """Candidates that the caller names, or makes.

    Args:
      given: names of `KNOWN`; or factories by name, from the number of players to an
        aggregator.
    """
    if isinstance(given, Mapping):
        return {
            name: Candidate(make, f"{name}({{}})", "of your own")
            for name, make in given.items()
        }
    names = list(given)
    for name in names:
        if name not in KNOWN:
            raise ValueError(
                f"`candidates` must be among {', '.join(KNOWN)}, got {name!r}."
            )
    return {name: KNOWN[name] for name in names}
