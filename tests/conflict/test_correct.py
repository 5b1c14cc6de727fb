"""The rules that set and scale the correction, by hand."""

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
import samplers
from conflict.test_alignment import make_contest

GRADIENT, OPPONENT = np.array([3.0, 4.0], "f4"), np.array([-2.0, 0.0], "f4")


def decide(rule, contest, steps=1):
    """The contest after `steps` equal steps."""
    state = rule.init(contest)
    for step in range(steps):
        decided, state = rule.update(contest._replace(step=np.int32(step)), state)
    return decided


def corrected(rule, gradient, opponent):
    decided = decide(rule, make_contest(gradient, opponent))
    a, b = np.float32(decided.on_gradient), np.float32(decided.on_opponent)
    return (1 + a) * gradient + b * opponent


@jax.jit
def off_halfspace(gradient, opponent):
    return optax.projections.projection_halfspace(gradient, -opponent, 0.0)


def test_project_by_hand():
    """c = .6, g.o/o.o = -1.5: on_opponent = .5 * .6 * 1.5 = .45."""
    rule = optax.chain(neo.detect_conflict(), neo.project_conflict(0.5))
    decided = decide(rule, make_contest(GRADIENT, OPPONENT))
    np.testing.assert_allclose(decided.on_opponent, 0.45, rtol=1e-6)
    np.testing.assert_allclose(corrected(rule, GRADIENT, OPPONENT), [2.1, 4.0], 1e-6)
    assert (decided.on_gradient, decided.alpha) == (0.0, 0.5)


def test_dampen_by_hand():
    """c = .6: u = (1 - .5 * .6) g = .7 g."""
    rule = optax.chain(neo.detect_conflict(), neo.dampen_conflict(0.5))
    np.testing.assert_allclose(corrected(rule, GRADIENT, OPPONENT), [2.1, 2.8], 1e-6)


@given(samplers.opposed_pairs())
def test_projection_by_the_whole_share_is_optax_halfspace(pair):
    """With alpha = 1 / c, u is the nearest point that does not oppose."""
    gradient, opponent = pair
    contest = make_contest(gradient, opponent)
    conflict = -float(contest.raw.cosine)
    rule = optax.chain(neo.detect_conflict(), neo.project_conflict(1 / conflict))
    u = corrected(rule, gradient, opponent)
    away = off_halfspace(gradient, opponent)
    properties.assert_no_conflict_left(u, gradient, opponent)
    size = np.linalg.norm(gradient)
    np.testing.assert_allclose(u / size, away / size, atol=3e-6)


@given(samplers.pairs(), st.floats(0.01, 3.0), st.sampled_from(["project", "dampen"]))
def test_clip_bounds_the_correction(pair, ratio, kind):
    gradient, opponent = pair
    rule = optax.chain(
        neo.detect_conflict(),
        getattr(neo, f"{kind}_conflict")(5.0),
        neo.clip_correction(ratio),
    )
    properties.assert_bound_holds(corrected(rule, gradient, opponent), gradient, ratio)


def test_clip_by_hand():
    """|q| = 10 |g| is cut to a quarter, and a short one is left alone."""
    contest = make_contest([1.0, 0.0], [-10.0, 0.0], on_opponent=np.float32(1.0))
    clipped = decide(neo.clip_correction(0.25), contest)
    np.testing.assert_allclose(clipped.on_opponent, 0.025, rtol=1e-6)
    assert decide(neo.clip_correction(11.0), contest).on_opponent == 1.0


def test_clip_without_correction():
    assert decide(neo.clip_correction(0.5), make_contest([0.0], [0.0])).on_opponent == 0


def test_adapt_correction_by_hand():
    """|o|/(|g|+|o|) = 2/7, c = .6, its average .3 then .45: factor 1 + 2/7 + .6."""
    contest = make_contest(
        GRADIENT, OPPONENT, conflict=np.float32(0.6), on_opponent=np.float32(1.0)
    )
    rule = neo.adapt_correction(decay=0.5)
    for steps in (1, 2):
        decided = decide(rule, contest, steps)
        np.testing.assert_allclose(decided.on_opponent, 1 + 2 / 7 + 0.6, rtol=1e-6)
    narrow = neo.adapt_correction(minimum=1.0, maximum=1.5)
    assert decide(narrow, contest).on_opponent == 1.5


def test_adapt_correction_remembers_a_habit():
    contest = make_contest(GRADIENT, OPPONENT, on_opponent=np.float32(1.0))
    rule = neo.adapt_correction(decay=0.5)
    _, state = rule.update(
        contest._replace(conflict=np.float32(0.8)), rule.init(contest)
    )
    decided, _ = rule.update(contest, state)
    np.testing.assert_allclose(decided.on_opponent, 1 + 2 / 7 + 0.2, rtol=1e-6)


WATCHED = make_contest(
    GRADIENT,
    OPPONENT,
    conflict=np.float32(0.6),
    noise=np.float32(0.8),
    steadiness=np.float32(0.4),
)


def test_adapt_alpha_by_hand():
    """Decays .5: .25 * (1 + .3 + .4 - .5 * .2) = .4; after two steps .475."""
    rule = neo.adapt_alpha(0.25, conflict_decay=0.5, noise_decay=0.5)
    np.testing.assert_allclose(decide(rule, WATCHED).strength, 0.4, rtol=1e-6)
    np.testing.assert_allclose(decide(rule, WATCHED, 2).strength, 0.475, rtol=1e-6)


def test_conflict_and_noise_are_averaged_with_decays_of_their_own():
    """.25 * (1 + .5 * .6 + .25 * .8 - .5 * .25 * .4) = .3625."""
    rule = neo.adapt_alpha(0.25, conflict_decay=0.5, noise_decay=0.75)
    np.testing.assert_allclose(decide(rule, WATCHED).strength, 0.3625, rtol=1e-6)


def test_adapt_alpha_ignores_unsteadiness_and_stays_in_range():
    rule = neo.adapt_alpha(0.25, conflict_decay=0.5, noise_decay=0.5)
    turning = WATCHED._replace(steadiness=np.float32(-1.0))
    np.testing.assert_allclose(decide(rule, turning).strength, 0.425, rtol=1e-6)
    low = neo.adapt_alpha(0.25, minimum=0.5)
    assert decide(low, WATCHED).strength == 0.5
    assert decide(neo.adapt_alpha(9.0, maximum=2.0), WATCHED).strength == 2.0


def test_the_chosen_alpha_multiplies_the_rules_own():
    rule = optax.chain(
        neo.adapt_alpha(0.25, conflict_decay=0.5, noise_decay=0.5),
        neo.dampen_conflict(0.5),
    )
    decided = decide(rule, WATCHED)
    np.testing.assert_allclose(decided.alpha, 0.2, rtol=1e-6)
    np.testing.assert_allclose(decided.on_gradient, -0.12, rtol=1e-6)


def test_adapt_alpha_needs_a_watched_history():
    with pytest.raises(ValueError, match=r"^`watch_decay` must be set in the contest"):
        neo.contest(neo.opponents.given(), neo.adapt_alpha()).init(
            np.ones(2, np.float32)
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: neo.project_conflict(-1), r"`alpha` must be in \[0, inf\), got -1\."),
        (lambda: neo.dampen_conflict(-1), r"`alpha` must be in \[0, inf\), got -1\."),
        (lambda: neo.clip_correction(0), r"`ratio` must be in \(0, inf\), got 0\."),
        (lambda: neo.adapt_alpha(-1), r"`alpha` must be in \[0, inf\), got -1\."),
        (lambda: neo.adapt_alpha(minimum=2.0), r"in order, got \(2\.0, 1\.0\)\."),
        (lambda: neo.adapt_alpha(noise_decay=1), r"`noise_decay` must be in \[0, 1\)"),
        (lambda: neo.adapt_alpha(conflict_decay=1), r"`conflict_decay` must be in"),
        (lambda: neo.adapt_correction(minimum=0), r"must be in \(0, inf\), got 0\."),
        (
            lambda: neo.adapt_correction(decay=-1),
            r"`decay` must be in \[0, 1\), got -1",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
