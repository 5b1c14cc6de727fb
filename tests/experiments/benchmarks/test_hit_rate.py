import pytest

from experiments.benchmarks import made_studies
from neat_optax.experiments.benchmarks.comparing import compare
from neat_optax.experiments.benchmarks.hit_rate import is_asked, judge, table
from neat_optax.experiments.benchmarks.study import Score

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


def test_the_best_of_several_is_not_held_to_the_interval_of_one():
    found = judge("study", outcome(**MEANS | {"config": 0.7047}), "upgrad", KNOWN)
    assert (found.hit, found.alone) == (True, False)
    further = judge("study", outcome(**MEANS | {"config": 0.707}), "upgrad", KNOWN)
    assert (further.hit, further.alone) == (False, False)


def test_the_best_is_that_of_all_methods_unless_some_are_named():
    assert judge("study", outcome(**MEANS), "upgrad", KNOWN).best == "config"
    strict = judge("study", outcome(**MEANS), "upgrad")
    assert (strict.best, strict.hit, strict.why) == ("soap", False, "the best beats it")


def test_studies_are_asked_about_that_compare_what_the_doctor_knows():
    known = made_studies.make(probe=lambda: None)
    four = outcome(**MEANS, pcgrad=0.5)
    assert is_asked(known, four)
    assert not is_asked(known, outcome(**MEANS))  # three, and one that it does not know
    assert not is_asked(known, None)
    assert not is_asked(made_studies.make(), four)


def test_the_table_counts_hits():
    rows = [
        judge(name, outcome(**MEANS), said, KNOWN)
        for name, said in (("a", "upgrad"), ("b", "none"))
    ]
    shown = table(rows)
    assert shown.text.startswith("1 of 2 recommendations")
    assert "these two methods alone 1 are." in shown.text
    winners = "upgrad, config, imtl-g"
    assert shown.rows[0] == ("a", "config", winners, "upgrad", "hit", "")
    assert [row[4] for row in shown.rows] == ["hit", "miss"]
