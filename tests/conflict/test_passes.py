"""What a contest does with one leaf, and what the compiled step costs."""

import functools

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax.conflict import _passes
from neat_optax.conflict._plan import Plan, make_plan

RATE = 0.1


def test_a_plan_names_each_buffer_once():
    momentum = neo.opponents.momentum(0.9)
    output = neo.Output(momentum.histories[0], lambda *leaves: leaves[1])
    blend = neo.opponents.blended(momentum, neo.opponents.gradient_ema(0.8), 0.5)
    plan = make_plan(blend, 0.8, output)
    assert len(plan.histories) == 3
    assert (plan.opponent_slots, plan.watch_slots) == ((0, 1), (1, 2))
    assert plan.output_slot == 0


def test_a_plan_without_watching_or_output():
    plan = make_plan(neo.opponents.given(), None, None)
    assert plan == Plan((), plan.look, True, (), (), None, None)


def test_measure_by_hand():
    """g = [3, 4], e = [1, 0], previous = [-3, -4]: |g - e|^2 = 4 + 16."""
    plan = make_plan(neo.opponents.gradient_ema(0.5), 0.5, None)
    measure = jax.jit(functools.partial(_passes.measure, plan))
    memories = np.float32([1, 0]), np.float32([-3, -4])
    metric = np.float32([1, 2])
    measured = measure(np.float32([3, 4]), memories, None, metric, np.int32(0))
    assert measured.size == 2
    assert tuple(measured.raw) == (25.0, 3.0, 1.0)
    assert tuple(measured.metric) == (13.0, 3.0, 1.0)
    assert (measured.history.gap, measured.history.ema) == (20.0, 1.0)
    np.testing.assert_allclose(measured.history.previous.cosine, -1.0, rtol=1e-6)


def test_combine_by_hand():
    """u = 1.5 g - 2 o; the average learns from u, the previous gradient from g."""
    blend = neo.opponents.blended(
        neo.opponents.momentum(0.5), neo.opponents.previous_gradient(), 0.5
    )
    combine = jax.jit(functools.partial(_passes.combine, make_plan(blend, None, None)))
    gradient, memories = np.float32([8]), (np.float32([2]), np.float32([4]))
    for finite, expected in ((True, (6, (4, 8))), (False, (0, (2, 4)))):
        verdict = _passes.Verdict(np.bool_(finite), np.float32(0.5), np.float32(-2))
        found = combine(gradient, memories, None, verdict, np.int32(0))
        assert found == expected


def _donating_step(tx):
    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(params, state, gradient):
        update, state = tx.update(gradient, state, params)
        return optax.apply_updates(params, update), state

    return step


@pytest.mark.parametrize(
    "leaves",
    [
        pytest.param(1, id="one big leaf"),
        pytest.param(20, id="many leaves", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "tx",
    [
        neo.scale_by_neat(),
        pytest.param(
            neo.neat_correction(),
            marks=pytest.mark.skipif(
                jax.__version_info__ < (0, 11),
                reason="this XLA drops the optimization barrier before it decides "
                "where to copy",
            ),
        ),
    ],
    ids=["scale_by_neat", "neat_correction"],
)
def test_donated_state_is_not_copied(tx, leaves):
    leaf = jax.ShapeDtypeStruct((1_000_000 // leaves,), np.float32)
    params = [leaf] * leaves
    optimizer = optax.chain(tx, optax.scale_by_learning_rate(RATE))
    state = jax.eval_shape(optimizer.init, params)
    compiled = _donating_step(optimizer).lower(params, state, params).compile()
    assert " copy(" not in compiled.as_text()


def _bytes(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def test_the_state_is_that_of_sgd_with_momentum_plus_scalars():
    params = {"w": np.ones((32, 8), np.float32), "b": np.ones(8, np.float32)}
    ours = jax.eval_shape(neo.scale_by_neat().init, params)
    theirs = jax.eval_shape(optax.sgd(RATE, momentum=0.9).init, params)
    scalars = [x for x in jax.tree.leaves(ours) if x.ndim == 0]
    assert _bytes(ours) - _bytes(scalars) == _bytes(theirs)
    assert len(scalars) == 1
