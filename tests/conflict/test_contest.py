"""The shell: what goes in, what comes out, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
import properties
import samplers

RULES = optax.chain(
    neo.detect_conflict(), neo.project_conflict(2.0), neo.clip_correction(0.4)
)
MEASURED = optax.chain(RULES, neo.monitor_correction())


@functools.cache
def _compiled(rules):
    tx = neo.contest(neo.opponents.given(), rules)
    return jax.jit(lambda g, **extra: tx.update(g, tx.init(g), **extra))


def correct(gradient, opponent, rules=RULES, **extra):
    """Update and state after one step against a given opponent."""
    gradient = jnp.asarray(gradient)
    opponent = jnp.asarray(opponent, gradient.dtype)
    return _compiled(rules)(gradient, opponent=opponent, **extra)


def test_coefficients_become_a_weighted_sum():
    def decide(contest, state, params=None):
        del params
        half = jnp.asarray(0.5)
        return contest._replace(on_gradient=half, on_opponent=-half), state

    rules = optax.GradientTransformation(optax.init_empty_state, decide)
    update, _ = correct([2.0, 4.0], [1.0, -1.0], rules)
    np.testing.assert_allclose(update, [2.5, 6.5])


def test_rules_see_step_size_and_alignment():
    seen = []

    def look(contest, state, params=None):
        del params
        return contest._replace(on_gradient=contest.size + contest.step), state

    rules = optax.GradientTransformation(optax.init_empty_state, look)
    tx = neo.contest(neo.opponents.previous_gradient(), rules)
    state = tx.init(jnp.ones(3))
    for _ in range(2):
        update, state = tx.update(jnp.ones(3), state)
        seen.append(float(update[0]))
    assert seen == [4.0, 5.0]


@given(samplers.pairs())
def test_the_bound_holds(pair):
    gradient, opponent = pair
    update, _ = correct(gradient, opponent)
    properties.assert_bound_holds(update, gradient, 0.4)


STRONG = [
    neo.neat_rules(3.0, correction=correction, clip_ratio=0.4)
    for correction in (neo.project_conflict, neo.dampen_conflict)
]


@given(samplers.pairs(), samplers.seeds, st.sampled_from(STRONG))
def test_the_bound_holds_in_plain_coordinates_with_a_metric(pair, seed, rules):
    gradient, opponent = pair
    metric = 10.0 ** np.random.default_rng(seed).uniform(-2, 2, gradient.shape)
    update, _ = correct(
        gradient, opponent, rules, metric=jnp.asarray(metric, "float32")
    )
    properties.assert_bound_holds(update, gradient, 0.4)


def test_conflict_is_measured_in_the_metric():
    """Raw g.o = 1 - 2 < 0; divided by (1, 2), g.o = 1 - 2/4 > 0: no conflict."""
    gradient, opponent = jnp.array([1.0, 2.0]), jnp.array([1.0, -1.0])
    update, _ = correct(gradient, opponent)
    assert not np.allclose(update, gradient)
    update, _ = correct(gradient, opponent, metric=jnp.array([1.0, 2.0]))
    np.testing.assert_array_equal(update, gradient)


@given(samplers.pairs())
def test_decisions_are_scale_free(pair):
    def decide(gradient, opponent):
        update, state = correct(gradient, opponent, MEASURED)
        size = np.max(np.abs(gradient))
        conflict = neo.diagnostics(state)["conflict"].mean
        return conflict, np.asarray(update, np.float64) / size

    properties.assert_scale_free(decide, *pair)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_a_trajectory_is_scale_free(scale):
    """All adaptive rules, over ten steps: only the update scales."""
    rules = neo.neat_rules(
        0.5,
        alpha_range=(0.0, 1.0),
        correction_range=(1.0, 2.0),
        conflict_threshold=0.1,
        monitor=True,
    )
    tx = neo.contest(neo.opponents.momentum(0.5), rules, watch_decay=0.5)
    step = jax.jit(tx.update)

    def run(factor):
        rng = np.random.default_rng(0)
        state = tx.init(jnp.zeros(3))
        for _ in range(10):
            gradient = jnp.asarray(factor * rng.normal(size=3), jnp.float32)
            update, state = step(gradient, state)
        unitless = neo.diagnostics(state)
        unitless.pop("opponent_norm")
        return update / factor, unitless

    properties.assert_trees_close(run(scale), run(1.0), rtol=2e-5, atol=1e-6)


def test_the_output_is_handed_on_instead_of_the_corrected_gradient():
    history = neo.opponents.momentum(0.5).histories[0]
    output = neo.Output(history, lambda corrected, memory, _: memory - corrected)
    tx = neo.contest(neo.opponents.momentum(0.5), RULES, output=output)
    state = tx.init(jnp.zeros(1))
    update, state = tx.update(jnp.ones(1), state)
    assert (update, state.memories) == (-0.5, (0.5,))


def test_accumulator_dtype():
    tx = neo.neat_correction(accumulator_dtype=jnp.float32)
    gradient = jnp.ones(2, "bfloat16")
    state = tx.init(gradient)
    update, state = tx.update(gradient, state)
    assert state.memories[0].dtype == jnp.float32
    assert update.dtype == jnp.bfloat16


def test_low_precision_is_measured_in_float32():
    """Sums of 1e5 products: in bfloat16 they would stop growing at 256."""
    rng = np.random.default_rng(0)
    gradient = jnp.asarray(rng.normal(size=100_000), "bfloat16")
    opponent = jnp.asarray(rng.normal(size=100_000), "bfloat16") - gradient
    _, state = correct(gradient, opponent, MEASURED)
    g, o = np.asarray(gradient, np.float64), np.asarray(opponent, np.float64)
    expected = -(g @ o) / np.linalg.norm(g) / np.linalg.norm(o)
    measured = neo.diagnostics(state)["conflict"].mean
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_a_leaf_that_is_not_finite_skips_its_scope_only():
    """Per leaf the neighbor goes on; over the whole tree all of it waits."""
    gradient = {"bad": jnp.array([jnp.nan, 1.0]), "good": jnp.ones(2)}
    for scope, good in ((neo.per_leaf, 1.0), (neo.whole_tree, 0.0)):
        tx = neo.neat_correction(scope=scope)
        update, state = tx.update(gradient, tx.init(gradient))
        np.testing.assert_array_equal(update["bad"], [0.0, 0.0])
        np.testing.assert_array_equal(update["good"], [good, good])
        np.testing.assert_array_equal(state.memories[0]["bad"], [0.0, 0.0])
        assert state.step == 1


@pytest.mark.parametrize("steps", [1, 2])
def test_the_default_path_is_differentiable(steps):
    """The derivative through `update` agrees with finite differences."""
    tx = neo.scale_by_neat(0.5, alpha=0.5)

    def loss(gradient):
        state = tx.init(gradient)
        update, state = tx.update(jnp.array([-1.0, 0.5, 0.2], gradient.dtype), state)
        for _ in range(steps):
            update, state = tx.update(gradient, state)
        return jnp.sum(update**3)

    with jax.enable_x64(True):
        at = jnp.array([0.7, 0.3, -0.4])
        derivative = jax.grad(loss)(at)
        nudges = 1e-6 * jnp.eye(3)
        expected = [(loss(at + n) - loss(at - n)) / 2e-6 for n in nudges]
        np.testing.assert_allclose(derivative, expected, rtol=1e-6)


def test_the_derivative_at_zero_is_finite():
    tx = neo.scale_by_neat()
    zero = jnp.zeros(2)
    derivative = jax.grad(lambda g: jnp.sum(tx.update(g, tx.init(zero))[0]))(zero)
    np.testing.assert_allclose(derivative, [0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        ({"w": jnp.ones((4, 3))}, r"A leading player axis must be reduced first"),
        (
            {"w": jnp.ones(2)},
            r"^`updates` must have the shapes of `params at init`, got",
        ),
        ({"v": jnp.ones(3)}, r"^`updates` must have the tree structure of `params at "),
        ({"w": jnp.ones(3, int)}, r"^`updates` must have floating or complex leaves"),
    ],
)
def test_gradients_that_do_not_fit(gradient, message):
    tx = neo.neat_correction()
    state = tx.init({"w": jnp.ones(3)})
    with pytest.raises(ValueError, match=message):
        tx.update(gradient, state)


def test_integer_parameters():
    with pytest.raises(
        ValueError, match=r"^`params` must have floating or complex leav"
    ):
        neo.neat_correction().init({"step": jnp.ones((), jnp.int32)})


@pytest.mark.parametrize("name", ["opponent", "metric"])
def test_extra_trees_that_do_not_fit(name):
    gradient = jnp.ones(2)
    extra = {"opponent": gradient} | {name: jnp.ones(3)}
    tx = neo.contest(neo.opponents.given(), RULES)
    with pytest.raises(
        ValueError, match=rf"^`{name}` must have the shapes of `updates`"
    ):
        tx.update(gradient, tx.init(gradient), **extra)


def test_bad_watch_decay():
    with pytest.raises(ValueError, match=r"^`watch_decay` must be in \[0, 1\), got 1"):
        neo.contest(neo.opponents.given(), RULES, watch_decay=1.0)


def test_complex_leaves_are_pairs_of_real_ones():
    """Over the whole tree both sum the same products, so they decide alike."""
    tx = neo.neat_correction(0.8, scope=neo.whole_tree)
    split = optax.contrib.split_real_and_imaginary(tx)
    keys = jax.random.split(jax.random.key(3), 5)
    stack = [jax.random.normal(key, (4,), jnp.complex64) for key in keys]
    state, split_state = tx.init(stack[0]), split.init(stack[0])
    turned = 0
    for gradient in stack:
        update, state = tx.update(gradient, state)
        expected, split_state = split.update(gradient, split_state)
        np.testing.assert_allclose(update, expected, rtol=1e-5, atol=1e-6)
        turned += not np.allclose(update, gradient)
    assert turned
