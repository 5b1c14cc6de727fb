import pytest

from neat_optax.experiments.benchmarks import quick


@pytest.fixture(scope="module")
def studies():
    return {study.name: study for study in quick.studies(False, None)}


def test_it_holds_one_problem_of_each_kind(studies):
    assert {name: list(x.methods) for name, x in studies.items()} == {
        "burgers": ["sum", "random", "nash-mtl"],
        "digits": ["control", "neat"],
    }


def test_it_is_no_less_strict_than_the_others(studies):
    for study in studies.values():
        assert study.seeds >= 5
        assert study.trials >= 2


def test_nothing_but_training_takes_time(studies):
    assert [study.step for study in studies.values()] == [None, None]
