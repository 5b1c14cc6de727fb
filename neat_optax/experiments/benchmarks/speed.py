"""Time and memory, side by side with the libraries that are installed.

Runs the scripts of `benchmarks/` of a clone, one after the other, each in a process of
its own, and keeps what each has printed: a run that is stopped goes on with the next.
`--full` takes the rounds and sizes of docs/performance.md, about three hours.
"""

import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from neat_optax.experiments.benchmarks.study import Benchmark, Study, Table
from neat_optax.experiments.runs.provenance import environment
from neat_optax.experiments.runs.writing import write_text

PEERS = {
    "optax": "every table of single gradients",
    "torchjd": "weightings, aggregators, players",
    "conflictfree": "ConFIG",
    "evosax": "evolution",
    "opacus": "clipping of examples",
    "jax-privacy": "clipping of examples",
    "keras-genetic": "evolution",
    "LibMTL": "nothing: its weightings are methods of its own trainer",
}
"""What they are timed beside."""
FOLDER = pathlib.Path(__file__).parents[3] / "benchmarks"
"""Of the scripts, in a clone."""
Row = tuple[str, ...]
_FIGURE = re.compile(r"\d")
_APART = re.compile(r"\s{2,}")


class Script(NamedTuple):
    """What is run, in little time and in full."""

    about: str
    small: tuple[str, ...]
    full: tuple[str, ...] = ()


SCRIPTS = {
    "step_time": Script(
        "A step of one gradient, over Adam's", ("--quick", "--rounds", "7")
    ),
    "aggregators": Script(
        "Aggregators, beside TorchJD and conflictfree",
        ("--quick", "--only", "time"),
        ("--only", "time"),
    ),
    "players": Script(
        "Gradients of every example from factors, over the plain step",
        ("--rounds", "5"),
    ),
    "players_elsewhere": Script(
        "The same, beside TorchJD, Opacus and JAX Privacy",
        ("--rounds", "3", "--cores", "1"),
        ("--rounds", "11", "--cores", "1"),
    ),
    "player_training": Script(
        "A step of training with players", ("--rounds", "5"), ("--rounds", "15")
    ),
    "training_loop": Script("Loops around a step", ("--rounds", "5")),
    "pruning": Script("Pruning", ("--rounds", "7"), ("--rounds", "31")),
    "plasticity": Script("Plasticity", ("--rounds", "7"), ("--rounds", "31")),
    "games": Script("Games", ("cost",), ("cost",)),
    "evolution": Script(
        "Generations per second, beside evosax",
        ("--rounds", "3", "--problem", "sphere 1000 x 256"),
        ("--rounds", "9", "--generations", "20", "--seeds", "1"),
    ),
    "keras_time": Script("An epoch in Keras", ("--rounds", "5")),
    "against_keras_genetic": Script(
        "Generations per second, beside Keras Genetic", ("--rounds", "1")
    ),
}


def studies(full: bool, folder: str | None) -> list[Study]:
    """None: nothing is trained."""
    del full, folder
    return []


def measured(
    full: bool,
    root: pathlib.Path,
    tick: Callable[[str], None],
    scripts: dict[str, Script] | None = None,
    folder: pathlib.Path = FOLDER,
) -> list[Table]:
    """What is installed, and the tables that each script prints.

    Args:
      full: whether all rounds and sizes are taken.
      root: where what is printed is kept, a file for each script.
      tick: called between two scripts.
      scripts: by name; all of `SCRIPTS` unless others are given.
      folder: where they are.
    """
    if not folder.is_dir():
        raise ValueError(
            f"`bench` must be run in a clone for speed, whose scripts are in {folder}."
        )
    root.mkdir(parents=True, exist_ok=True)
    tables = [_peers()]
    for name, script in (SCRIPTS if scripts is None else scripts).items():
        kept = root / f"{name}.json"
        if not kept.exists():
            tick(f"before {name}")
            asked = script.full if full else script.small
            found = _run(folder / f"{name}.py", asked)
            write_text(kept, json.dumps(found, indent=1))
        tables += tables_of(script.about, json.loads(kept.read_text()))
    return tables


def _run(file: pathlib.Path, asked: Sequence[str]) -> dict[str, Any]:
    """What a script prints, and what the machine did meanwhile."""
    load = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, str(file), *asked],
        cwd=file.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:  # by a signal, as Ctrl-C is one
        raise KeyboardInterrupt
    return {
        "command": " ".join(["python", f"{file.parent.name}/{file.name}", *asked]),
        "printed": done.stdout,
        "error": (done.stderr.strip().splitlines() or [""])[-1],
        "ended": done.returncode,
        "load": [load, os.getloadavg()[0]],
        "environment": environment(),
    }


def tables_of(about: str, found: dict[str, Any]) -> list[Table]:
    """The tables in what a script has printed.

    Args:
      about: what it measures.
      found: as it is kept.
    """
    made = found["environment"]
    before, after = found["load"]
    text = (
        f"`{found['command']}`; JAX {made['jax']}, {made['device']}, load {before:.1f} "
        f"before and {after:.1f} after on {os.cpu_count()} cores."
    )
    parsed = parse(found["printed"])
    if not parsed:
        reason = found["error"] if found["ended"] else "nothing printed"
        return [Table(about, text, ("script", "not measured"), ((about, reason),))]
    return [
        Table(f"{about}: {title}" if title else about, text, head, rows)
        for title, head, rows in parsed
    ]


def parse(printed: str) -> list[tuple[str, Row, tuple[Row, ...]]]:
    """Tables by title, head and rows: in Markdown, or a name and then its figures.

    Args:
      printed: by a script.
    """
    found: list[tuple[str, Row, list[Row]]] = []
    title, heads, open_table = "", ("", "measured"), False
    for line in printed.splitlines():
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        figures = _APART.split(line.strip(), maxsplit=1)
        if line.startswith("|"):
            if not open_table:
                found.append((title, cells, []))
            elif not set(line) <= set("|-: "):
                found[-1][2].append(cells)
            open_table = True
        elif len(figures) == 2 and _FIGURE.search(figures[1]):
            row = tuple(_APART.split(line.strip()))
            if not open_table:
                fits = len(heads) == len(row)
                found.append((title, heads if fits else ("", "measured"), []))
            whole = len(row) == len(found[-1][1])
            found[-1][2].append(row if whole else (row[0], " ".join(row[1:])))
            open_table = True
        else:
            above = tuple(_APART.split(line.strip()))
            heads = above if len(above) > 2 else ("", "measured")
            title = title if len(above) > 2 else line.strip() or title
            open_table = False
    return [(title, head, tuple(rows)) for title, head, rows in found if rows]


def _peers() -> Table:
    rows = []
    for name, what in PEERS.items():
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            version = "not installed: left out"
        rows.append((name, version, what))
    head = ("library", "version", "timed beside it")
    text = (
        "All times are of one machine; where it is shared, compare ratios. Scripts say "
        "what takes turns."
    )
    return Table("Beside whom", text, head, tuple(rows))


BENCHMARK = Benchmark(
    "What does a step cost, and what do other libraries take for it?",
    studies,
    measured=measured,
)
