"""`neat-optax doctor`: a look at the players of one's own model."""

import dataclasses
import importlib
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from rich.console import Console
from tyro.conf import Positional, UseAppendAction, arg

from neat_optax import _checks
from neat_optax.advice import KNOWN

_NONE = "(default: none)"
_A_FEW = "(default: a few)"


class Asked(NamedTuple):
    """What is examined."""

    name: str
    losses_fn: Any
    params: Any
    batches: Any
    halves: Any = None
    players: Any = None


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
    neat_optax.doctor takes them"""
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
    candidate: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="NAME", help_behavior_hint=_A_FEW),
    ] = ()
    """may be repeated"""
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
    for name in options.candidate:
        _checks.check_choice("candidate", name, tuple(KNOWN))
    asked = _asked(options)
    found = examine(
        asked.losses_fn,
        asked.params,
        asked.batches,
        steps=options.steps,
        trial_steps=options.trial_steps,
        seeds=options.seeds,
        candidates=options.candidate or None,
        halves=asked.halves,
        players=asked.players,
    )
    print(found)
    root = pathlib.Path(options.output)
    folder = places.choose(root, None, {"study": f"doctor-{asked.name}"})
    write_text(folder / "doctor.txt", f"{found}\n")
    write_text(folder / "doctor.json", found.to_json() + "\n")
    figure = plot.diagnosis(found)
    picture = folder / "doctor.png"
    write_with(picture, lambda file: figure.savefig(file, dpi=110, format="png"))
    Console().print(f"\nwritten to {folder}", highlight=False)


def _asked(options: DoctorOptions) -> Asked:
    if (options.problem is None) == (options.benchmark is None):
        raise ValueError(
            "`problem` or `benchmark` must be given, and not both, got "
            f"{options.problem} and {options.benchmark}."
        )
    if options.problem is not None:
        return _of_function(options.problem)
    return _of_study(str(options.benchmark), options.data)


def _of_function(place: str) -> Asked:
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
    given = function()
    if not isinstance(given, tuple) or len(given) not in (3, 4):
        raise ValueError(
            "`problem` must return losses_fn, params and batches, and halves if it "
            f"has them, got {type(given).__name__} from {place}."
        )
    return Asked(name, *given)


def _of_study(place: str, data: str | None) -> Asked:
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
    halves = given.noise if len(given.batches) == 1 else None
    return Asked(
        study, given.losses_fn, given.params, given.batches, halves, given.players
    )
