"""`neat-optax bench`: methods tuned equally, beside their controls."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, UseAppendAction, arg

from neat_optax import _checks
from neat_optax.experiments.benchmarks import catalog

_NONE = "(default: none)"
_NUMBERS = re.compile(r"\[[-+\d.e,\snul]+\]")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Runs a benchmark: methods tuned equally, over seeds, beside their controls.

    What is stopped goes on with the same command.
    """

    benchmark: Annotated[
        Positional[str],
        arg(
            name="name",
            metavar="NAME",
            help="\n".join(f"{name}: {about}" for name, about in catalog.NAMES.items()),
        ),
    ]
    full: bool = False
    """the sizes of the papers, which take hours, instead of minutes"""
    study: Annotated[
        UseAppendAction[tuple[str, ...]],
        arg(metavar="NAME", help_behavior_hint="(default: all)"),
    ] = ()
    """one of the benchmark's studies; may be repeated"""
    output: Annotated[str, arg(metavar="FOLDER")] = "runs/bench"
    """folder for what is carried out"""
    data: Annotated[
        str | None,
        arg(metavar="FOLDER", help_behavior_hint="(default: that of NEAT_OPTAX_DATA)"),
    ] = None
    """folder with the files of data sets that are read from files"""
    results: Annotated[str | None, arg(metavar="FOLDER", help_behavior_hint=_NONE)] = (
        None
    )
    """folder for a copy of the result without curves, NAME.json, from which the pages
    are made"""


def bench(options: BenchOptions, arguments: Sequence[str]) -> None:
    """Carries out the studies, and writes and shows what they say.

    Args:
      options: what is asked for.
      arguments: the command line that asks for it.
    """
    from neat_optax.experiments.benchmarks import page  # its imports take time
    from neat_optax.experiments.benchmarks.carrying_out import carried_out, carry_out
    from neat_optax.experiments.runs import running
    from neat_optax.experiments.runs.writing import plain, write_text

    console = Console()
    benchmark = catalog.find(options.benchmark)
    root = pathlib.Path(options.output, _folder(options))
    studies = benchmark.studies(options.full, options.data)
    with running.stoppable(console, _again(arguments)) as stop_if_asked:
        for study in _chosen(studies, options):
            running.say(console, f"{study.name}: {study.about}")
            with running.follow(console, "epochs") as show:
                tick = _tick(list(study.methods), study.num_epochs, show, stop_if_asked)
                found = carry_out(study, root, tick)
            running.say(console, f"{page.table(found)}\n{found['conclusion']}")
        kept = {study.name: carried_out(study, root) for study in studies}
        done = {name: found for name, found in kept.items() if found is not None}
        tables = (benchmark.tables or _no_tables)(options.full, done)
        if benchmark.measured is not None:
            measured = benchmark.measured(options.full, root, stop_if_asked)
            tables = [*tables, *measured]
    result = page.result(options.benchmark, options.full, benchmark.about, done, tables)
    written = {root: result}
    if options.results:
        written[pathlib.Path(options.results)] = page.slim(result)
    for folder, content in written.items():
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{_folder(options)}.json"
        write_text(file, _text(plain(content)))
        running.say(console, f"written to {file}")
    page.draw(result, root / f"bench_{options.benchmark}.png")
    if benchmark.pictures is not None:
        benchmark.pictures(result, root)
    running.say(console, f"pictures in {root}")


def _text(result: Any) -> str:
    """As JSON, with six digits of a number and a line for a list of them."""
    text = json.dumps(_short(result), indent=1)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return value


def _folder(options: BenchOptions) -> str:
    return options.benchmark + ("-full" if options.full else "")


def _again(arguments: Sequence[str]) -> str:
    import shlex

    return shlex.join(["neat-optax", *arguments])


def _chosen(studies: list[Any], options: BenchOptions) -> list[Any]:
    names = tuple(study.name for study in studies)
    for name in options.study:
        _checks.check_choice("study", name, names)
    return [x for x in studies if not options.study or x.name in options.study]


def _no_tables(full: bool, done: dict[str, Any]) -> list[Any]:
    del full, done
    return []


def _tick(
    methods: list[str],
    epochs: int,
    show: Callable[[str, int, int], None],
    stop_if_asked: Callable[[str], None],
) -> Callable[[str, int], None]:
    def tick(name: str, done: int) -> None:
        before = methods.index(name) * epochs
        show(name, before + done, len(methods) * epochs)
        stop_if_asked(f"with {done} epochs of {name}")

    return tick
