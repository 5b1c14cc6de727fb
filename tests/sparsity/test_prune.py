"""Pruning on a schedule, last in a chain."""

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
from neat_optax import by_path

SHAPES = {"kernel": (10, 8), "conv": (3, 3, 2, 4), "bias": (8,)}


def params_of(seed, dtype="float32"):
    rng = np.random.default_rng(seed)
    return {k: jnp.asarray(rng.normal(size=s), dtype) for k, s in SHAPES.items()}


def train(tx, params, steps, seed=0, dtype="float32", **extra):
    """Parameters and states of a run on random gradients."""
    state, update = tx.init(params), jax.jit(tx.update)
    visited = []
    for step in range(steps):
        grads = params_of(1000 * seed + step + 1, dtype)
        updates, state = update(grads, state, params, **extra)
        params = optax.apply_updates(params, updates)
        visited.append((params, state))
    return visited


def zeros(params):
    return {k: int(np.sum(np.asarray(p) == 0)) for k, p in params.items()}


def test_by_hand():
    tx = neo.sparsity.prune_to_sparsity(0.5)
    w = jnp.array([[3.0, -1.0], [0.5, 2.0]])
    updates, state = tx.update(jnp.full((2, 2), 0.25), tx.init(w), w)
    assert updates.tolist() == [[0.25, 1.0], [-0.5, 0.25]]
    assert state.mask.tolist() == [[True, False], [False, True]]
    assert (int(state.step), float(state.target)) == (1, 0.5)


def test_every_step_counts_exactly_what_the_schedule_asks_for():
    schedule = optax.polynomial_schedule(0.0, 0.9, 3, 8, 2)
    tx = optax.chain(optax.adam(0.1), neo.sparsity.prune_to_sparsity(schedule))
    for step, (params, _) in enumerate(train(tx, params_of(0), 14)):
        share = 0.9 * (1 - (1 - np.clip((step - 2) / 8, 0, 1)) ** 3)
        for name, size in (("kernel", 80), ("conv", 72)):
            kept = max(1, np.floor(size * (1 - share) + 1e-4))
            assert zeros(params)[name] == size - kept, (step, name)
        assert zeros(params)["bias"] == 0


OPTIMIZERS = {
    "momentum": optax.sgd(0.1, momentum=0.9, nesterov=True),
    "decay": optax.adamw(0.1, weight_decay=0.1),
    "lookahead": neo.keep_slow_params(optax.sgd(0.1, momentum=0.9), period=2),
    "noise": optax.noisy_sgd(0.1, key=jax.random.key(0)),
    "neat": neo.neat(0.1, lookahead_period=2, sign=True),
    "polyak": optax.chain(optax.trace(0.99), optax.scale(-1.0)),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_nothing_revives_a_pruned_weight(name, dtype):
    schedule = optax.linear_schedule(0.1, 0.8, 6)
    tx = optax.chain(
        OPTIMIZERS[name], neo.sparsity.prune_to_sparsity(schedule, every=2)
    )
    pruned = {key: np.zeros(shape, bool) for key, shape in SHAPES.items()}
    for params, _ in train(tx, params_of(0, dtype), 10, dtype=dtype):
        for key, before in pruned.items():
            after = np.asarray(params[key]) == 0
            assert np.all(after[before])
            pruned[key] = after
    assert pruned["kernel"].sum() == 64


def test_a_falling_schedule_restores_nothing():
    tx = neo.sparsity.prune_to_sparsity(lambda step: jnp.where(step == 1, 0.5, 0.25))
    counts = [zeros(params)["kernel"] for params, _ in train(tx, params_of(0), 4)]
    assert counts == [20, 40, 40, 40]


def test_begin_every_and_end():
    schedule = optax.linear_schedule(0.0, 1.0, 20)
    tx = neo.sparsity.prune_to_sparsity(schedule, begin=2, every=3, end=8)
    changed = [int(s.mask["kernel"].sum()) for _, s in train(tx, params_of(0), 12)]
    assert changed == [80, 80, 72, 72, 72, 60, 60, 60, 48, 48, 48, 48]


def test_scores_are_those_of_the_parameters_before_the_step():
    """There the gradient was taken, and nothing has to be stored in between."""
    tx = neo.sparsity.prune_to_sparsity(0.5)
    w = jnp.array([[1.0, 2.0]])
    updates, _ = tx.update(jnp.array([[5.0, -1.5]]), tx.init(w), w)
    assert optax.apply_updates(w, updates).tolist() == [[0.0, 0.5]]


def test_one_threshold_for_the_whole_tree():
    tx = neo.sparsity.prune_to_sparsity(0.75, scope=neo.whole_tree)
    params = params_of(3)
    _, state = tx.update(params, tx.init(params), params)
    sizes = [np.abs(np.asarray(params[k])).ravel() for k in ("kernel", "conv")]
    threshold = np.sort(np.concatenate(sizes))[-38]
    for key in ("kernel", "conv"):
        expected = np.abs(np.asarray(params[key])) >= threshold
        np.testing.assert_array_equal(state.mask[key], expected)


def test_erdos_renyi_and_units_together():
    tx = neo.sparsity.prune_to_sparsity(
        0.5,
        allocation=neo.sparsity.erdos_renyi_kernel,
        granularity=neo.sparsity.units(-1),
        mask=by_path(lambda path, leaf: path == "kernel" and leaf.ndim == 2),
    )
    params = params_of(4)
    _, state = tx.update(params, tx.init(params), params)
    means = np.abs(np.asarray(params["kernel"])).mean(axis=0)
    expected = np.broadcast_to(means >= np.sort(means)[-4], (10, 8))
    np.testing.assert_array_equal(state.mask["kernel"], expected)
    assert state.mask["conv"].all()


def test_movement_prunes_what_shrinks():
    """Both weights are far from zero; one moves towards it."""
    tx = neo.pass_gradient(
        optax.chain(
            optax.sgd(0.1),
            neo.sparsity.prune_to_sparsity(0.5, score=neo.sparsity.movement),
        )
    )
    w = jnp.array([[5.0, 0.1]])
    updates, _ = tx.update(jnp.array([[1.0, -1.0]]), tx.init(w), w)
    assert (optax.apply_updates(w, updates) != 0).tolist() == [[False, True]]


def test_saliency_without_a_gradient_is_an_error():
    tx = neo.sparsity.prune_to_sparsity(0.5, score=neo.sparsity.saliency)
    w = jnp.ones((2, 2))
    with pytest.raises(
        ValueError,
        match=r"^`grad` must be passed to update for the score saliency, got None; "
        r"wrap the chain in pass_gradient\.$",
    ):
        tx.update(w, tx.init(w), w)


@given(seed=samplers.seeds, sparsity=st.floats(0, 0.999))
def test_kept_weights_get_their_update_and_others_land_on_zero(seed, sparsity):
    rng = np.random.default_rng(seed)
    w, u = jnp.asarray(rng.normal(size=(2, 6, 5)), jnp.float32)
    tx = neo.sparsity.prune_to_sparsity(lambda _: jnp.float32(sparsity))
    updates, state = tx.update(u, tx.init(w), w)
    after = optax.apply_updates(w, updates)
    np.testing.assert_array_equal(after, jnp.where(state.mask, w + u, 0))
    sizes = np.abs(np.asarray(w))
    kept = np.asarray(state.mask)
    assert sizes[kept].min() >= sizes[~kept].max(initial=0)


def test_a_run_over_seeds_is_the_single_runs():
    tx = optax.chain(optax.sgd(0.1), neo.sparsity.prune_to_sparsity(0.7, begin=1))

    def run(params):
        state = tx.init(params)
        for _ in range(3):
            updates, state = tx.update(params, state, params)
            params = optax.apply_updates(params, updates)
        return params

    many = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 4)), jnp.float32)
    alone = jnp.stack([run(one) for one in many])
    properties.assert_trees_close(jax.vmap(run)(many), alone)


def test_no_sort_and_one_byte_for_each_weight():
    params = {"kernel": jnp.ones((256, 256))}
    tx = neo.sparsity.prune_to_sparsity(optax.linear_schedule(0.0, 0.9, 10))
    state = tx.init(params)
    text = jax.jit(tx.update).lower(params, state, params).compile().as_text()
    assert " sort(" not in text
    assert sum(x.nbytes for x in jax.tree.leaves(state)) == 256 * 256 + 8


def test_a_step_without_a_change_does_no_search():
    """The search is inside a branch, so that most steps do not pay for it."""
    params = {"kernel": jnp.ones((256, 256))}
    tx = neo.sparsity.prune_to_sparsity(0.9, every=10)
    text = jax.jit(tx.update).lower(params, tx.init(params), params).as_text()
    entry = text.partition("func.func public")[2].partition("func.func private")[0]
    assert "stablehlo.while" not in entry


@pytest.mark.parametrize("bad", [1.0, -0.1, np.nan, "half", True])
def test_a_sparsity_outside_its_range(bad):
    with pytest.raises(ValueError, match=r"^`sparsity` must be (in|a number in) \[0,"):
        neo.sparsity.prune_to_sparsity(bad)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(every=0), r"^`every` must be an integer >= 1, got 0\.$"),
        (dict(begin=-1), r"^`begin` must be an integer >= 0, got -1\.$"),
        (dict(begin=5, end=4), r"^`end` must be at least `begin`, 5, got 4\.$"),
        (
            dict(score="magnitude"),
            r"^`score` must be of type Score, got 'magnitude'\.$",
        ),
        (dict(scope="tree"), r"^`scope` must be of type Scope, got 'tree'\.$"),
        (dict(allocation=2), r"^`allocation` must be of type Allocation, got 2\.$"),
        (dict(mask="kernel"), r"^`mask` must hold True or False, got 'kernel'\.$"),
        (
            dict(granularity=neo.sparsity.units),
            r"^`granularity` must be of type Granularity, got .* forget to call it\?$",
        ),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        neo.sparsity.prune_to_sparsity(0.5, **options)


def test_a_group_that_does_not_fit_is_said_at_init():
    tx = neo.sparsity.prune_to_sparsity(0.5, granularity=neo.sparsity.blocks(3, 3))
    with pytest.raises(ValueError, match=r"^`shape` must divide the last axes"):
        tx.init({"kernel": jnp.ones((4, 6))})


def test_params_are_needed():
    tx = neo.sparsity.prune_to_sparsity(0.5)
    with pytest.raises(
        ValueError, match=r"^`params` must be passed to update for prun"
    ):
        tx.update(jnp.ones((2, 2)), tx.init(jnp.ones((2, 2))))


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (1, 0, 2)])
def test_arrays_with_nothing_to_choose_from(shape):
    """An empty array stays empty, and one weight is always kept."""
    params = jnp.ones(shape)
    tx = neo.sparsity.prune_to_sparsity(0.99)
    updates, state = tx.update(params, tx.init(params), params)
    assert updates.shape == shape
    assert np.all(np.asarray(state.mask))


def test_an_array_of_equals_keeps_the_later_ones():
    params = jnp.ones((2, 3))
    tx = neo.sparsity.prune_to_sparsity(0.5)
    _, state = tx.update(params, tx.init(params), params)
    assert state.mask.tolist() == [[False] * 3, [True] * 3]


def test_a_unit_takes_its_bias_with_it():
    """And no other vector: not that of another layer, not one of another length."""
    params = {
        "first": {"kernel": jnp.array([[1.0, 3.0], [1.0, 3.0]]), "bias": jnp.ones(2)},
        "second": {
            "kernel": jnp.ones((2, 3)),
            "bias": jnp.ones(3),
            "other": jnp.ones(2),
        },
        "scale": jnp.ones(2),
    }
    tx = neo.sparsity.prune_to_sparsity(
        0.5,
        granularity=neo.sparsity.units(-1),
        mask=by_path(lambda path, _: path == "first/kernel"),
    )
    _, state = tx.update(params, tx.init(params), params)
    assert state.mask["first"]["bias"].tolist() == [False, True]
    del state.mask["first"]
    assert all(bool(mask.all()) for mask in jax.tree.leaves(state.mask))


def test_inputs_of_a_layer_leave_its_bias_alone():
    params = {"kernel": jnp.array([[1.0, 1.0], [3.0, 3.0]]), "bias": jnp.ones(2)}
    tx = neo.sparsity.prune_to_sparsity(0.5, granularity=neo.sparsity.units(-2))
    _, state = tx.update(params, tx.init(params), params)
    assert state.mask["kernel"].tolist() == [[False, False], [True, True]]
    assert state.mask["bias"].all()
