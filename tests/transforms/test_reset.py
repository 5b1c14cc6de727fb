"""Resets of selected parameter entries in any optimizer's state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties

PARAMS = {"w": np.float32([[1.0, -2.0], [3.0, 4.0]]), "b": np.float32([0.5, 1.5])}
MASK = jax.tree.map(lambda p: p > 0, PARAMS)
OPTIMIZERS = {
    "adam": optax.adam(0.1),
    "adamw": optax.adamw(0.1, weight_decay=0.1),
    "trace": optax.sgd(0.1, momentum=0.9),
    "lion": optax.lion(0.1),
    "injected": optax.inject_hyperparams(optax.adam)(0.1),
    "chain": optax.chain(optax.clip(1.0), optax.ema(0.9), optax.scale_by_rms()),
    "neat": neo.precondition(
        neo.scale_by_neat(opponent=neo.opponents.gradient_ema(0.9)), decay=0.9
    ),
    "slow": neo.keep_slow_params(optax.adam(0.1), period=2),
    "masked": optax.masked(optax.adam(0.1), {"w": True, "b": False}),
    "partition": optax.partition(
        {"a": optax.adam(0.1), "s": optax.sgd(0.1, momentum=0.5)}, {"w": "a", "b": "s"}
    ),
    "steps": optax.MultiSteps(optax.adam(0.1), 2),
    "noise": optax.noisy_sgd(0.1, key=jax.random.key(1)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_marked_weights_are_as_at_the_start_and_others_as_they_were(name):
    tx = OPTIMIZERS[name]
    start = tx.init(PARAMS)
    state = jax.tree.map(_moved, start)
    reset = neo.reset_moments(tx, state, PARAMS, MASK)
    properties.assert_same_types(reset, state)

    def check(path, after, before, fresh):
        if not jnp.issubdtype(after.dtype, jnp.floating) or after.ndim == 0:
            np.testing.assert_array_equal(_data(after), _data(before))
            return
        mask = MASK["w"] if after.shape == (2, 2) else MASK["b"]
        expected = np.where(mask, fresh, before)
        np.testing.assert_array_equal(after, expected, err_msg=str(path))

    jax.tree_util.tree_map_with_path(check, reset, state, start)


def _moved(x):
    """What a step leaves: other numbers, other counts, the same keys."""
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return x if is_key else jnp.asarray(np.asarray(x) + np.ones((), x.dtype))


def _data(x):
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(x) if is_key else x


def test_under_jit():
    tx = optax.adam(0.1)

    @jax.jit
    def step_and_reset(params):
        _, state = tx.update(params, tx.init(params), params)
        return neo.reset_moments(tx, state, params, MASK)

    reset = step_and_reset(PARAMS)
    assert reset[0].mu["w"].tolist() == [[0.0, pytest.approx(-0.2)], [0.0, 0.0]]
    assert int(reset[0].count) == 1


@pytest.mark.parametrize(
    ("state", "mask", "message"),
    [
        (
            None,
            {"w": MASK["w"]},
            r"^`mask` must have the tree structure of `params`, got no array at",
        ),
        (
            None,
            {"w": MASK["w"], "b": MASK["b"][:1]},
            r"^`mask` must have the shapes of `params`, got \(1,\) for \(2,\) at",
        ),
        (
            None,
            jax.tree.map(lambda p: p * 1.0, MASK),
            r"^`mask` must have boolean leaves, got float",
        ),
        (
            {"w": PARAMS["w"], "b": PARAMS["w"]},
            MASK,
            r"^`state` must have the shapes of `optimizer\.init\(params\)`, got "
            r"\(2, 2\) for \(2,\) at \[0\]\.trace\['b'\]",
        ),
    ],
)
def test_trees_that_do_not_fit(state, mask, message):
    tx = OPTIMIZERS["trace"]
    state = tx.init(PARAMS if state is None else state)
    with pytest.raises(ValueError, match=message):
        neo.reset_moments(tx, state, PARAMS, mask)
