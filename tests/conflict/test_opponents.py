"""What a gradient is compared with, over a few steps by hand."""

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo
import running

ALPHA_ONE = optax.chain(neo.detect_conflict(), neo.project_conflict(1.0))
NO_RULES = neo.detect_conflict()
GRADIENTS = (4.0, 2.0, -2.0)


def directions(whom, rules=NO_RULES, gradients=GRADIENTS, opponent=None):
    """What the opponent shows at each step of one-element gradients."""
    tx = neo.contest(whom, rules)
    given = None if opponent is None else np.float32([opponent])

    def body(state, gradient):
        shown = whom.look(tuple(state.memories), given, state.step)
        return tx.update(gradient, state, opponent=given)[1], shown

    @jax.jit
    def run(gradients):
        return jax.lax.scan(body, tx.init(gradients[0]), gradients)[1]

    return run(np.float32(gradients)[:, None])[:, 0].tolist()


def test_previous_gradient():
    assert directions(neo.opponents.previous_gradient()) == [0.0, 4.0, 2.0]


def test_gradient_ema():
    assert directions(neo.opponents.gradient_ema(0.5)) == [0.0, 2.0, 2.0]


def test_momentum_learns_from_the_corrected_gradient():
    """The third gradient is fully projected away: the average only decays."""
    gradients = (*GRADIENTS, 0.0)
    seen = directions(neo.opponents.momentum(0.5), ALPHA_ONE, gradients)
    assert seen == [0.0, 2.0, 2.0, 1.0]
    assert directions(neo.opponents.gradient_ema(0.5), ALPHA_ONE, gradients)[-1] == 0.0


def test_blended():
    """A quarter of the previous gradient and three quarters of the average."""
    blend = neo.opponents.blended(
        neo.opponents.previous_gradient(), neo.opponents.gradient_ema(0.5), 0.25
    )
    assert directions(blend) == [0.0, 2.5, 2.0]


def test_given():
    assert directions(neo.opponents.given(), opponent=7.0) == [7.0, 7.0, 7.0]
    blend = neo.opponents.blended(
        neo.opponents.given(), neo.opponents.previous_gradient(), 0.5
    )
    assert directions(blend, opponent=6.0) == [3.0, 5.0, 4.0]


def test_scheduled_decays_and_weights():
    assert directions(neo.opponents.gradient_ema(lambda step: 0.5 * (step > 0))) == [
        0.0,
        4.0,
        3.0,
    ]
    blend = neo.opponents.blended(
        neo.opponents.previous_gradient(),
        neo.opponents.gradient_ema(0.5),
        lambda step: 1.0 * (step == 1),
    )
    assert directions(blend) == [0.0, 4.0, 2.0]


@pytest.mark.parametrize(
    ("make", "buffers"),
    [
        (lambda: neo.opponents.given(), 0),
        (lambda: neo.opponents.momentum(0.9), 1),
        (
            lambda: neo.opponents.blended(
                neo.opponents.momentum(0.9), neo.opponents.momentum(0.9)
            ),
            1,
        ),
        (
            lambda: neo.opponents.blended(
                neo.opponents.momentum(0.9), neo.opponents.momentum(0.8)
            ),
            2,
        ),
        (
            lambda: neo.opponents.blended(
                neo.opponents.momentum(0.9), neo.opponents.gradient_ema(0.9)
            ),
            2,
        ),
        (
            lambda: neo.opponents.blended(
                neo.opponents.gradient_ema(0.9), neo.opponents.previous_gradient()
            ),
            2,
        ),
    ],
)
def test_equal_histories_share_one_buffer(make, buffers):
    assert _buffers(neo.contest(make(), NO_RULES)) == buffers


def _buffers(tx):
    return len(jax.eval_shape(tx.init, np.ones(2, np.float32)).memories)


def test_one_schedule_is_one_buffer():
    def decay(step):
        return 0.9 + 0 * step

    both = neo.opponents.blended(
        neo.opponents.momentum(decay), neo.opponents.momentum(decay)
    )
    assert _buffers(neo.contest(both, NO_RULES)) == 1


def test_the_optimizers_own_momentum_is_the_opponents_buffer():
    assert _buffers(neo.scale_by_neat(0.9)) == 1
    same = neo.scale_by_neat(0.9, opponent=neo.opponents.momentum(0.9))
    other = neo.scale_by_neat(0.9, opponent=neo.opponents.momentum(0.8))
    assert (_buffers(same), _buffers(other)) == (1, 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: neo.opponents.momentum(1.0),
            r"^`decay` must be in \[0, 1\), got 1\.0\.$",
        ),
        (
            lambda: neo.opponents.gradient_ema(-0.1),
            r"^`decay` must be in \[0, 1\), got -0\.1\.$",
        ),
        (
            lambda: neo.opponents.blended(
                neo.opponents.given(), neo.opponents.given(), 1.5
            ),
            r"^`weight` must be in \[0, 1\], got 1\.5\.$",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_missing_direction_is_named():
    tx = neo.neat(0.1, opponent=neo.opponents.given())
    params = np.ones(2, np.float32)
    with pytest.raises(
        ValueError, match=r"^`opponent` must be passed to update for gi"
    ):
        jax.eval_shape(lambda: tx.update(params, tx.init(params), params))


def test_a_direction_that_is_not_finite_corrects_nothing():
    tx = neo.neat_correction(opponent=neo.opponents.given(), monitor=True)
    gradients = np.ones((2, 2), np.float32)
    bad = np.float32([[np.nan, -1.0], [np.inf, -1.0]])
    updates, _, state = running.run(tx, gradients, gradients[0], opponent=bad)
    np.testing.assert_array_equal(updates, gradients)
    measured = neo.diagnostics(state)
    assert (measured["conflict"].mean, measured["opponent_norm"].mean) == (0.0, 0.0)
