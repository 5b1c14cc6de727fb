"""The command line: `neat-optax train`, `compact`, `evolve`, `report` and `runs`."""

import contextlib
import dataclasses
import importlib.metadata
import io
import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

_HINT = 'the command line needs the extra "train": pip install "neat-optax[train]"'
_PROGRAM = "neat-optax"
_NO_MEMORY = "RESOURCE_EXHAUSTED"
"""What XLA begins its message with."""
_FRAME = re.compile("[│╭╮╰╯├┤]")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == ["--version"]:
        print(_PROGRAM, importlib.metadata.version("neat-optax"))
        return 0
    try:
        commands = _commands()
    except ImportError as error:
        _complain(f"{_HINT} ({error})")
        return 2
    kinds = {name: kind for name, (kind, _) in commands.items()}
    runs = dict(commands.values())
    try:
        with _warnings_in_one_line():
            options = _parse(kinds, given)
            runs[type(options)](options, given)
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


def _commands() -> dict[str, tuple[type, Callable[[Any, list[str]], None]]]:
    """By name: the options of a command, and what runs it."""
    from neat_optax.experiments.commands import (
        compact_command,
        evolve_command,
        report_command,
        runs_command,
        train_command,
    )

    return {
        "train": (train_command.TrainOptions, train_command.train),
        "compact": (compact_command.CompactOptions, compact_command.compact),
        "evolve": (evolve_command.EvolveOptions, evolve_command.evolve),
        "report": (report_command.ReportOptions, report_command.report),
        "runs": (runs_command.RunsOptions, runs_command.runs),
    }


def _parse(kinds: dict[str, type], given: list[str]) -> Any:
    """The options of a command: those of a file or a run, and over them the given."""
    from neat_optax.experiments.commands import config_file, resuming

    asked = _read(kinds, given)
    kind = type(asked)
    if getattr(asked, "resume", None) is not None:
        place = ("resume", "output", "config", "name")
        bare = kind(**{name: getattr(asked, name) for name in place})
        file = resuming.read(bare, "task" if hasattr(asked, "task") else "dataset")
    elif getattr(asked, "config", None) is not None:
        file = config_file.read(asked.config, kind)
    else:
        return asked
    lists = config_file.repeated(kind)
    start = dataclasses.replace(file, **dict.fromkeys(lists, ()))
    over = _read(kinds, given, start)  # else tyro adds to the lists of the file
    kept = {name: getattr(over, name) or getattr(file, name) for name in lists}
    return dataclasses.replace(over, **kept)


def _read(kinds: dict[str, type], given: list[str], default: Any = None) -> Any:
    """What tyro reads; its errors become one line."""
    import tyro

    union: Any = None
    for name, kind in kinds.items():
        one = Annotated[kind, tyro.conf.subcommand(name)]
        union = one if union is None else union | one
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                union,
                prog=_PROGRAM,
                description="Train with gradients that disagree, or to few weights, "
                "next to the controls. --version says which neat-optax this is.",
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
