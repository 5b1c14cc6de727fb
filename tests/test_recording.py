"""Measures, found in any state."""

import functools
import json

import flax.training.train_state
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import neat_optax as neo
import running
from compaction_models import INIT
from neat_optax._recording import recorded_in

NAMES = {
    "conflict",
    "correction_ratio",
    "opposed",
    "active",
    "opponent_norm",
    "alpha",
    "skipped",
    "update_alignment",
}
PARAMS = {"a": np.ones(1, np.float32), "b": np.ones(3, np.float32)}
GRADIENT = {"a": np.float32([1]), "b": np.float32([3, 4, 0])}
OPPONENT = {"a": np.float32([-2]), "b": np.float32([-2, 0, 0])}


def measured(alpha=None, **options):
    given = neo.opponents.given()
    return neo.neat(0.1, alpha, 0.0, opponent=given, monitor=True, **options)


USUAL = measured()


def one_step(tx):
    def first(gradient, opponent):
        return tx.update(gradient, tx.init(PARAMS), PARAMS, opponent=opponent)[1]

    return jax.jit(first)(GRADIENT, OPPONENT)


@functools.cache
def usual_step():
    return one_step(USUAL)


def two_steps(*pairs):
    """The state after two steps, each with its gradient and opponent."""
    gradients, opponents = (
        jax.tree.map(lambda *x: np.stack(x), *trees)
        for trees in zip(*pairs, strict=True)
    )
    return running.run(USUAL, gradients, PARAMS, opponent=opponents)[2]


def test_by_hand():
    """Conflicts 1 and .6, of 1 and 3 elements; |q|/|g| is alpha c^2.

    Leaf a steps along its gradient; b along (3 - .54, 4).
    """
    found = neo.diagnostics(one_step(measured(0.5)))
    assert found.keys() == NAMES
    expected = {
        "conflict": (1 + 3 * 0.6) / 4,
        "correction_ratio": (0.5 + 3 * 0.18) / 4,
        "opposed": 1.0,
        "active": 1.0,
        "opponent_norm": 2.0,
        "alpha": 0.5,
        "skipped": 0.0,
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].latest, value, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(found[name].mean, value, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(found["conflict"].per_leaf, [1.0, 0.6], rtol=1e-6)
    corrected = np.array([3 - 0.5 * 0.6 * 3, 4.0])
    cosine = np.array([3.0, 4.0]) @ corrected / 5 / np.linalg.norm(corrected)
    aligned = found["update_alignment"].per_leaf
    np.testing.assert_allclose(aligned, [1.0, cosine], rtol=1e-6)


def test_per_leaf_by_path():
    found = neo.diagnostics(usual_step(), PARAMS)["conflict"]
    np.testing.assert_allclose(found.per_leaf["a"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(found.per_leaf["b"], 0.6, rtol=1e-6)


def test_per_leaf_needs_a_scope_for_each_leaf():
    state = measured(scope=neo.whole_tree).init(PARAMS)
    with pytest.raises(
        ValueError, match=r"^`params` must be left out unless every leaf is"
    ):
        neo.diagnostics(state, PARAMS)


def test_the_mean_is_over_all_steps_and_latest_is_the_last():
    state = two_steps((GRADIENT, OPPONENT), (GRADIENT, GRADIENT))
    found = neo.diagnostics(state)["conflict"]
    np.testing.assert_allclose([found.latest, found.mean], [0.0, 0.35], rtol=1e-6)


def test_before_the_first_step_all_are_zero():
    found = neo.diagnostics(USUAL.init(PARAMS))
    assert found.keys() == NAMES
    for name, value in found.items():
        assert (value.latest, value.mean) == (0.0, 0.0), name


def test_skipped_steps_are_counted():
    bad = {"a": np.float32([np.nan]), "b": GRADIENT["b"]}
    state = two_steps((GRADIENT, OPPONENT), (bad, OPPONENT))
    found = neo.diagnostics(state)["skipped"]
    assert (found.latest, found.mean) == (0.25, 0.125)


def test_noise_is_there_where_history_is_watched():
    """First step: the average is zero, so all of the gradient is noise."""
    rules = neo.neat_rules(alpha_range=(0.0, 1.0))
    found = neo.diagnostics(one_step(measured(rules=rules, watch_decay=0.9)))
    assert found.keys() == NAMES | {"noise"}
    np.testing.assert_allclose(found["noise"].mean, 1.0, rtol=1e-6)


def test_a_state_without_measures_is_refused():
    for state in (neo.neat(0.1).init(PARAMS), optax.adam(0.1).init(PARAMS), {}):
        with pytest.raises(
            ValueError, match=r"^`opt_state` must hold measures, got none"
        ):
            neo.diagnostics(state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: optax.chain(optax.clip_by_global_norm(1e3), tx),
        lambda tx: optax.masked(
            tx, {"a": True, "b": True}, mask_compatible_extra_args=True
        ),
        lambda tx: optax.partition(
            {"x": tx, "y": tx}, {"a": "x", "b": "y"}, mask_compatible_extra_args=True
        ),
        lambda tx: optax.apply_if_finite(tx, 3),
        lambda tx: optax.MultiSteps(tx, 1),
        lambda tx: neo.keep_slow_params(tx, 5),
        lambda tx: neo.monitor_update(tx),
    ],
    ids=["chain", "masked", "partition", "finite", "multi", "slow", "twice"],
)
def test_found_inside(wrap):
    """The wrapped state holds what the bare one does, wherever it is."""
    tx = wrap(USUAL)

    def is_bare(node):
        return type(node) is type(usual_step())

    state = jax.tree.map(
        lambda node: usual_step() if is_bare(node) else node,
        tx.init(PARAMS),
        is_leaf=is_bare,
    )
    found = neo.diagnostics(state)
    assert found.keys() == NAMES
    np.testing.assert_allclose(found["conflict"].mean, (1 + 3 * 0.6) / 4, rtol=1e-6)


def test_found_in_a_train_state():
    state = flax.training.train_state.TrainState.create(
        apply_fn=None, params=PARAMS, tx=neo.neat(0.1, monitor=True)
    )
    step = jax.jit(lambda state, grads: state.apply_gradients(grads=grads))
    state = state.replace(step=np.int32(0))
    for sign in (1, -1):
        state = step(state, jax.tree.map(lambda g, s=sign: s * g, GRADIENT))
    found = neo.diagnostics(state, state.params)
    np.testing.assert_allclose(found["conflict"].latest, 1.0, rtol=1e-6)
    np.testing.assert_allclose(found["conflict"].per_leaf["a"], 0.5, rtol=1e-6)


@pytest.mark.slow
def test_found_in_an_nnx_optimizer():
    model = nnx.Linear(3, 2, **INIT)
    optimizer = nnx.Optimizer(model, neo.neat(0.1, monitor=True), wrt=nnx.Param)
    ones = np.ones((1, 3), np.float32)
    gradient = jax.device_get(nnx.jit(nnx.grad(lambda m: jnp.sum(m(ones))))(model))
    step = nnx.jit(lambda model, optimizer, grads: optimizer.update(model, grads))
    step(model, optimizer, gradient)
    step(model, optimizer, jax.tree.map(np.negative, gradient))
    found = neo.diagnostics(optimizer)
    np.testing.assert_allclose(found["conflict"].latest, 1.0, rtol=1e-6)
    np.testing.assert_allclose(found["conflict"].mean, 0.5, rtol=1e-6)


def _alternate(tx, steps):
    """Scanned steps on alternating gradients; conflicts after each of them."""

    def body(state, sign):
        gradient = jax.tree.map(lambda g: sign * g, GRADIENT)
        _, state = tx.update(gradient, state, PARAMS)
        return state, neo.diagnostics(state)["conflict"].latest

    signs = (-1.0) ** jnp.arange(steps)
    return jax.lax.scan(body, tx.init(PARAMS), signs)


def test_inside_scan():
    tx = neo.neat(0.1, opponent=neo.opponents.previous_gradient(), monitor=True)
    state, conflicts = jax.jit(lambda: _alternate(tx, 4))()
    np.testing.assert_allclose(conflicts, [0.0, 1.0, 1.0, 1.0], rtol=1e-6)
    np.testing.assert_allclose(neo.diagnostics(state)["conflict"].mean, 0.75, rtol=1e-6)


@pytest.mark.slow
def test_inside_vmap():
    """Three runs at once, read together and one by one."""
    tx = neo.neat(0.1, opponent=neo.opponents.given(), monitor=True)
    scales = np.float32([1.0, -1.0, 0.0])

    def run(scale):
        opponent = jax.tree.map(lambda o: scale * o, OPPONENT)
        state = tx.init(PARAMS)
        return tx.update(GRADIENT, state, PARAMS, opponent=opponent)[1]

    states = jax.jit(jax.vmap(run))(scales)
    read = jax.jit(jax.vmap(lambda state: neo.diagnostics(state)["conflict"].mean))
    found = read(states)
    np.testing.assert_allclose(found, [0.7, 0.0, 0.0], rtol=1e-6)


def test_names_are_refused_where_the_leaves_are_divided():
    labels = {"a": "mine", "b": "other"}
    parts = {"mine": neo.neat(0.1, monitor=True), "other": neo.neat(0.1, monitor=True)}
    state = optax.partition(parts, labels).init(PARAMS)
    with pytest.raises(ValueError, match="got 2 leaves for 2 scopes in 2"):
        neo.diagnostics(state, PARAMS)


def test_labels_in_any_order_keep_the_names_of_their_leaves():
    scope = neo.by_label({"a": "z", "b": "a"})
    by_leaf = neo.diagnostics(usual_step(), PARAMS)["conflict"].per_leaf
    by_label = neo.diagnostics(one_step(measured(scope=scope)), PARAMS)["conflict"]
    assert by_label.per_leaf == by_leaf


def test_means_begin_anew_without_another_compile():
    """Conflicts .7 and 0 before, then 0: the mean is over what came after."""

    @jax.jit
    def step(state, opponent):
        return USUAL.update(GRADIENT, state, PARAMS, opponent=opponent)[1]

    state = step(step(USUAL.init(PARAMS), OPPONENT), GRADIENT)
    state = neo.restart_means(state)
    begun = neo.diagnostics(state)["opponent_norm"]
    assert (begun.mean, begun.latest > 0) == (0.0, True)
    for opponent, mean in ((OPPONENT, 0.7), (GRADIENT, 0.35)):
        state = step(state, opponent)
        found = neo.diagnostics(state)["conflict"]
        np.testing.assert_allclose(found.mean, mean, rtol=1e-6)
    assert step._cache_size() == 1


def test_means_begin_anew_inside_a_train_state_and_an_nnx_optimizer():
    tx = neo.neat(0.1, monitor=True)
    state = flax.training.train_state.TrainState.create(
        apply_fn=None, params=PARAMS, tx=tx
    )
    optimizer = nnx.Optimizer(nnx.List([nnx.Param(np.ones(2))]), tx, wrt=nnx.Param)
    for holder in (state, optimizer):
        restarted = neo.restart_means(holder)
        assert type(restarted) is type(holder)
        begun = neo.diagnostics(restarted, plain=True)["conflict"]
        assert begun["mean"] == 0.0
        counts = jax.tree.leaves([r.begun for r in recorded_in(restarted.opt_state)])
        np.testing.assert_array_equal(np.concatenate(counts), -1)


def test_plain_numbers_go_through_json():
    read = neo.diagnostics(usual_step(), PARAMS, plain=True)
    assert json.loads(json.dumps(read)) == read
    found = neo.diagnostics(usual_step(), PARAMS)
    assert read["conflict"]["mean"] == found["conflict"].mean
    assert read["conflict"]["per_leaf"]["b"] == found["conflict"].per_leaf["b"]


def test_traced_numbers_are_not_plain():
    with pytest.raises(ValueError, match=r"^`plain` must be False where values are tr"):
        jax.eval_shape(lambda s: neo.diagnostics(s, plain=True), USUAL.init(PARAMS))


def test_a_state_that_was_restored_as_dictionaries_is_named():
    def plain(node):
        if hasattr(node, "_asdict"):
            return {name: plain(part) for name, part in node._asdict().items()}
        return [plain(part) for part in node] if isinstance(node, tuple) else node

    state = plain(usual_step())
    message = "measures in the types of tx.init.* pass that state as the target of"
    for read in (neo.diagnostics, neo.restart_means):
        with pytest.raises(ValueError, match=message):
            read(state)
