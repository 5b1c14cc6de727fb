"""Whom a gradient is compared with, over a few steps by hand."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as no

ALPHA_ONE = optax.chain(no.detect_conflict(), no.project_conflict(1.0))
NO_RULES = no.detect_conflict()
GRADIENTS = (4.0, 2.0, -2.0)


def directions(whom, rules=NO_RULES, gradients=GRADIENTS, **extra):
    """What the opponent shows at each step of one-element gradients."""
    tx = no.contest(whom, rules)
    state, seen = tx.init(jnp.zeros(1)), []
    for step, gradient in enumerate(gradients):
        memories = tuple(state.memories)
        seen.append(float(whom.look(memories, extra.get("opponent"), step)[0]))
        _, state = tx.update(jnp.full(1, gradient), state, **extra)
    return seen


def test_previous_gradient():
    assert directions(no.previous_gradient()) == [0.0, 4.0, 2.0]


def test_gradient_ema():
    assert directions(no.gradient_ema(0.5)) == [0.0, 2.0, 2.0]


def test_momentum_learns_from_the_corrected_gradient():
    """The third gradient is fully projected away: the average only decays."""
    gradients = (*GRADIENTS, 0.0)
    seen = directions(no.momentum(0.5), ALPHA_ONE, gradients)
    assert seen == [0.0, 2.0, 2.0, 1.0]
    assert directions(no.gradient_ema(0.5), ALPHA_ONE, gradients)[-1] == 0.0


def test_blended():
    """A quarter of the previous gradient and three quarters of the average."""
    blend = no.blended(no.previous_gradient(), no.gradient_ema(0.5), 0.25)
    assert directions(blend) == [0.0, 2.5, 2.0]


def test_given():
    assert directions(no.given(), opponent=jnp.full(1, 7.0)) == [7.0, 7.0, 7.0]
    blend = no.blended(no.given(), no.previous_gradient(), 0.5)
    assert directions(blend, opponent=jnp.full(1, 6.0)) == [3.0, 5.0, 4.0]


def test_scheduled_decays_and_weights():
    assert directions(no.gradient_ema(lambda step: 0.5 * (step > 0))) == [0.0, 4.0, 3.0]
    blend = no.blended(
        no.previous_gradient(), no.gradient_ema(0.5), lambda step: 1.0 * (step == 1)
    )
    assert directions(blend) == [0.0, 4.0, 2.0]


@pytest.mark.parametrize(
    ("make", "buffers"),
    [
        (lambda: no.given(), 0),
        (lambda: no.momentum(0.9), 1),
        (lambda: no.blended(no.momentum(0.9), no.momentum(0.9)), 1),
        (lambda: no.blended(no.momentum(0.9), no.momentum(0.8)), 2),
        (lambda: no.blended(no.momentum(0.9), no.gradient_ema(0.9)), 2),
        (lambda: no.blended(no.gradient_ema(0.9), no.previous_gradient()), 2),
    ],
)
def test_equal_histories_share_one_buffer(make, buffers):
    assert len(no.contest(make(), NO_RULES).init(jnp.ones(2)).memories) == buffers


def test_one_schedule_is_one_buffer():
    def decay(step):
        return 0.9 + 0 * step

    both = no.blended(no.momentum(decay), no.momentum(decay))
    assert len(no.contest(both, NO_RULES).init(jnp.ones(2)).memories) == 1


def test_the_optimizers_own_momentum_is_the_opponents_buffer():
    assert len(no.scale_by_neat(0.9).init(jnp.ones(2)).memories) == 1
    same = no.scale_by_neat(0.9, opponent=no.momentum(0.9))
    other = no.scale_by_neat(0.9, opponent=no.momentum(0.8))
    assert len(same.init(jnp.ones(2)).memories) == 1
    assert len(other.init(jnp.ones(2)).memories) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: no.momentum(1.0), r"^`decay` must be in \[0, 1\), got 1\.0\.$"),
        (lambda: no.gradient_ema(-0.1), r"^`decay` must be in \[0, 1\), got -0\.1\.$"),
        (
            lambda: no.blended(no.given(), no.given(), 1.5),
            r"^`weight` must be in \[0, 1\], got 1\.5\.$",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_missing_direction_is_named():
    tx = no.neat(0.1, opponent=no.given())
    params = jnp.ones(2)
    with pytest.raises(
        ValueError, match=r"^`opponent` must be passed to update for gi"
    ):
        tx.update(params, tx.init(params), params)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_direction_that_is_not_finite_corrects_nothing(bad):
    tx = no.neat_correction(opponent=no.given(), measure=True)
    gradient = jnp.ones(2)
    update, state = tx.update(
        gradient, tx.init(gradient), opponent=jnp.array([bad, -1.0])
    )
    np.testing.assert_array_equal(update, gradient)
    measured = no.diagnostics(state)
    assert (measured["conflict"].mean, measured["opponent_norm"].mean) == (0.0, 0.0)
