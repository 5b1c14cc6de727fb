import numpy as np
import pytest

from neat_optax.experiments.benchmarks import trained
from neat_optax.experiments.candidates.candidate import Candidate
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data.parts import Data, Split
from neat_optax.experiments.data.tasks import make_task

PART = Split(np.ones((70, 2), np.float32), np.arange(70, dtype=np.int32) % 2)
DATA = Data(PART, PART, PART)


def made(**options):
    config = TrainConfig(optimizers=("adam", "sgd"), seeds=5, epochs=1)
    task = make_task(DATA)
    given = {"controls": ("sgd",), "measures": {}, **options}
    return trained.of_train("name", "about", config, DATA, task, **given)


def test_the_first_control_comes_first_and_what_was_asked_for_follows():
    study = made()
    assert tuple(study.methods) == ("sgd", "adam")
    assert study.methods["adam"] == OPTIMIZERS.rates("adam", {})
    assert "optimizers" not in study.options()


@pytest.fixture(scope="module")
def of_lineup():
    known = {
        name: Candidate(lambda *_: None, rate, None, "about")
        for name, rate in (("whole", 1.0), ("none", 2.0))
    }
    lineup = OPTIMIZERS._replace(candidates=known)
    return made(lineup=lineup, rates={"whole": tuple("abcde")}, controls=("none",))


def test_the_controls_of_single_methods_are_controls():
    known = {
        name: Candidate(lambda *_: None, 1.0, control, "about")
        for name, control in (("sgd", None), ("new", "old"), ("old", None), ("a", "b"))
    }
    study = made(lineup=OPTIMIZERS._replace(candidates=known))
    assert study.controls == ("sgd", "old")  # `b` is none of the methods


def test_a_lineup_takes_the_place_of_the_names(of_lineup):
    assert tuple(of_lineup.methods) == ("none", "whole")
    assert of_lineup.methods["none"] == (0.2, 0.6, 2.0, 6.0, 20.0)


def test_rates_that_are_given_are_taken(of_lineup):
    assert of_lineup.methods["whole"] == tuple("abcde")
