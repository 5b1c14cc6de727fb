"""Weights stay within the range of their initializer."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neat_optax.continual import weight_clipping
from running import quick_jit
from weight_goldens import GOLDEN, assert_close


def after(tx, params, updates=None):
    """The new parameters, where nothing else moves by default."""

    def step(params, updates):
        updates, _ = tx.update(updates, tx.init(params), params)
        return optax.apply_updates(params, updates)

    still = jax.tree.map(np.zeros_like, params)
    return quick_jit(step)(params, still if updates is None else updates)


def test_it_is_the_program_of_the_authors():
    assert_close(after(weight_clipping(1.5), GOLDEN["params"]), "weight_clipping")


def test_the_new_weights_are_clipped_and_only_those_of_layers():
    big = np.full(2, 9.0, np.float32)
    params = {
        "conv": {"kernel": np.full((2, 2, 4, 1), 0.1, np.float32), "bias": big[:1]},
        "norm": {"scale": big, "bias": big},
        "embed": {"embedding": np.full((3, 2), 9.0, np.float32)},
        "free": big,
    }
    step = jax.tree.map(np.ones_like, params)
    step["conv"]["kernel"] = np.full((2, 2, 4, 1), 0.0625, np.float32)
    new = after(weight_clipping(0.5), params, step)
    np.testing.assert_allclose(new["conv"]["kernel"], 0.125)  # 0.5 / sqrt(16)
    np.testing.assert_allclose(new["conv"]["bias"], 0.125)
    for untouched in (*new["norm"].values(), new["free"], new["embed"]["embedding"]):
        assert np.all(np.asarray(untouched) == 10)


def test_a_bound_and_a_mask_of_ones_own():
    params = {
        "first": {"kernel": np.full((4, 2), 9.0, np.float32)},
        "head": {"kernel": np.full((4, 2), 9.0, np.float32)},
    }
    tx = weight_clipping(2.0, bound=float, mask={"first": True, "head": False})
    new = after(tx, params)
    assert np.all(np.asarray(new["first"]["kernel"]) == 8)
    assert np.all(np.asarray(new["head"]["kernel"]) == 9)


def test_the_bound_is_met_exactly_in_low_precision_updates():
    w = {"kernel": np.full((3, 1), 1.7, np.float32)}
    step = {"kernel": jnp.full((3, 1), 0.3, jnp.bfloat16)}
    new = after(weight_clipping(1.0), w, step)
    np.testing.assert_allclose(new["kernel"], 1 / np.sqrt(3), rtol=1e-6)


def test_complex_weights_are_shortened():
    new = after(weight_clipping(2.5), {"kernel": np.array([[3 + 4j]], np.complex64)})
    np.testing.assert_allclose(new["kernel"], [[1.5 + 2j]], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(kappa=-1.0), r"^`kappa` must be in \[0, inf\), got -1\.0\.$"),
        (dict(bound=3), r"^`bound` must be a function, got 3\.$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        weight_clipping(**options)
