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
from running import run

RNG = np.random.default_rng(0)
PARAMS = {
    "kernel": RNG.normal(size=(8, 4)).astype("f4"),
    "bias": RNG.normal(size=4).astype("f4"),
}
MASK = {key: value > 0 for key, value in PARAMS.items()}


def gradients(steps):
    """[steps, ...], which differ at every step."""
    counts = np.arange(steps, dtype=np.float32)
    return {k: np.cos(p + counts[(..., *[None] * p.ndim)]) for k, p in PARAMS.items()}


def train(tx, params, steps):
    """The parameters after each step, and the last state."""
    return run(tx, gradients(steps), params)[1:]


def test_keep_mask_by_hand():
    tx = neo.sparsity.keep_mask(np.array([True, False]))
    updates, _, _ = run(tx, np.full((1, 2), 0.5, "f4"), np.array([1.0, 2.0], "f4"))
    assert updates.tolist() == [[0.5, -2.0]]


def test_keep_mask_holds_through_momentum_and_decay():
    tx = optax.chain(optax.adamw(0.1, weight_decay=0.5), neo.sparsity.keep_mask(MASK))
    params, state = train(tx, PARAMS, 5)
    for key in PARAMS:
        np.testing.assert_array_equal(params[key][-1] != 0, MASK[key])
    assert all(x.dtype == bool for x in jax.tree.leaves(state[-1]))


def test_nonzero_goes_on_with_a_sparse_model():
    sparse = {key: np.where(MASK[key], PARAMS[key], 0) for key in PARAMS}
    params, _ = train(
        optax.chain(optax.sgd(0.1), neo.sparsity.keep_mask(nonzero)), sparse, 3
    )
    np.testing.assert_array_equal(params["kernel"][-1] != 0, MASK["kernel"])


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
    with pytest.raises(ValueError, match=rf"(?m){message}"):
        jax.eval_shape(lambda p: tx.update(p, tx.init(p), p), PARAMS)


def test_straight_through_by_hand():
    """The dense weights go 1, 2 -> 2, 2 -> 3, 2; the larger one is seen."""
    larger = lambda w: w > jnp.min(w)  # noqa: E731
    tx = optax.chain(optax.sgd(1.0), neo.sparsity.straight_through(larger))
    grads = np.array([[-1.0, 0.0]] * 3, "f4")
    _, seen, state = run(tx, grads, np.array([1.5, 2.0], "f4"))
    assert seen.tolist() == [[2.5, 0.0], [3.5, 0.0], [4.5, 0.0]]
    assert state[-1].dense.tolist() == [4.5, 2.0]


def test_straight_through_is_the_dense_run_seen_through_a_mask():
    """With gradients that do not depend on the parameters."""
    tx = optax.chain(
        optax.sgd(0.1, momentum=0.9),
        neo.sparsity.straight_through(functools.partial(make_mask, sparsity=0.75)),
    )
    params, _ = train(tx, PARAMS, 6)
    dense, _ = train(optax.sgd(0.1, momentum=0.9), PARAMS, 6)
    for kernel, weights in zip(params["kernel"], dense["kernel"], strict=True):
        wanted = np.where(largest(weights, 8), weights, 0)
        np.testing.assert_allclose(kernel, wanted, rtol=1e-6, atol=1e-6)
        assert np.sum(kernel == 0) == 24
    np.testing.assert_allclose(params["bias"], dense["bias"], rtol=1e-6, atol=1e-6)


def largest(array, count):
    """The mask of the `count` largest sizes, which all differ."""
    return np.abs(array) >= np.sort(np.abs(array), axis=None)[-count]


def test_straight_through_asks_every_few_steps():
    tx = neo.sparsity.straight_through(
        functools.partial(n_of_m_mask, n=1, m=4), every=2
    )
    _, params, _ = run(tx, jax.tree.map(lambda g: 5 * g, gradients(4)), PARAMS)
    masks = params["kernel"] != 0
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[2], masks[3])
    assert not np.array_equal(masks[1], masks[2])


def test_straight_through_with_a_fixed_mask_revives_nothing():
    params, _ = train(
        optax.chain(optax.sgd(0.1), neo.sparsity.straight_through(MASK)), PARAMS, 4
    )
    np.testing.assert_array_equal(params["kernel"][-1] != 0, MASK["kernel"])


@pytest.mark.parametrize(
    "factory", [neo.sparsity.straight_through, neo.sparsity.keep_mask]
)
def test_zeros_are_exact_in_every_precision(factory):
    """All three in one tree, and so in one run."""
    positive = functools.partial(jax.tree.map, lambda p: p > 0)
    tx = optax.chain(optax.adam(0.1), factory(positive))
    dtypes = ("bfloat16", "float16", "float32")
    kernel, grads = PARAMS["kernel"], gradients(3)["kernel"]
    _, after, state = run(
        tx,
        {dtype: grads.astype(dtype) for dtype in dtypes},
        {dtype: kernel.astype(dtype) for dtype in dtypes},
    )
    for dtype in dtypes:
        assert after[dtype].dtype == dtype
        np.testing.assert_array_equal(after[dtype][-1] != 0, state[-1].mask[dtype])


@pytest.mark.slow
def test_checkpoints_of_any_step_are_sparse(tmp_path):
    tx = optax.chain(optax.adam(0.1), neo.sparsity.prune_to_sparsity(0.75))
    after, state = train(tx, PARAMS, 1)
    params = {key: jnp.asarray(value[0]) for key, value in after.items()}
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
    mask = nonzero({"kernel": np.array([[1.0, 0.0]], "f4"), "bias": np.zeros(2, "f4")})
    assert mask["kernel"].tolist() == [[True, False]]
    assert mask["bias"].tolist() == [True, True]
