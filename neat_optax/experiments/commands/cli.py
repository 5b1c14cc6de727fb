"""The command line: `neat-optax train`, `evolve`, `bench` and others."""

import contextlib
import dataclasses
import importlib
import importlib.metadata
import io
import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

from neat_optax import _checks

_HINT = 'the command line needs the extra "train": pip install "neat-optax[train]"'
_PROGRAM = "neat-optax"
_NO_MEMORY = "RESOURCE_EXHAUSTED"
"""What XLA begins its message with."""
_FRAME = re.compile("[│╭╮╰╯├┤]")
_ABOUT = (
    "Train with gradients that disagree, or to few weights, next to the controls. "
    "--version says which neat-optax this is."
)


class _Command(NamedTuple):
    """Where a command stands: it is imported if it is the one that is asked for."""

    options: str
    run: str
    about: str


_COMMANDS = {
    "train": _Command(
        "options:TrainOptions",
        "train_command:train",
        "Trains a network with each optimizer over several seeds and learning rates.",
    ),
    "compact": _Command(
        "compact_command:CompactOptions",
        "compact_command:compact",
        "Removes the dead units of a finished run's networks.",
    ),
    "evolve": _Command(
        "evolve_config:EvolveOptions",
        "evolve_command:evolve",
        "Searches the weights of a small network with a population, without gradients.",
    ),
    "report": _Command(
        "report_command:ReportOptions",
        "report_command:report",
        "Puts the results of finished runs into one table.",
    ),
    "bench": _Command(
        "bench_command:BenchOptions",
        "bench_command:bench",
        "Runs a benchmark: methods tuned equally, over seeds, beside their controls.",
    ),
    "doctor": _Command(
        "doctor_command:DoctorOptions",
        "doctor_command:doctor",
        "Says whether the players of a model conflict, and what helps if so.",
    ),
    "runs": _Command(
        "runs_command:RunsOptions",
        "runs_command:runs",
        "Lists the runs of a folder, the one that was started last at the end.",
    ),
}
_ALIASES = {"compare": "report"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == ["--version"]:
        print(_PROGRAM, importlib.metadata.version("neat-optax"))
        return 0
    try:
        with _warnings_in_one_line():
            name, options = _parse(given)
            _find(_COMMANDS[name].run)(options, given)
    except ImportError as error:
        _complain(f"{_HINT} ({error})")
        return 2
    except (ValueError, OSError) as error:
        _complain(str(error))
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        _complain(f"the run must fit into memory: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or _NO_MEMORY in str(error)


def _find(place: str) -> Any:
    """What has that name in a module of the commands."""
    module, _, name = place.partition(":")
    room = __name__.rpartition(".")[0]
    return getattr(importlib.import_module(f"{room}.{module}"), name)


def _parse(given: list[str]) -> tuple[str, Any]:
    """A command, and its options: those of a file or a run, and over them the given."""
    asks = bool(given) and not given[0].startswith("-")
    name, rest = (_name(given[0]), given[1:]) if asks else (_choose(given), [])
    kind = _find(_COMMANDS[name].options)
    asked = _read(kind, rest, name)
    if getattr(asked, "resume", None) is not None:
        file = _of_run(asked)
    elif getattr(asked, "config", None) is not None:
        from neat_optax.experiments.commands import config_file

        file = config_file.read(asked.config, kind)
    else:
        return name, asked
    return name, _over(file, rest, name)


def _name(given: str) -> str:
    name = _ALIASES.get(given, given)
    _checks.check_choice("command", name, tuple(_COMMANDS))
    return name


def _choose(given: list[str]) -> str:
    """Shows which commands there are, or says that none of them is asked for."""
    import tyro

    union: Any = None
    for name, command in _COMMANDS.items():
        blank = dataclasses.make_dataclass(name, ())
        mark = tyro.conf.subcommand(name, description=command.about)
        one = Annotated[blank, mark]
        union = one if union is None else union | one
    return type(_read(union, given)).__name__


def _of_run(asked: Any) -> Any:
    """The options of the run that goes on."""
    from neat_optax.experiments.commands import resuming

    place = ("resume", "output", "config", "name")
    bare = type(asked)(**{name: getattr(asked, name) for name in place})
    return resuming.read(bare, "task" if hasattr(asked, "task") else "dataset")


def _over(file: Any, given: list[str], name: str) -> Any:
    """The given options over others; a list takes the place of the other."""
    from neat_optax.experiments.commands import config_file

    lists = config_file.repeated(type(file))
    start = dataclasses.replace(file, **dict.fromkeys(lists, ()))
    over = _read(type(file), given, name, start)  # else tyro adds to the file's lists
    kept = {name: getattr(over, name) or getattr(file, name) for name in lists}
    return dataclasses.replace(over, **kept)


def _read(kind: Any, given: list[str], command: str = "", default: Any = None) -> Any:
    """What tyro reads; its errors become one line."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                kind,
                prog=f"{_PROGRAM} {command}".strip(),
                description=None if command else _ABOUT,
                args=given,
                config=(
                    tyro.conf.OmitArgPrefixes,
                    tyro.conf.DisallowNone,
                    tyro.conf.HelptextFromCommentsOff,
                ),
                **({} if default is None else {"default": default}),
            )
    except SystemExit as stopped:
        if stopped.code:
            _complain(_paragraph(said.getvalue()))
        raise


def _paragraph(box: str) -> str:
    """The first paragraph, below the title, of the box in which tyro complains."""
    parts = re.split("[-─]{3,}", box)
    text = " ".join(_FRAME.sub(" ", parts[min(1, len(parts) - 1)]).split())
    return text.partition(" Got errors:")[0]


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        _complain(str(message), "warning")

    absl = logging.getLogger("absl")  # orbax logs the errors that it raises
    level = absl.level
    with warnings.catch_warnings():
        warnings.showwarning = show
        absl.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            absl.setLevel(level)


def _complain(reason: str, kind: str = "error") -> None:
    line = " ".join(reason.split())  # values may have lines of their own
    print(f"{_PROGRAM}: {kind}: {line}", file=sys.stderr)
