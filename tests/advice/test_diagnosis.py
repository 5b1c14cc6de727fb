import numpy as np

from advice.made_measures import make_measures
from neat_optax._intervals import Interval
from neat_optax.advice import Diagnosis, Trial, recommend


def report(**given):
    measures = make_measures(3, **given)
    cosines = np.zeros((5, 3, 3)) + np.eye(3)
    return str(Diagnosis(measures, recommend(measures), cosines, np.ones((5, 3))))


def test_what_is_conflict_and_what_is_noise_is_told_apart():
    said = report()
    assert "Conflict: 0% of the pairs are opposed on one batch, 0% on two;" in said
    assert "Noise: 0% of the players are opposed to themselves" in said
    alone = report(sampled=False)
    assert "opposed on one batch; 0% in Adam's metric" in alone
    assert "Noise: none" in alone


def test_arrays_that_hold_rounding_only_are_left_out():
    layers = {"kernel": (0.25, np.ones(3)), "bias": (0.9, 1e-8 * np.ones(3))}
    said = report(layers=layers)
    assert "kernel" in said
    assert "bias" not in said


def test_who_did_best_at_the_end_of_the_rates_is_named():
    ends = np.ones((2, 3))
    still = Interval(0.0, 0.0, 0.0)
    one = Trial(ends, 3.0, -1.0, still, -np.ones(3), np.zeros(3), "largest")
    trial = {"mean": one, "upgrad": one, "imtl_g": one._replace(edge="")}
    said = report(trial=trial)
    assert "Best at the largest of the rates tried: mean, upgrad." in said
    assert "smallest" not in said
    assert "intervals of 95 % for 2 at once" in said
