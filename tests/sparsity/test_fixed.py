"""Masks from the caller, and dense weights behind sparse ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest

import neat_optax as neo
from neat_optax.sparsity import make_mask, n_of_m_mask, nonzero, sparsity

RNG = np.random.default_rng(0)
PARAMS = {
    "kernel": jnp.asarray(RNG.normal(size=(8, 4)), jnp.float32),
    "bias": jnp.asarray(RNG.normal(size=4), jnp.float32),
}
MASK = jax.tree.map(lambda p: p > 0, PARAMS)


def train(tx, params, steps):
    state, update = tx.init(params), jax.jit(tx.update)
    for step in range(steps):
        grads = jax.tree.map(lambda p, s=step: jnp.cos(p + s), params)
        updates, state = update(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


def test_keep_mask_by_hand():
    tx = neo.sparsity.keep_mask(jnp.array([True, False]))
    w = jnp.array([1.0, 2.0])
    updates, _ = tx.update(jnp.array([0.5, 0.5]), tx.init(w), w)
    assert updates.tolist() == [0.5, -2.0]


def test_keep_mask_holds_through_momentum_and_decay():
    tx = optax.chain(optax.adamw(0.1, weight_decay=0.5), neo.sparsity.keep_mask(MASK))
    params, state = train(tx, PARAMS, 5)
    for key in PARAMS:
        np.testing.assert_array_equal(params[key] != 0, MASK[key])
    assert all(x.dtype == bool for x in jax.tree.leaves(state[-1]))


def test_nonzero_goes_on_with_a_sparse_model():
    sparse = neo.sparsity.apply_mask(PARAMS, MASK)
    params, _ = train(
        optax.chain(optax.sgd(0.1), neo.sparsity.keep_mask(nonzero)), sparse, 3
    )
    np.testing.assert_array_equal(params["kernel"] != 0, MASK["kernel"])


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (
            {"kernel": MASK["kernel"]},
            r"^`mask` must have the tree structure of `params`",
        ),
        (
            dict(MASK, bias=MASK["bias"][:2]),
            r"^`mask` must have the shapes of `params`",
        ),
        (PARAMS, r"^`mask` must have boolean leaves, got float32 at \['bias'\]\.$"),
        (lambda p: p, r"^`mask` must have boolean leaves, got float32"),
    ],
)
@pytest.mark.parametrize(
    "factory", [neo.sparsity.keep_mask, neo.sparsity.straight_through]
)
def test_a_mask_that_does_not_fit(factory, mask, message):
    tx = factory(mask)
    with pytest.raises(ValueError, match=message):
        tx.update(PARAMS, tx.init(PARAMS), PARAMS)


def test_straight_through_by_hand():
    """The dense weights go 1, 2 -> 2, 2 -> 3, 2; the larger one is seen."""
    larger = lambda w: w > jnp.min(w)  # noqa: E731
    tx = optax.chain(optax.sgd(1.0), neo.sparsity.straight_through(larger))
    w = jnp.array([1.5, 2.0])
    state, seen = tx.init(w), []
    for _ in range(3):
        updates, state = tx.update(jnp.array([-1.0, 0.0]), state, w)
        w = optax.apply_updates(w, updates)
        seen.append(w.tolist())
    assert seen == [[2.5, 0.0], [3.5, 0.0], [4.5, 0.0]]
    assert state[-1].dense.tolist() == [4.5, 2.0]


def test_straight_through_is_the_dense_run_seen_through_a_mask():
    """With gradients that do not depend on the parameters."""
    tx = optax.chain(
        optax.sgd(0.1, momentum=0.9),
        neo.sparsity.straight_through(functools.partial(make_mask, sparsity=0.75)),
    )
    plain = optax.sgd(0.1, momentum=0.9)
    params, state = PARAMS, tx.init(PARAMS)
    dense, dense_state = PARAMS, plain.init(PARAMS)
    for step in range(6):
        grads = jax.tree.map(lambda p, s=step: jnp.cos(p + s), PARAMS)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        updates, dense_state = plain.update(grads, dense_state, dense)
        dense = optax.apply_updates(dense, updates)
        mask = make_mask(dense, 0.75)
        for key in PARAMS:
            wanted = jnp.where(mask[key], dense[key], 0)
            np.testing.assert_allclose(params[key], wanted, rtol=1e-6, atol=1e-6)
        assert float(sparsity(params)) == 0.75


def test_straight_through_asks_every_few_steps():
    tx = neo.sparsity.straight_through(
        functools.partial(n_of_m_mask, n=1, m=4), every=2
    )
    state, params = tx.init(PARAMS), PARAMS
    masks = []
    for step in range(4):
        grads = jax.tree.map(lambda p, s=step: jnp.sin(5 * p + s), PARAMS)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        masks.append(np.asarray(state.mask["kernel"]))
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[2], masks[3])
    assert not np.array_equal(masks[1], masks[2])


def test_straight_through_with_a_fixed_mask_revives_nothing():
    params, _ = train(
        optax.chain(optax.sgd(0.1), neo.sparsity.straight_through(MASK)), PARAMS, 4
    )
    np.testing.assert_array_equal(params["kernel"] != 0, MASK["kernel"])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_zeros_are_exact_in_every_precision(dtype):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    half = functools.partial(make_mask, sparsity=0.5)
    for last in (neo.sparsity.straight_through(half), neo.sparsity.keep_mask(half)):
        after, _ = train(optax.chain(optax.adam(0.1), last), params, 3)
        assert int(jnp.sum(after["kernel"] == 0)) == 16


def test_checkpoints_of_any_step_are_sparse(tmp_path):
    tx = optax.chain(optax.adam(0.1), neo.sparsity.prune_to_sparsity(0.75))
    params, state = train(tx, PARAMS, 1)
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "step", {"params": params, "state": state})
        checkpointer.wait_until_finished()
        target = jax.eval_shape(lambda: {"params": params, "state": state})
        restored = checkpointer.restore(tmp_path / "step", target)
    assert float(sparsity(restored["params"])) == 0.75
    assert restored["state"][1].mask["kernel"].dtype == bool


def test_every_must_be_positive():
    with pytest.raises(ValueError, match=r"^`every` must be an integer >= 1, got 0\.$"):
        neo.sparsity.straight_through(MASK, every=0)


def test_a_bias_that_is_zero_has_not_been_pruned():
    params = {"kernel": jnp.array([[1.0, 0.0]]), "bias": jnp.zeros(2)}
    mask = nonzero(params)
    assert mask["kernel"].tolist() == [[True, False]]
    assert mask["bias"].tolist() == [True, True]
