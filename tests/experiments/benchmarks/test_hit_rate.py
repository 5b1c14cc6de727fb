import types

import pytest

from experiments.benchmarks import made_studies
from neat_optax.experiments.benchmarks.comparing import compare
from neat_optax.experiments.benchmarks.hit_rate import hit_rate, judge, table
from neat_optax.experiments.benchmarks.study import Probe, Score

SEEDS = (0.0, 0.001, 0.002, 0.003, 0.004)
MEANS = {"mean": 0.5, "upgrad": 0.7, "config": 0.7005, "imtl-g": 0.6, "soap": 0.9}


def outcome(**means):
    """What is kept of a study in which accuracy differs as the means do."""
    score = Score("accuracy", "accuracy", "validation_accuracy")
    scores = {name: [mean + x for x in SEEDS] for name, mean in means.items()}
    scores["config"] = [means["config"] + x for x in reversed(SEEDS)]
    against = compare(scores, "mean", score)
    methods = {
        name: {
            "scores": scores[name],
            "mean": mean,
            "verdict": against[name].verdict if name in against else None,
        }
        for name, mean in means.items()
    }
    return {"score": score._asdict(), "controls": ["mean"], "methods": methods}


KNOWN = ("upgrad", "conflict_free", "imtl_g", "pcgrad")
WITHOUT = outcome(**(dict.fromkeys(MEANS, 0.5) | {"soap": 0.4}))


@pytest.mark.parametrize(
    ("found", "said", "hit"),
    [
        (outcome(**MEANS), "conflict_free", True),  # the best, by another name
        (outcome(**MEANS), "upgrad", True),  # within its interval
        (outcome(**MEANS), "imtl_g", False),  # better than the mean, and beaten
        (outcome(**MEANS), "none", False),
        (outcome(**MEANS), "pcgrad", False),  # not in the study
        (WITHOUT, "none", True),
        (WITHOUT, "upgrad", False),
    ],
)
def test_what_is_a_hit(found, said, hit):
    assert judge("study", found, said, KNOWN).hit is hit


def test_the_best_is_that_of_all_methods_unless_some_are_named():
    assert judge("study", outcome(**MEANS), "upgrad", KNOWN).best == "config"
    strict = judge("study", outcome(**MEANS), "upgrad")
    assert (strict.best, strict.hit, strict.why) == ("soap", False, "beaten")


def test_every_study_with_a_probe_and_an_outcome_is_asked_about():
    probe = Probe(None, None, ())
    studies = [
        made_studies.make(name=name, probe=known)
        for name, known in (("a", lambda: probe), ("b", None), ("c", lambda: probe))
    ]
    outcomes = {"a": outcome(**MEANS), "b": outcome(**MEANS)}
    found = hit_rate(
        studies, outcomes, lambda _: types.SimpleNamespace(method="upgrad"), KNOWN
    )
    assert [row.study for row in found] == ["a"]
    shown = table(found)
    assert shown.text.startswith("1 of 1 recommendations")
    assert shown.rows == (
        ("a", "config", "upgrad, config, imtl-g", "upgrad", "hit", ""),
    )
