import jax
import numpy as np
import pytest

from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import (
    SCHEDULES,
    SPREAD,
    changes_gradient,
    with_rate,
)
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.candidates.pruning_methods import Rules
from neat_optax.experiments.candidates.prunings import lineup

LINEUPS = (OPTIMIZERS, AGGREGATORS, lineup(("cubic", "2:4"), Rules()))


@pytest.mark.parametrize("lineup", LINEUPS, ids=lambda x: x.kind)
def test_all_candidates_are_tried_with_as_many_rates(lineup):
    for name in lineup.candidates:
        assert len(lineup.rates(name, {})) == len(SPREAD)


@pytest.mark.parametrize("lineup", LINEUPS, ids=lambda x: x.kind)
def test_a_rate_that_is_given_is_the_rate_that_is_used(lineup):
    for name in lineup.candidates:
        assert lineup.rates(name, {name: 1.23456789e-3}) == (1.23456789e-3,)


def test_a_control_tries_the_rates_of_those_that_it_controls():
    def of_mean(given, names):
        return AGGREGATORS.rates("mean", given, names)

    names = ("upgrad", "pcgrad", "neat", "mean")
    given = {"upgrad": 0.5, "pcgrad": 0.25, "neat": 0.1}
    assert of_mean(given, names) == (0.5, 0.25)
    assert of_mean({"upgrad": 0.5, "pcgrad": 0.5}, names) == (0.5,)
    assert of_mean(given | {"mean": 2.0}, names) == (2.0,)
    grid = of_mean({}, ())
    assert of_mean({}, names) == grid
    assert of_mean({"upgrad": 0.5}, names) == (0.5, *grid)


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "", "fast"])
def test_a_rate_is_a_number_above_zero(rate):
    with pytest.raises(ValueError, match=f"`optimizer` must be .* got adam:{rate}."):
        with_rate("optimizer", f"adam:{rate}")


@pytest.mark.parametrize("lineup", LINEUPS, ids=lambda x: x.kind)
def test_controls_are_candidates_without_a_control(lineup):
    for candidate in lineup.candidates.values():
        if candidate.control is not None:
            assert lineup.candidates[candidate.control].control is None


def test_controls_are_added_once_and_after_what_they_control():
    with_controls = OPTIMIZERS.with_controls
    assert with_controls(("neat", "adam")) == ("neat", "control", "adam")
    assert with_controls(OPTIMIZERS.default) == OPTIMIZERS.default
    assert with_controls(("unknown",)) == ("unknown",)
    assert AGGREGATORS.with_controls(("upgrad", "mgda")) == ("upgrad", "mean", "mgda")


def test_a_candidate_is_held_against_its_control_first():
    against = OPTIMIZERS.held_against
    control, *peers = against("neuroplastic")
    assert control == "neuroplastic-control"
    assert peers == ["neuroplastic-off", "sgd", "adam", "adamw"]
    assert against("adam") == ("control",)
    assert against("control") == ()


def test_what_a_candidate_did_is_its_own_or_the_lineups():
    report = {"mean_over_run": {"correction_ratio": 0.0}}
    assert OPTIMIZERS.what_did("adam", report) == "corrects nothing"
    assert OPTIMIZERS.what_did("adamw", report) == "decays its weights"


def test_what_a_correction_did_is_said():
    def said(ratio):
        return changes_gradient({"mean_over_run": {"correction_ratio": ratio}})

    assert said(0.0) == "corrects nothing"
    assert said(0.002) == "changes the gradient by 0.2 % on average"


def test_a_constant_rate_stays():
    assert SCHEDULES["constant"](0.3, 100) == 0.3


def test_a_cosine_falls_to_zero():
    rate = SCHEDULES["cosine"](0.3, 100)
    found = jax.jit(rate)(np.array([0, 50, 100]))
    np.testing.assert_allclose(found, [0.3, 0.15, 0.0], atol=1e-7)
