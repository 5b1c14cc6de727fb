"""Makes docs/evidence.md and its pictures from the results in benchmarks/results.

python docs/make_evidence.py
"""

import json
import pathlib

from neat_optax.experiments.benchmarks import page, summary

FOLDER = pathlib.Path(__file__).parent
RESULTS = FOLDER.parent / "benchmarks" / "results"


def main() -> None:
    """Writes the pages, and draws the intervals."""
    found = results()
    for file, text in pages(found).items():
        (FOLDER / file).parent.mkdir(exist_ok=True)
        (FOLDER / file).write_text(text)
    for name, result in found.items():
        if result["studies"]:
            page.draw(result, FOLDER / "images" / f"intervals_{name}.png")


def results() -> dict[str, dict]:
    """What is in the folder of results, by benchmark, in the order of the catalog."""
    from neat_optax.experiments.benchmarks import catalog

    files = {name: RESULTS / f"{name}.json" for name in (*catalog.NAMES, "doctor")}
    return {
        name: json.loads(file.read_text())
        for name, file in files.items()
        if file.exists()
    }


def pages(found: dict[str, dict]) -> dict[str, str]:
    """Each page as text, by its file."""
    head = (FOLDER / "evidence_head.md").read_text()
    made = {"evidence.md": head + summary.page(found)}
    for name, result in found.items():
        made[f"evidence/{name}.md"] = summary.benchmark_page(name, result)
    return made


if __name__ == "__main__":
    main()
