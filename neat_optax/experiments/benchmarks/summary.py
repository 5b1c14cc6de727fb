"""Pages of results: where each method helps, and every table."""

from collections.abc import Mapping
from typing import Any

from neat_optax.experiments.benchmarks import page as tables
from neat_optax.experiments.benchmarks.comparing import BETTER, OPEN, WORSE

_NOWHERE = "no place found"


def page(results: Mapping[str, Any]) -> str:
    """The abstract, and one section for each benchmark.

    Args:
      results: of benchmarks, by name.
    """
    sections = [_section(name, result) for name, result in results.items()]
    return "\n".join(["## Where each method helps\n", abstract(results), *sections])


def abstract(results: Mapping[str, Any]) -> str:
    """A row for each method: the studies in which it is better, and how many not."""
    places: dict[str, dict[str, list[str]]] = {}
    for result in results.values():
        for study, content in result["studies"].items():
            for method, row in content["methods"].items():
                if row["verdict"] is None:
                    continue
                kinds = {BETTER: [], WORSE: [], OPEN: []}
                places.setdefault(method, kinds)[row["verdict"]].append(study)

    def weight(method: str) -> tuple[int, int, str]:
        found = places[method]
        return -len(found[BETTER]), len(found[WORSE]), method

    rows = [
        [
            method,
            ", ".join(places[method][BETTER]) or _NOWHERE,
            ", ".join(places[method][WORSE]),
            str(len(places[method][OPEN])),
        ]
        for method in sorted(places, key=weight)
    ]
    head = ["method", "better than the control in", "worse in", "neither"]
    return tables.markdown(head, rows) + "\n"


def _section(name: str, result: Mapping[str, Any]) -> str:
    lines = [f"## {name}\n", f"{result['about']}\n"]
    lines += [
        f"- **{study}**: {content['conclusion']}"
        for study, content in result["studies"].items()
    ]
    lines += [f"- {table['title']}" for table in result["tables"]]
    lines += [f"\nAll figures: [evidence/{name}.md](evidence/{name}.md).\n"]
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
    lines += [f"```shell\nneat-optax bench {name}\n```\n"]
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
    return [*parts, f"**{content['conclusion']}**\n", f"{table}\n"]
