"""The rules of NEAT in their order."""

import functools

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo
import running
from conflict.test_alignment import make_contest
from conflict.test_correct import GRADIENT, OPPONENT, decide
from neat_optax._recording import Recorded
from neat_optax.conflict._rules import rules_of_recipe

CONTEST = make_contest(
    GRADIENT, OPPONENT, noise=np.float32(0.8), steadiness=np.float32(0.4)
)


def on_opponent(steps=1, **options):
    return float(decide(neo.neat_rules(**options), CONTEST, steps).on_opponent)


def test_default_by_hand():
    """.25 * .6 * 1.5."""
    assert on_opponent() == pytest.approx(0.225, rel=1e-6)


def test_alpha_zero_is_the_control():
    decided = decide(neo.neat_rules(0.0), CONTEST)
    assert (decided.on_gradient, decided.on_opponent) == (0.0, 0.0)
    np.testing.assert_allclose(decided.conflict, 0.6, rtol=1e-6)


def test_another_correction():
    decided = decide(neo.neat_rules(0.5, correction=neo.dampen_conflict), CONTEST)
    np.testing.assert_allclose(decided.on_gradient, -0.3, rtol=1e-6)


def test_adaptive_alpha_by_hand():
    """Decays .5: alpha = .25 (1 + .3 + .4 - .1) = .4."""
    chosen = on_opponent(alpha_range=(0.0, 1.0), conflict_decay=0.5, noise_decay=0.5)
    assert chosen == pytest.approx(0.4 * 0.6 * 1.5, rel=1e-6)


def test_adaptive_correction_comes_before_the_clip():
    """Unclipped, |q| / |g| = 2 * .36 * (1 + 2/7 + .6) = 1.36; clipped, 1."""
    free = on_opponent(alpha=2.0, correction_range=(1.0, 3.0), clip_ratio=9.0)
    assert free * 2 / 5 == pytest.approx(0.72 * (1.6 + 2 / 7), rel=1e-6)
    clipped = on_opponent(alpha=2.0, correction_range=(1.0, 3.0))
    assert clipped * 2 / 5 == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "steps", "acts"),
    [
        ({"conflict_threshold": 0.59}, 1, True),
        ({"conflict_threshold": 0.61}, 1, False),
        ({"warmup_steps": 2}, 2, False),
        ({"warmup_steps": 2}, 3, True),
    ],
)
def test_gates(options, steps, acts):
    assert (on_opponent(steps, **options) != 0) == acts


def test_what_is_decided_is_recorded_last():
    rules = rules_of_recipe(None, neo.neat_rules(0.5, warmup_steps=9), True)
    state = rules.update(CONTEST, rules.init(CONTEST))[1]
    assert isinstance(state[-1], Recorded)
    assert state[-1].latest.correction_ratio == 0.0
    np.testing.assert_allclose(state[-1].latest.conflict, 0.6, rtol=1e-6)


BAD = [
    ("alpha", -1.0, r"must be in \[0, inf\), got -1\.0\."),
    ("clip_ratio", 0.0, r"must be in \(0, inf\), got 0\.0\."),
    ("warmup_steps", -1, r"must be an integer >= 0, got -1\."),
    ("conflict_threshold", 1.5, r"must be in \[0, 1\], got 1\.5\."),
    ("alpha_range", (2.0, 1.0), r"in order, got \(2\.0, 1\.0\)\."),
    ("alpha_range", 0.5, r"must be a \(minimum, maximum\) pair, got 0\.5\."),
    ("correction_range", (0.0, 1.0), r"must be in \(0, inf\), got 0\.0\."),
    ("conflict_decay", 1.0, r"must be in \[0, 1\), got 1\.0\."),
    ("noise_decay", -0.5, r"must be in \[0, 1\), got -0\.5\."),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_bad_arguments_are_named_as_they_were_passed(name, value, message):
    with pytest.raises(ValueError, match=rf"^`{name}` .*{message}"):
        neo.neat_rules(**{name: value})


def test_a_correction_that_is_no_function():
    with pytest.raises(
        ValueError, match=r"^`correction` must be a function, got 'cosine'"
    ):
        neo.neat_rules(correction="cosine")


def test_a_rule_that_forgets_to_return():
    tx = neo.contest(neo.opponents.given(), optax.stateless(lambda *_: None))
    grads = {"w": np.ones(2, np.float32)}
    update = functools.partial(tx.update, state=tx.init(grads), opponent=grads)
    with pytest.raises(ValueError, match=r"`rules` must return a contest, got NoneT"):
        jax.eval_shape(update, grads)


RECIPES = {
    "neat_correction": neo.neat_correction,
    "scale_by_neat": neo.scale_by_neat,
    "neat": functools.partial(neo.neat, 0.1),
    "player_neat_correction": functools.partial(
        neo.player_neat_correction, num_players=2
    ),
}
BAD_OF_RECIPES = [
    ({"alpha": -1.0}, r"^`alpha` must be in \[0, inf\), got -1\.0\.$"),
    ({"rules": 0.5}, r"^`rules` must be of type GradientTransformation, got 0\.5"),
    ({"rules": neo.neat_rules}, r"^`rules` must be .*did you forget to call it"),
    (
        {"rules": neo.neat_rules(), "alpha": 0.5},
        r"^`alpha` must be None where `rules` are given, got 0\.5: pass it to neat_",
    ),
    ({"scope": "per_leaf"}, r"^`scope` must be of type Scope, got 'per_leaf'"),
    ({"monitor": 1}, r"^`monitor` must be True or False, got 1\.$"),
]


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("options", "message"), BAD_OF_RECIPES)
def test_bad_arguments_of_recipes(recipe, options, message):
    with pytest.raises(ValueError, match=message):
        RECIPES[recipe](**options)


BAD_OF_SCALES = [
    ("beta", 1.0, r"must be in \[0, 1\), got 1\.0\."),
    ("debias", 1, r"must be True or False, got 1\."),
    ("nesterov", "yes", r"must be True or False, got 'yes'\."),
    ("watch_decay", 1.0, r"must be in \[0, 1\), got 1\.0\."),
    ("accumulator_dtype", "int8", r"must be a floating dtype or None, got 'int8'\."),
    ("opponent", "momentum", r"must be of type Opponent, got 'momentum'\."),
    ("opponent", neo.opponents.momentum, r"must be .*did you forget to call it.*"),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_OF_SCALES)
def test_bad_arguments_of_scale_by_neat(name, value, message):
    with pytest.raises(ValueError, match=rf"^`{name}` {message}$"):
        neo.scale_by_neat(**{name: value})


def test_a_bad_learning_rate():
    with pytest.raises(
        ValueError, match=r"^`learning_rate` must be in \(0, inf\), got 0\.0\.$"
    ):
        neo.neat(0.0)


@pytest.mark.parametrize("recipe", ["neat_correction", "scale_by_neat", "neat"])
def test_an_adaptive_alpha_needs_a_history(recipe):
    """A missing `watch_decay` is named; with it the rules have what they need."""
    rules, params = neo.neat_rules(alpha_range=(0.0, 1.0)), np.ones(2, np.float32)
    with pytest.raises(
        ValueError, match=r"^`watch_decay` must be set in the contest for adapt_alpha"
    ):
        jax.eval_shape(RECIPES[recipe](rules=rules).init, params)
    jax.eval_shape(RECIPES[recipe](rules=rules, watch_decay=0.9).init, params)


def test_the_rules_of_a_recipe_are_those_given():
    """alpha 1 takes all of a fully opposed gradient; the default a quarter."""
    given = neo.opponents.given()
    one = np.ones((1, 1), np.float32)
    for options, left in (
        ({}, 0.75),
        ({"alpha": 0.5}, 0.5),
        ({"rules": neo.neat_rules(1.0, clip_ratio=0.75)}, 0.25),
    ):
        tx = neo.neat_correction(opponent=given, **options)
        updates, _, _ = running.run(tx, one, one[0], opponent=-one)
        np.testing.assert_allclose(updates, [[left]], rtol=1e-6)
