import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
import running
from advice.made_measures import make_geometry, make_measures, opposed
from neat_optax._intervals import Interval
from neat_optax.advice import KNOWN, StepCost, Trial, recommend
from neat_optax.advice._rules import cause

PARAMS = {"w": np.ones(3)}
HARMED = (Interval(-0.3, -0.4, -0.2), *(Interval(0.5, 0.4, 0.6),) * 2)


def harmful():
    return opposed()._replace(gain=HARMED)


QUIET = np.full(3, 0.99)


@pytest.mark.parametrize(
    ("given", "method"),
    [
        ({}, "none"),
        ({"plain": opposed()}, "none"),
        ({"plain": make_geometry(gain=HARMED)}, "upgrad"),
        ({"plain": harmful()}, "upgrad"),
        ({"norm_ratio": 30.0}, "grad_norm_balancing"),
        ({"norm_ratio": 30.0, "plain": harmful()}, "upgrad"),
        ({"norm_ratio": 30.0, "alike": True}, "none"),
        ({"norm_ratio": 30.0, "reliability": QUIET}, "nash_mtl"),
        ({"plain": opposed(), "reliability": QUIET}, "nash_mtl"),
        ({"reliability": QUIET}, "none"),
    ],
)
def test_without_a_trial_the_geometry_decides(given, method):
    found = recommend(make_measures(**given))
    assert found.method == method
    assert found.reason.endswith(".")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, None),
        ({"plain": opposed()}, "1 of 3 pairs are opposed"),
        ({"plain": harmful()}, "and the mean harms a"),
        ({"norm_ratio": 30.0}, "is 30 times the shortest"),
        ({"alike": True}, "players are examples"),
    ],
)
def test_what_is_a_cause(given, said):
    found = cause(make_measures(**given))
    assert found is None if said is None else said in found


def test_one_player_needs_nothing():
    assert recommend(make_measures(1)).method == "none"


def trial(**differences):
    def one(middle, low, high):
        blank, left = np.ones((3, 3)), np.full(3, middle - 1)
        difference = Interval(middle, low, high)
        return Trial(blank, 1.0, middle - 1, difference, left, np.zeros(3))

    pairs = {"mean": (0.0, 0.0), **differences}
    return {name: one(sum(pair) / 2, *pair) for name, pair in pairs.items()}


def test_a_trial_is_asked_before_the_geometry():
    lost = trial(upgrad=(-0.2, 0.1), nash_mtl=(0.0, 0.2))
    assert recommend(make_measures(plain=harmful(), trial=lost)).method == "none"
    won = trial(upgrad=(-0.2, 0.1), nash_mtl=(-0.4, -0.2))
    found = recommend(make_measures(plain=opposed(), trial=won))
    assert found.method == "nash_mtl"
    assert found.reason.startswith("1 of 3 pairs are opposed")
    won["nash_mtl"] = won["nash_mtl"]._replace(factor=3.0)
    faster = recommend(make_measures(plain=opposed(), trial=won)).reason
    assert faster.endswith("(geometric mean), at 3 times the learning rate.")
    assert (
        "optax.adam(0.003)" in recommend(make_measures(plain=opposed(), trial=won)).code
    )


def test_whose_losses_rise_is_told():
    won = trial(upgrad=(-0.4, -0.3))
    won["upgrad"] = won["upgrad"]._replace(apart=np.array([-1.0, np.log(1.5), 0.05]))
    said = recommend(make_measures(plain=harmful(), trial=won)).reason
    assert said.endswith("; in exchange that of b ended 50% above the mean's.")


def test_who_gives_a_player_up_does_not_win():
    pairs = {"upgrad": (-0.4, -0.3), "nash_mtl": (-5.0, -4.0)}
    won = trial(**pairs)
    lost = np.array([-9.0, 0.1, -3.0])  # b has learned nothing
    won["nash_mtl"] = won["nash_mtl"]._replace(left=lost)
    found = recommend(make_measures(plain=harmful(), trial=won))
    assert found.method == "upgrad"
    assert found.reason.endswith("; nash_mtl gave up b, whose loss the mean lowers.")
    alone = {name: won[name] for name in ("mean", "nash_mtl")}
    none = recommend(make_measures(plain=harmful(), trial=alone))
    assert none.method == "none"
    assert "nash_mtl gave up b" in none.reason
    idle = np.array([-1.0, 0.0, -1.0])
    both = {**alone, "mean": alone["mean"]._replace(left=idle)}
    asked = make_measures(plain=harmful(), trial=both)
    assert recommend(asked).method == "nash_mtl"  # neither does the mean lower it


def test_gains_of_losses_below_zero_are_no_ratios():
    won = trial(upgrad=(-0.4, -0.3))
    won["upgrad"] = won["upgrad"]._replace(losses=-np.ones((3, 3)))
    said = recommend(make_measures(plain=harmful(), trial=won)).reason
    assert said.endswith("ended lower than the mean's by 0.35 of those at the start.")


def test_a_small_gain_or_one_without_a_cause_is_none():
    small = trial(upgrad=(-0.04, -0.03))
    assert recommend(make_measures(plain=harmful(), trial=small)).method == "none"
    won = trial(upgrad=(-0.4, -0.3))
    assert recommend(make_measures(trial=won)).method == "none"


def test_of_what_is_alike_the_cheapest_is_taken():
    won = trial(upgrad=(-0.5, -0.3), nash_mtl=(-0.49, -0.23), imtl_g=(-0.4, -0.2))
    costs = {
        name: StepCost(1.0, time, 1.0)
        for name, time in {"upgrad": 3.0, "nash_mtl": 2.0, "imtl_g": 1.0}.items()
    }
    found = recommend(make_measures(plain=harmful(), trial=won, costs=costs))
    assert found.method == "nash_mtl"  # imtl_g is cheaper, and worse
    assert "at 0.7 times the mean's" in found.reason  # exp(-0.36)


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("heads", [False, True])
def test_code_and_papers_are_those_of_what_is_recommended(name, heads):
    won = trial(**{name: (-0.4, -0.3)})
    found = recommend(make_measures(plain=harmful(), trial=won, heads=heads))
    assert found.method == name
    lines = found.code.partition("state = ")[0].splitlines()
    given = {
        "losses_fn": lambda p, x: p["w"] * x,
        "params": PARAMS,
        "batch": np.ones(3),
    }
    exec("\n".join(lines), given)
    assert neo.cite(given["aggregator"]) == found.papers != ""


@pytest.mark.slow
@pytest.mark.parametrize("heads", [False, True])
def test_code_for_a_module_makes_a_step(heads):
    from flax import nnx

    model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
    before = np.array(model.kernel)
    given = {
        "losses_fn": lambda model, x: jnp.mean((model(x) - 1) ** 2, axis=0),
        "model": model,
        "batch": np.ones((4, 2), np.float32),
    }
    asked = {"plain": harmful(), "trial": trial(upgrad=(-0.4, -0.3))}
    measures = make_measures(3, **asked, heads=heads, is_module=True)
    with running.quickly():
        exec(recommend(measures).code, given)
    assert given["losses"].shape == (3,)
    assert (np.array(model.kernel) != before).all()


@pytest.mark.parametrize("kind", [jnp.stack, list, lambda x: dict(enumerate(x))])
def test_code_for_none_takes_losses_of_every_kind(kind):
    def losses_fn(params, batch):
        return kind([jnp.sum(params * batch), 3 * jnp.sum(params * batch)])

    given = {"losses_fn": losses_fn, "params": np.ones(2), "batch": np.ones(2)}
    code = recommend(make_measures()).code

    @running.quick_jit
    def run():
        exec(code, given)
        return given["loss"], given["gradient"]

    loss, gradient = run()
    assert (float(loss), gradient.tolist()) == (4.0, [2.0, 2.0])
