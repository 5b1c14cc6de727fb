"""The pages of evidence are what the committed results make."""

import importlib.util
import json
import math
import pathlib

from neat_optax.experiments.benchmarks.columns import MEANING
from neat_optax.experiments.benchmarks.comparing import conclude
from neat_optax.experiments.benchmarks.study import Score

DOCS = pathlib.Path(__file__).parents[1] / "docs"
SPEC = importlib.util.spec_from_file_location(
    "make_evidence", DOCS / "make_evidence.py"
)
make_evidence = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_evidence)
RESULTS = make_evidence.results()


def test_the_pages_are_what_the_results_make():
    for file, text in make_evidence.pages(RESULTS).items():
        assert (DOCS / file).read_text() == text, file


def test_every_page_of_evidence_has_its_results():
    made = {f"{name}.md" for name in RESULTS}
    assert {path.name for path in (DOCS / "evidence").glob("*.md")} == made


def test_every_study_has_seeds_trials_and_its_controls():
    for result in RESULTS.values():
        for name, study in result["studies"].items():
            assert study["options"]["seeds"] >= 5, name
            assert set(study["controls"]) <= set(study["methods"]), name
            tried = {len(row["rates"]) for row in study["methods"].values()}
            assert tried == {study["options"]["trials"]}, name


def test_every_measure_that_is_shown_was_taken():
    for result in RESULTS.values():
        for name, study in result["studies"].items():
            taken = set().union(*(x["measures"] for x in study["methods"].values()))
            assert set(study["shown"].values()) <= taken, name


def test_every_measure_that_is_shown_is_explained():
    for result in RESULTS.values():
        for name, study in result["studies"].items():
            assert set(study["shown"]) <= set(MEANING), name


def test_every_conclusion_follows_from_its_outcomes():
    for result in RESULTS.values():
        for name, study in result["studies"].items():
            rows = {
                method: {
                    **row,
                    "mean": math.nan if row["mean"] is None else row["mean"],
                }
                for method, row in study["methods"].items()
            }
            says = conclude(rows, study["controls"], Score(**study["score"]))
            assert study["conclusion"] == says, name


def test_results_are_of_the_small_form():
    files = make_evidence.RESULTS.glob("*.json")
    assert {json.loads(file.read_text())["form"] for file in files} <= {"small"}
