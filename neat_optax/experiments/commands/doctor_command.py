"""`neat-optax doctor`: a look at the players of one's own model."""

import contextlib
import dataclasses
import importlib
import logging
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from rich.console import Console
from rich.logging import RichHandler
from tyro.conf import Positional, UseAppendAction, arg

from neat_optax import _checks
from neat_optax.advice import KNOWN

_NONE = "(default: none)"
_A_FEW = "(default: a few)"


_REQUIRED = ("losses_fn", "params", "batches")
_TAKEN = (*_REQUIRED, "optimizer", "halves", "players", "has_aux")
"""Arguments of `neat_optax.doctor` that a problem may hold; others are options here."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DoctorOptions:
    """Says whether the players of a model conflict, and what helps if so.

    A copy of the parameters is trained for a few steps; nothing is changed. The report
    is printed, and written into a new folder with all numbers and a picture.
    """

    problem: Annotated[
        Positional[str | None],
        arg(metavar="MODULE:FUNCTION", help_behavior_hint=_NONE),
    ] = None
    """a function without arguments that returns losses_fn, params and batches, as
    neat_optax.doctor takes them; or a dictionary of its arguments, which may hold
    optimizer, halves, players and has_aux too"""
    benchmark: Annotated[
        str | None, arg(metavar="NAME/STUDY", help_behavior_hint=_NONE)
    ] = None
    """a study of neat-optax bench instead, as multitask/yeast"""
    data: Annotated[
        str | None,
        arg(metavar="FOLDER", help_behavior_hint="(default: that of NEAT_OPTAX_DATA)"),
    ] = None
    """folder with the files of data sets that such a study reads"""
    steps: Annotated[int, arg(metavar="N")] = 100
    """of the probe"""
    trial_steps: Annotated[int, arg(metavar="N")] = 200
    """of each training in the trial; 0 for no trial"""
    seeds: Annotated[int, arg(metavar="N")] = 6
    """trainings of each candidate"""
    factors: Annotated[tuple[float, ...], arg(metavar="X ...")] = (0.3, 1.0, 3.0)
    """on the learning rate; each candidate tries all of them"""
    candidate: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="NAME", help_behavior_hint=_A_FEW),
    ] = ()
    """may be repeated; it is tried even where nothing gives cause for it"""
    output: Annotated[str, arg(metavar="FOLDER")] = "runs"
    """folder in which the new one is made"""


def doctor(options: DoctorOptions, arguments: Sequence[str]) -> None:
    """Examines, prints the report, and writes it.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    from neat_optax import plot
    from neat_optax.advice._doctor import doctor as examine
    from neat_optax.experiments.runs import places
    from neat_optax.experiments.runs.writing import write_text, write_with

    del arguments
    candidates = [name.replace("-", "_") for name in options.candidate]
    for name in candidates:
        _checks.check_choice("candidate", name, tuple(KNOWN))
    name, given = _asked(options)
    with _followed():
        found = examine(
            **given,
            steps=options.steps,
            trial_steps=options.trial_steps,
            seeds=options.seeds,
            factors=options.factors,
            candidates=candidates or None,
        )
    print(found)
    root = pathlib.Path(options.output)
    folder = places.choose(root, None, {"study": f"doctor-{name}"})
    write_text(folder / "doctor.txt", f"{found}\n")
    write_text(folder / "doctor.json", found.to_json() + "\n")
    figure = plot.diagnosis(found)
    picture = folder / "doctor.png"
    write_with(picture, lambda file: figure.savefig(file, dpi=110, format="png"))
    Console().print(f"\nwritten to {folder}", highlight=False)


@contextlib.contextmanager
def _followed() -> Iterator[None]:
    """Shows on the terminal what the examination is doing."""
    log = logging.getLogger("neat_optax")
    console = Console(stderr=True)
    handler = RichHandler(console=console, show_level=False, show_path=False)
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # a problem's module may show all logs
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def _asked(options: DoctorOptions) -> tuple[str, dict[str, Any]]:
    """What is examined: its name, and arguments of the examination."""
    if (options.problem is None) == (options.benchmark is None):
        raise ValueError(
            "`problem` or `benchmark` must be given, and not both, got "
            f"{options.problem} and {options.benchmark}."
        )
    if options.problem is not None:
        return _of_function(options.problem)
    return _of_study(str(options.benchmark), options.data)


def _of_function(place: str) -> tuple[str, dict[str, Any]]:
    """What a function of the caller's returns; modules here can be imported."""
    module, _, name = place.partition(":")
    if not module or not name:
        raise ValueError(f"`problem` must be MODULE:FUNCTION, got {place}.")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise ValueError(
            f"`problem` must be in a module that can be imported, got {module}."
        ) from error
    function = getattr(found, name, None)
    if not callable(function):
        raise ValueError(f"`problem` must name a function of {module}, got {name}.")
    return name, _arguments(function(), place)


def _arguments(found: Any, place: str) -> dict[str, Any]:
    if isinstance(found, tuple) and len(found) == len(_REQUIRED):
        return dict(zip(map(str, _REQUIRED), found, strict=True))
    if not isinstance(found, dict) or not set(_REQUIRED) <= set(found):
        raise ValueError(
            "`problem` must return losses_fn, params and batches, or a dictionary "
            f"with them, got {type(found).__name__} from {place}."
        )
    for argument in found:
        if argument not in _TAKEN:
            raise ValueError(
                f"`problem` must return some of {', '.join(_TAKEN)}, got {argument}; "
                "what else the doctor takes is an option of this command."
            )
    return found


def _of_study(place: str, data: str | None) -> tuple[str, dict[str, Any]]:
    from neat_optax.experiments.benchmarks import catalog

    name, _, study = place.partition("/")
    found = {x.name: x for x in catalog.find(name).studies(False, data)}
    _checks.check_choice("benchmark", study, tuple(found))
    probe = found[study].probe
    if probe is None:
        raise ValueError(
            f"`benchmark` must be a study whose players have losses, got {place}."
        )
    given = probe()
    return study, {
        "losses_fn": given.losses_fn,
        "params": given.params,
        "batches": given.batches,
        "halves": given.noise if len(given.batches) == 1 else None,
        "players": given.players,
    }
