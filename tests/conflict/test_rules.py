"""The rules of NEAT in their order."""

import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
from conflict.test_alignment import make_contest
from conflict.test_correct import GRADIENT, OPPONENT, decide
from neat_optax._recording import Recorded

CONTEST = make_contest(
    GRADIENT, OPPONENT, noise=jnp.asarray(0.8), steadiness=jnp.asarray(0.4)
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


def test_measure_comes_last():
    rules = neo.neat_rules(0.5, warmup_steps=9, monitor=True)
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
RECIPES = [neo.neat_rules, neo.neat_correction, neo.scale_by_neat]


@pytest.mark.parametrize("recipe", [*RECIPES, lambda **bad: neo.neat(0.1, **bad)])
@pytest.mark.parametrize(("name", "value", "message"), BAD)
def test_bad_arguments_are_named_as_they_were_passed(recipe, name, value, message):
    with pytest.raises(ValueError, match=rf"^`{name}` .*{message}"):
        recipe(**{name: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"opponent": neo.opponents.momentum},
            r"^`opponent` must be .*did you forget to call it",
        ),
        ({"opponent": "momentum"}, r"^`opponent` must be of type Opponent, got 'mom"),
        ({"scope": "per_leaf"}, r"^`scope` must be of type Scope, got 'per_leaf'"),
        ({"accumulator_dtype": "int8"}, r"^`accumulator_dtype` must be a floating dt"),
        ({"correction": "cosine"}, r"^`correction` must be a function, got 'cosine'"),
    ],
)
def test_arguments_of_another_kind(options, message):
    with pytest.raises(ValueError, match=message):
        neo.neat_correction(**options)


BAD_OF_NEAT = [
    ("learning_rate", 0.0, r"must be in \(0, inf\), got 0\.0\."),
    ("beta", 1.0, r"must be in \[0, 1\), got 1\.0\."),
    ("second_moment_decay", 1.0, r"must be in \[0, 1\), got 1\.0\."),
    ("eps", 0.0, r"must be in \(0, inf\), got 0\.0\."),
    ("weight_decay", -1.0, r"must be in \[0, inf\), got -1\.0\."),
    ("lookahead_period", 0, r"must be an integer >= 1, got 0\."),
    ("lookahead_step_size", 2.0, r"must be in \(0, 1\], got 2\.0\."),
    ("l1", -1.0, r"must be in \[0, inf\), got -1\.0\."),
    ("prune_threshold", -1.0, r"must be in \[0, inf\), got -1\.0\."),
    ("watch_decay", 1.0, r"must be in \[0, 1\), got 1\.0\."),
    ("debias", 1, r"must be True or False, got 1\."),
    ("nesterov", "yes", r"must be True or False, got 'yes'\."),
    ("sign", None, r"must be True or False, got None\."),
    ("centralize", 0, r"must be True or False, got 0\."),
    ("decouple_weight_decay", 1, r"must be True or False, got 1\."),
    ("precondition_conflict", 1, r"must be True or False, got 1\."),
    ("monitor", 1, r"must be True or False, got 1\."),
]


@pytest.mark.parametrize(("name", "value", "message"), BAD_OF_NEAT)
def test_bad_arguments_of_the_full_optimizer(name, value, message):
    with pytest.raises(ValueError, match=rf"^`{name}` {message}$"):
        neo.neat(**({"learning_rate": 0.1} | {name: value}))


@pytest.mark.parametrize("option", ["weight_decay", "l1", "prune_threshold"])
def test_missing_params_are_named(option):
    tx = neo.neat(0.1, **{option: 0.1})
    with pytest.raises(ValueError, match=r"params"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
