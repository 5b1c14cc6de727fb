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
import running
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
    gradient = np.asarray(gradient, np.float32)
    return _compiled(rules)(gradient, opponent=np.float32(opponent), **extra)


@jax.jit
def measured_conflict(gradient, opponent):
    """The update, and the conflict that was recorded."""
    tx = neo.contest(neo.opponents.given(), MEASURED)
    update, state = tx.update(gradient, tx.init(gradient), opponent=opponent)
    return update, neo.diagnostics(state)["conflict"].mean


def test_coefficients_become_a_weighted_sum():
    def decide(contest, state, params=None):
        del params
        return contest._replace(on_gradient=0.5, on_opponent=-0.5), state

    rules = optax.GradientTransformation(optax.init_empty_state, decide)
    update, _ = correct([2.0, 4.0], [1.0, -1.0], rules)
    np.testing.assert_allclose(update, [2.5, 6.5])


def test_rules_see_step_size_and_alignment():
    def look(contest, state, params=None):
        del params
        return contest._replace(on_gradient=contest.size + contest.step), state

    rules = optax.GradientTransformation(optax.init_empty_state, look)
    tx = neo.contest(neo.opponents.previous_gradient(), rules)
    ones = np.ones((2, 3), np.float32)
    updates, _, _ = running.run(tx, ones, ones[0])
    np.testing.assert_array_equal(updates[:, 0], [4.0, 5.0])


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
    update, _ = correct(gradient, opponent, rules, metric=np.float32(metric))
    properties.assert_bound_holds(update, gradient, 0.4)


def test_conflict_is_measured_in_the_metric():
    """Raw g.o = 1 - 2 < 0; divided by (1, 2), g.o = 1 - 2/4 > 0: no conflict."""
    gradient, opponent = [1.0, 2.0, 0, 0, 0], [1.0, -1.0, 0, 0, 0]
    update, _ = correct(gradient, opponent)
    assert not np.allclose(update, gradient)
    update, _ = correct(gradient, opponent, metric=np.float32([1.0, 2.0, 1, 1, 1]))
    np.testing.assert_array_equal(update, gradient)


@given(samplers.pairs())
def test_decisions_are_scale_free(pair):
    def decide(gradient, opponent):
        update, conflict = measured_conflict(gradient, opponent)
        return conflict, np.asarray(update, np.float64) / np.max(np.abs(gradient))

    properties.assert_scale_free(decide, *pair)


def test_a_trajectory_is_scale_free():
    """All adaptive rules, over ten steps: only the update scales."""
    rules = neo.neat_rules(
        0.5, alpha_range=(0.0, 1.0), correction_range=(1.0, 2.0), conflict_threshold=0.1
    )
    rules = optax.chain(rules, neo.monitor_correction())
    tx = neo.contest(neo.opponents.momentum(0.5), rules, watch_decay=0.5)
    gradients = np.random.default_rng(0).normal(size=(10, 3))

    def run(factor):
        params = np.zeros(3, np.float32)
        updates, _, state = running.run(tx, np.float32(factor * gradients), params)
        unitless = neo.diagnostics(state)
        unitless.pop("opponent_norm")
        return updates / factor, unitless

    expected = run(1.0)
    for scale in (1e-12, 1e12):
        properties.assert_trees_close(run(scale), expected, rtol=2e-5, atol=1e-6)


def test_the_output_is_returned_instead_of_the_corrected_gradient():
    history = neo.opponents.momentum(0.5).histories[0]
    output = neo.Output(history, lambda corrected, memory, _: memory - corrected)
    tx = neo.contest(neo.opponents.momentum(0.5), RULES, output=output)
    ones = np.ones((1, 1), np.float32)
    updates, _, state = running.run(tx, ones, ones[0])
    assert (updates, state.memories) == (-0.5, (0.5,))


def test_accumulator_dtype():
    tx = neo.neat_correction(accumulator_dtype=np.float32)
    gradient = jax.ShapeDtypeStruct((2,), jnp.bfloat16)
    state = jax.eval_shape(tx.init, gradient)
    update, state = jax.eval_shape(tx.update, gradient, state)
    assert state.memories[0].dtype == np.float32
    assert update.dtype == jnp.bfloat16


def test_low_precision_is_measured_in_float32():
    """Sums of 1e5 products: in bfloat16 they would stop growing at 256."""
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=100_000).astype(jnp.bfloat16)
    opponent = rng.normal(size=100_000).astype(jnp.bfloat16) - gradient
    _, measured = measured_conflict(gradient, opponent)
    g, o = np.asarray(gradient, np.float64), np.asarray(opponent, np.float64)
    expected = -(g @ o) / np.linalg.norm(g) / np.linalg.norm(o)
    np.testing.assert_allclose(measured, expected, rtol=1e-5)


def test_a_leaf_that_is_not_finite_skips_its_scope_only():
    """Per leaf the neighbor goes on; over the whole tree all of it waits."""
    params = {"bad": np.zeros(2, np.float32), "good": np.zeros(2, np.float32)}
    gradients = {"bad": np.float32([[np.nan, 1]]), "good": np.float32([[1, 1]])}
    for scope, good in ((neo.per_leaf, 1.0), (neo.whole_tree, 0.0)):
        tx = neo.neat_correction(scope=scope)
        updates, _, state = running.run(tx, gradients, params)
        np.testing.assert_array_equal(updates["bad"], [[0.0, 0.0]])
        np.testing.assert_array_equal(updates["good"], [[good, good]])
        np.testing.assert_array_equal(state.memories[0]["bad"], [0.0, 0.0])
        assert state.step == 1


@pytest.mark.slow
def test_the_default_path_is_differentiable():
    """Derivatives through one `update` and through two agree with differences."""
    tx = neo.scale_by_neat(0.5, alpha=0.5)

    def losses(gradient):
        start = jnp.asarray([-1.0, 0.5, 0.2], gradient.dtype)
        _, state = tx.update(start, tx.init(gradient))
        first, state = tx.update(gradient, state)
        second, _ = tx.update(gradient, state)
        return jnp.stack([jnp.sum(first**3), jnp.sum(second**3)])

    with jax.enable_x64(True):
        at, nudges = np.array([0.7, 0.3, -0.4]), 1e-6 * np.eye(3)
        derivative = jax.jit(jax.jacrev(losses))(at)
        beside = jax.jit(jax.vmap(losses))(np.concatenate([at + nudges, at - nudges]))
        expected = (np.asarray(beside[:3]) - np.asarray(beside[3:])).T / 2e-6
        np.testing.assert_allclose(derivative, expected, rtol=1e-6)


def test_the_derivative_at_zero_is_finite():
    tx = neo.scale_by_neat()
    loss = jax.grad(lambda g: jnp.sum(tx.update(g, tx.init(g))[0]))
    derivative = jax.jit(loss)(np.zeros(2, np.float32))
    np.testing.assert_allclose(derivative, [0.1, 0.1], rtol=1e-6)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        ({"w": np.ones((4, 3))}, r"A leading player axis must be reduced first"),
        (
            {"w": np.ones(2)},
            r"^`updates` must have the shapes of `params at init`, got",
        ),
        ({"v": np.ones(3)}, r"^`updates` must have the tree structure of `params at "),
        ({"w": np.ones(3, int)}, r"^`updates` must have floating or complex leaves"),
    ],
)
def test_gradients_that_do_not_fit(gradient, message):
    tx = neo.neat_correction()
    state = jax.eval_shape(tx.init, {"w": np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(tx.update, gradient, state)


def test_integer_parameters():
    with pytest.raises(
        ValueError, match=r"^`params` must have floating or complex leav"
    ):
        neo.neat_correction().init({"step": np.ones((), np.int32)})


@pytest.mark.parametrize("name", ["opponent", "metric"])
def test_extra_trees_that_do_not_fit(name):
    gradient = np.ones(2, np.float32)
    extra = {"opponent": gradient} | {name: np.ones(3, np.float32)}
    tx = neo.contest(neo.opponents.given(), RULES)
    with pytest.raises(
        ValueError, match=rf"^`{name}` must have the shapes of `updates`"
    ):
        jax.eval_shape(lambda: tx.update(gradient, tx.init(gradient), **extra))


def test_bad_watch_decay():
    for make in (
        lambda: neo.contest(neo.opponents.given(), RULES, watch_decay=1.0),
        lambda: neo.neat_correction(watch_decay=1.0),
    ):
        with pytest.raises(
            ValueError, match=r"^`watch_decay` must be in \[0, 1\), got 1\.0\.$"
        ):
            make()


def test_complex_leaves_are_pairs_of_real_ones():
    """Over the whole tree both sum the same products, so they decide alike."""
    tx = neo.neat_correction(0.8, scope=neo.whole_tree)
    split = optax.contrib.split_real_and_imaginary(tx)
    real, imag = np.random.default_rng(3).normal(size=(2, 5, 4))
    gradients = (real + 1j * imag).astype(np.complex64)
    updates, _, _ = running.run(tx, gradients, gradients[0])
    expected, _, _ = running.run(split, gradients, gradients[0])
    np.testing.assert_allclose(updates, expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(updates, gradients)
