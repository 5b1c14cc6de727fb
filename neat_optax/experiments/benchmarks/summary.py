"""Pages of results: where each method helps, and every table."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from neat_optax.experiments.benchmarks import page as tables
from neat_optax.experiments.benchmarks.catalog import NAMES
from neat_optax.experiments.benchmarks.columns import legend
from neat_optax.experiments.benchmarks.comparing import BETTER, OPEN, WORSE, unbeaten
from neat_optax.experiments.benchmarks.study import Score

KINDS = {
    "Aggregators and weightings of losses": ("toy", "multitask", "pinn", "examples"),
    "Optimizers": ("optimizers", "plasticity"),
    "Continual learning": ("continual",),
    "Pruning": ("sparsity",),
    "Search by populations, beside Adam": ("evolution",),
}
"""Methods that are held against each other, by the benchmarks in which they are."""
DOCTOR = "python benchmarks/doctor_hits.py"
"""Asks the doctor, of whom there is a page as well."""
OF_PARTS = ("ablation", "-parts")
"""How the names of studies end that take methods to pieces."""
MOST_LISTED = 6
HEAD = ("method", "better than the control in", "worse in", "studies left open")
UNITS = (
    "Differences to the control, with intervals: `x0.5` is half of its error, and "
    "below 1 is better. A number with a sign is in points of percent: of Delta-m in "
    "multitask, where less is better, and of accuracy elsewhere.\n"
)


class _Place(NamedTuple):
    """What a method has come to in one study."""

    benchmark: str
    study: str
    verdict: str
    difference: str  # to the control, with its interval
    rivals: tuple[str, ...]  # controls that are better too, and not beaten

    def __str__(self) -> str:
        """As the table of what helps shows it."""
        beside = f" (not beyond {', '.join(self.rivals)})" if self.rivals else ""
        return f"{self.link} {self.difference}{beside}"

    @property
    def link(self) -> str:
        """The study, as a link to its table."""
        anchor = re.sub(r"[^\w-]", "", self.study)
        return f"[{self.study}](evidence/{self.benchmark}.md#{anchor})"


def page(results: Mapping[str, Any]) -> str:
    """The abstract, and one section for each benchmark.

    Args:
      results: of benchmarks, by name.
    """
    sections = [_section(name, result) for name, result in results.items()]
    head = ["## Where each method helps\n", UNITS, abstract(results)]
    return "\n".join([*head, *sections])


def abstract(results: Mapping[str, Any]) -> str:
    """For each kind of method: where it helps, with intervals, or that none was found.

    Controls are no methods here; what they come to stands in the tables.
    """
    parts = []
    for kind, names in KINDS.items():
        here = {name: results[name] for name in names if name in results}
        places = _places(here)
        if places:
            parts += [f"### {kind}\n", *_helping(places), *_not_helping(places)]
    return "\n".join(parts)


def _places(results: Mapping[str, Any]) -> dict[str, list[_Place]]:
    """Of each method the studies in which it is held against a control.

    Studies of its parts are left out: they hold the same runs against one another.
    """
    places: dict[str, list[_Place]] = {}
    for name, result in results.items():
        for study, content in result["studies"].items():
            if study.endswith(OF_PARTS):
                continue
            for method in content["methods"]:
                if method not in content["controls"]:
                    place = _place(name, study, content, method)
                    places.setdefault(method, []).append(place)
    return places


def _place(
    benchmark: str, study: str, content: Mapping[str, Any], method: str
) -> _Place:
    score, rows = Score(**content["score"]), content["methods"]
    rivals = unbeaten(method, rows, content["controls"], score)
    shown = tables.difference(rows[method], score)
    verdict = rows[method]["verdict"]
    return _Place(benchmark, study, verdict, shown, tuple(rivals))


def _helping(places: Mapping[str, Sequence[_Place]]) -> list[str]:
    """A table of the methods with a place, those with the most first."""
    found = {
        method: [place for place in where if place.verdict == BETTER]
        for method, where in places.items()
    }
    ranked = sorted(filter(found.get, found), key=lambda x: (-len(found[x]), x))
    rows = [
        [
            method,
            "; ".join(map(str, found[method])),
            ", ".join(p.link for p in places[method] if p.verdict == WORSE),
            str(sum(place.verdict == OPEN for place in places[method])),
        ]
        for method in ranked
    ]
    return [tables.markdown(HEAD, rows) + "\n"] if rows else []


def _not_helping(places: Mapping[str, Sequence[_Place]]) -> list[str]:
    """One sentence on the methods for which no place was found, and how they fared."""
    shown = []
    for method in sorted(places):
        verdicts = [place.verdict for place in places[method]]
        if BETTER not in verdicts:
            worse = verdicts.count(WORSE)
            beaten = f", worse in {worse}" if worse else ""
            shown.append(f"{method} ({len(verdicts)}{beaten})")
    if not shown:
        return []
    said = ", ".join(shown)
    return [f"**No place was found** for these, in so many studies: {said}.\n"]


def _section(name: str, result: Mapping[str, Any]) -> str:
    lines = [f"## {name}\n", f"{result['about']}\n"]
    lines += [
        f"- **{study}**: {content['conclusion']}"
        for study, content in result["studies"].items()
    ]
    titles = ", ".join(f"*{table['title']}*" for table in result["tables"])
    more = f", and the tables {titles}" if titles else ""
    lines += [f"\nAll figures{more}: [evidence/{name}.md](evidence/{name}.md).\n"]
    if result["studies"]:
        lines += [f"![Intervals of {name}](images/intervals_{name}.png)\n"]
    return "\n".join(lines)


def benchmark_page(name: str, result: Mapping[str, Any]) -> str:
    """All tables of one benchmark.

    Args:
      name: of the benchmark.
      result: its content.
    """
    lines = [f"# Evidence: {name}\n", f"{result['about']}\n"]
    command = f"neat-optax bench {name}" if name in NAMES else DOCTOR
    lines += [f"```shell\n{command}\n```\n"]
    if result["studies"]:
        lines += [legend(result["studies"])]
    for study, content in result["studies"].items():
        lines += _study(study, content)
    for table in result["tables"]:
        body = tables.markdown(table["head"], table["rows"])
        lines += [f"## {table['title']}\n", f"{table['text']}\n", f"{body}\n"]
    return "\n".join(lines)


def _study(name: str, content: Mapping[str, Any]) -> list[str]:
    options, made_with = content["options"], content["environment"]
    count = len(content["methods"])
    protocol = (
        f"{count} methods, {options['trials']} learning rates each, {options['seeds']} "
        f"seeds; JAX {made_with['jax']}, {made_with['device']}."
    )
    notes = [f"{content['notes']}\n"] if content["notes"] else []
    table = tables.table(content)
    parts = [f"## {name}\n", f"{content['about']}\n", *notes, f"{protocol}\n"]
    said = f"**{content['conclusion']}**\n"
    return [*parts, said, f"{table}\n", *_same(content["methods"])]


def _same(methods: Mapping[str, Any]) -> list[str]:
    """Which methods came to the same, since they are one here under several names."""
    groups: dict[tuple[float, ...], list[str]] = {}
    for name, row in methods.items():
        groups.setdefault(tuple(row["scores"]), []).append(name)
    shown = [_listed(names) for names in groups.values() if len(names) > 1]
    return [f"The same to the last digit: {'; '.join(shown)}.\n"] if shown else []


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_LISTED:
        return f"{names[0]} and {len(names) - 1} others"
    return " = ".join(names)
