"""The second moment, as preconditioner and as metric."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import running
from neat_optax import aggregators


def play(tx, gradients):
    """The last update and state."""
    stacked = np.float32(gradients)[:, None]
    updates, _, state = running.run(tx, stacked, np.zeros(1, np.float32))
    return updates[-1], state


def test_by_hand():
    """v = .25 * 16 = 4, then 3 + .25 * 4 = 4: 2 / (2 + .5)."""
    tx = neo.precondition(optax.identity(), decay=0.75, eps=0.5)
    update, state = play(tx, [4.0])
    np.testing.assert_allclose(update, 4 / 2.5)
    update, state = play(tx, [4.0, 2.0])
    np.testing.assert_allclose(update, 2 / 2.5)
    np.testing.assert_allclose(state.second_moment, 4.0)


def test_debiased_first_step_is_the_sign():
    tx = neo.precondition(optax.identity(), decay=0.999, eps=1e-8, debias=True)
    np.testing.assert_allclose(play(tx, [-3.0])[0], -1.0, rtol=2e-5)


def test_plain_momentum_inside_is_adam():
    """Without a correction, and debiased, the two are one optimizer."""
    ours = neo.precondition(neo.scale_by_neat(0.9, alpha=0.0, debias=True), debias=True)
    adam = optax.scale_by_adam(0.9, 0.999, eps=1e-8)
    gradients = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = [running.run(tx, gradients, gradients[0])[0] for tx in (ours, adam)]
    np.testing.assert_allclose(*found, rtol=2e-5)


def _spy():
    """Hands on its own metric in place of the gradient."""

    def update_fn(updates, state, params=None, *, metric=None, **extra):
        del params, extra
        return (updates if metric is None else metric), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update_fn)


def test_the_metric_is_passed_only_if_asked_for():
    update, _ = play(neo.precondition(_spy()), [4.0])
    np.testing.assert_allclose(update, 1.0)
    update, _ = play(neo.precondition(_spy(), decay=0.0, as_metric=False), [4.0])
    np.testing.assert_allclose(update, 1.0, rtol=1e-6)
    update, _ = play(neo.precondition(_spy(), decay=0.75, as_metric=False), [4.0])
    np.testing.assert_allclose(update, 2.0, rtol=1e-6)


def _recorder(seen):
    """Hands on what it gets, and keeps it together with the metric."""

    def update_fn(updates, state, params=None, *, metric=None, **extra):
        del params
        seen.append((updates, metric, extra))
        return updates, state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update_fn)


@pytest.mark.parametrize("as_metric", [True, False])
def test_then_gets_the_divided_update_and_the_metric(as_metric):
    """v = .25 * 16 = 4, so the metric is 2.5; other extra arguments are passed on."""
    seen = []
    inner, then = optax.identity(), optax.chain(_recorder(seen), optax.scale(3.0))
    options = {"decay": 0.75, "eps": 0.5, "as_metric": as_metric}
    tx = neo.precondition(inner, then=then, **options)

    @running.quick_jit
    def step(gradient):
        update, state = tx.update(gradient, tx.init(gradient), value=1.0)
        return update, state, seen[0][:2]

    update, state, divided_and_metric = step(np.full(1, 4.0, np.float32))
    np.testing.assert_allclose(update, 3 * 4 / 2.5)
    np.testing.assert_allclose(divided_and_metric, [[4 / 2.5], [2.5]])
    assert seen[0][2] == {"value": 1.0}
    assert jax.tree.structure(state.then) == jax.tree.structure(then.init(None))
    assert neo.precondition(inner).init(np.zeros(1, np.float32)).then == ()


def test_a_proximal_step_then_by_hand():
    """z = 1 - .1 * 4 / 2.5 = .84; the level .5 / 2.5 = .2 leaves .64."""
    then = optax.chain(optax.scale(-0.1), neo.sparsity.soft_threshold(0.5))
    tx = neo.precondition(optax.identity(), decay=0.75, eps=0.5, then=then)
    _, after, _ = running.run(tx, np.float32([[4, 0]]), np.ones(2, np.float32))
    np.testing.assert_allclose(after, [[0.64, 0.0]], rtol=1e-6)


def test_then_is_masked_together_with_its_metric():
    params = {"kernel": np.ones((2, 2), "f4"), "bias": np.ones(2, "f4")}
    sparse = optax.masked(
        neo.sparsity.group_lasso(1e3),
        {"kernel": True, "bias": False},
        mask_compatible_extra_args=True,
    )
    tx = neo.precondition(neo.scale_by_neat(), then=sparse)
    step = running.quick_jit(lambda given: tx.update(given, tx.init(given), given)[0])
    update = jax.device_get(step(params))
    np.testing.assert_array_equal(update["kernel"], -1.0)
    assert np.all(update["bias"] > 0)


def _regression():
    """Features on scales of 1 to 4, and targets that two of six depend on."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 6)) * np.array([1.0, 4.0, 2.0, 1.0, 4.0, 2.0])
    targets = features @ [1.0, -0.5, 0.0, 0.0, 0.0, 0.0] + 0.5 * rng.normal(size=50)
    return features, targets


def _fit(tx, features, targets, steps=3000):
    """The parameters after so many steps on the mean squared error."""
    x, y = np.float32(features), np.float32(targets)

    def step(carry, _):
        params, state = carry
        gradient = x.T @ (x @ params - y) / len(y)
        update, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, update), state), None

    @jax.jit
    def run(params):
        return jax.lax.scan(step, (params, tx.init(params)), length=steps)[0][0]

    return np.asarray(run(np.zeros(x.shape[1], np.float32)))


def test_a_proximal_step_in_the_metric_has_the_solution_of_the_lasso():
    """With a preconditioner as without. Outside of its metric it goes elsewhere."""
    from sklearn import linear_model  # its import takes time

    features, targets = _regression()
    lasso = linear_model.Lasso(0.3, fit_intercept=False, tol=1e-12, max_iter=10**5)
    expected = lasso.fit(features, targets).coef_
    assert 0 < np.count_nonzero(expected) < 6
    rate = 0.02
    step = optax.chain(optax.scale(-rate), neo.sparsity.soft_threshold(rate * 0.3))
    gradient = optax.identity()
    inside = neo.precondition(gradient, decay=0.99, debias=True, then=step)
    outside = optax.chain(neo.precondition(gradient, decay=0.99, debias=True), step)
    for tx in (step, inside):
        fitted = _fit(tx, features, targets)
        np.testing.assert_allclose(fitted, expected, atol=1e-4)
        np.testing.assert_array_equal(fitted == 0, expected == 0)
    assert np.abs(_fit(outside, features, targets) - expected).max() > 0.05


def test_the_moment_of_complex_leaves_is_real():
    tx = neo.precondition(optax.identity(), decay=0.75, eps=1e-8)
    params = np.zeros(1, np.complex64)
    (update,), _, state = running.run(tx, np.complex64([[4j + 3]]), params)
    assert state.second_moment.dtype == jnp.float32
    np.testing.assert_allclose(state.second_moment, 25 / 4)
    np.testing.assert_allclose(update, (3 + 4j) / 2.5, rtol=1e-6)


def test_a_moment_learns_from_finite_gradients_only():
    """v = .25 * 16 after the first step."""
    tx = neo.precondition(neo.scale_by_neat(), decay=0.75)
    for bad in (np.nan, np.inf, 1e30):
        update, after = play(tx, [4.0, bad])
        np.testing.assert_array_equal(after.second_moment, 4.0)
        assert update == 0.0


def test_low_precision_keeps_the_moments_dtype():
    tx = neo.precondition(optax.identity())
    state = jax.eval_shape(tx.init, np.ones(2, jnp.bfloat16))
    assert state.second_moment.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, r"^`decay` must be in \[0, 1\), got 1\.0\.$"),
        ({"eps": 0.0}, r"^`eps` must be in \(0, inf\), got 0\.0\.$"),
        ({"debias": 1}, r"^`debias` must be True or False, got 1\.$"),
        ({"as_metric": None}, r"^`as_metric` must be True or False, got None\.$"),
        (
            {"then": neo.centralize_outputs},
            r"^`then` must be of type .* forget to call",
        ),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        neo.precondition(optax.identity(), **options)


PLAYERS = np.float32([[1.0, -2.0], [1.0, 3.0]])


def preconditioned(tx, g=PLAYERS, **extra):
    """A first step, debiased: the metric is the mean's size, entry by entry."""
    tx = neo.precondition(tx, debias=True, eps=1e-3)
    return jax.jit(lambda g: tx.update(g, tx.init(g[0]), **extra))(g)


def test_the_moment_of_players_is_that_of_their_mean():
    _, state = preconditioned(aggregators.sum())
    np.testing.assert_allclose(state.second_moment, [1e-3, 0.25e-3], rtol=1e-4)


def test_players_that_do_not_take_part_are_not_in_the_moment():
    """Absent, not finite, or nobody left: then the moment stays."""
    tx = neo.precondition(aggregators.mean())
    update_fn, start, everyone = jax.jit(tx.update), tx.init(jnp.zeros(2)), np.ones(2)
    first, long, broken = np.array([True, False]), PLAYERS.copy(), PLAYERS.copy()
    long[1], broken[1, 0] = 1e6, np.nan
    alone = 1e-3 * PLAYERS[0] ** 2
    _, absent = update_fn(long, start, present=first)
    _, dropped = update_fn(broken, start, present=everyone > 0)
    for state in (absent, dropped):
        np.testing.assert_allclose(state.second_moment, alone, rtol=1e-4)
    update, state = update_fn(PLAYERS, absent, present=everyone < 0)
    np.testing.assert_array_equal(update, 0.0)
    np.testing.assert_array_equal(state.second_moment, absent.second_moment)


def _worst(as_metric):
    """The smallest cosine of a player with the preconditioned update, in ten draws."""
    tx = neo.precondition(aggregators.upgrad(), debias=True, as_metric=as_metric)
    update_fn, start, found = jax.jit(tx.update), tx.init(np.zeros(6, np.float32)), []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        lengths = 10.0 ** rng.uniform(-2, 2, size=6)
        g = (rng.normal(size=(3, 6)) * lengths).astype(np.float32)
        update = np.asarray(update_fn(g, start)[0])
        found.append(g @ update / np.linalg.norm(g, axis=1) / np.linalg.norm(update))
    return np.min(found)


@pytest.mark.slow
def test_upgrad_in_the_metric_harms_nobody_after_the_division():
    """In plain coordinates it does: the division turns its update."""
    assert _worst(as_metric=True) >= -1e-5
    assert _worst(as_metric=False) < -0.05


def test_a_contest_of_players_gets_the_metric():
    rules = optax.chain(neo.detect_conflict(), neo.project_conflict(1.0))
    contest = neo.player_contest(neo.opponents.others_mean(), rules)
    inside, state = preconditioned(contest)
    metric = np.sqrt(np.asarray(state.second_moment) / 1e-3) + 1e-3

    @jax.jit
    def reduce(g, **extra):
        return contest.update(g, contest.init(g[0]), **extra)[0]

    plain, expected = reduce(PLAYERS), reduce(PLAYERS, metric=metric)
    plain, expected = np.asarray(plain), np.asarray(expected)
    np.testing.assert_allclose(inside, expected / metric, rtol=1e-3)
    assert np.abs(expected - plain).max() > 1e-2


def test_then_gets_the_reduced_update_of_players():
    """The mean is (1, .5), and so is its metric: divided, (1, 1), for one player."""
    step = optax.chain(optax.scale(-0.5), neo.sparsity.soft_threshold(0.2))
    tx = neo.precondition(aggregators.mean(), debias=True, then=step)
    params = np.ones(2, np.float32)
    step = running.quick_jit(lambda g: tx.update(g, tx.init(params), params))
    update, state = step(PLAYERS)
    np.testing.assert_allclose(params + np.asarray(update), [0.3, 0.1], rtol=1e-4)
    assert update.shape == params.shape
    assert len(jax.tree.leaves(state.then)) == 1
