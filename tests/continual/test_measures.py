"""Ranks, norms and isometry of features and kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
import properties
import running
from neat_optax.continual import (
    effective_rank,
    feature_norm,
    isometry_deviation,
    read_measures,
    srank,
    stable_rank,
)

RNG = np.random.default_rng(0)
SMALL = {"rtol": 1e-4, "atol": 1e-5}


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def by_hand(x, delta=0.01):
    """From the eigenvalues of the smaller Gram matrix, in float64."""
    x = np.asarray(x, np.float64).reshape(-1, np.shape(x)[-1])
    gram = x.T @ x if len(x) >= x.shape[1] else x @ x.T
    squares = np.maximum(np.linalg.eigvalsh(gram)[::-1], 0)
    values = np.sqrt(squares)
    share = values[values > 0] / values.sum()
    return {
        "effective": np.prod(share**-share),
        "srank": 1 + np.argmax(np.cumsum(values) / values.sum() >= 1 - delta),
        "stable": np.trace(gram) / squares[0],
        "deviation": np.sum((gram - np.eye(len(gram))) ** 2),
        "norm": np.sqrt((x**2).sum(axis=1)).mean(),
    }


@running.quick_jit
def measured(x):
    return {
        "effective": effective_rank(x),
        "srank": srank(x),
        "stable": stable_rank(x),
        "deviation": isometry_deviation(x),
        "norm": feature_norm(x),
    }


def scaled():
    """Singular values of 1, 0.5, ... in a random basis."""
    x = np.linalg.qr(normal(12, 6))[0] * 0.5 ** np.arange(6)
    return (x @ np.linalg.qr(normal(6, 6))[0]).astype(np.float32)


@pytest.mark.parametrize(
    "x",
    [
        scaled(),
        pytest.param(scaled().T, marks=pytest.mark.slow),
        pytest.param(normal(2, 3, 4, 5), marks=pytest.mark.slow),
    ],
)
def test_by_eigenvalues(x):
    found = jax.device_get(measured(x))
    properties.assert_trees_close(found, by_hand(x), **SMALL)


@pytest.mark.slow
def test_ranks_have_no_unit_and_see_what_is_wrong():
    x = scaled()
    cases = np.stack([x, 1e-25 * x, 1e25 * x, 0 * x, np.where(x == x.max(), np.nan, x)])

    @running.quick_jit
    @jax.vmap
    def ranks(x):
        return effective_rank(x), stable_rank(x), srank(x, 0.1), srank(x, 0.0)

    each = jax.device_get(ranks(cases))
    for found in each:
        np.testing.assert_allclose(found[1:3], found[0], rtol=1e-5)
        assert found[3] == 0
        assert np.isnan(found[4])
    assert each[2][0] == by_hand(x, 0.1)["srank"] == 4


PARAMS = {
    "conv": {"kernel": normal(2, 2, 1, 4), "bias": normal(4)},
    "dense": {"kernel": normal(16, 6)},
    "stack": normal(2, 6, 6),
    "head": normal(3, 6),
}
IMAGES = normal(5, 4, 4, 1)


def apply_fn(params, x):
    """A convolution with strides, a flatten, scanned layers, one on the left."""
    x = jax.lax.conv_general_dilated(
        x,
        params["conv"]["kernel"],
        (2, 2),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    x = jax.nn.relu(x + params["conv"]["bias"].reshape(1, 1, 1, -1))
    x = jnp.tanh(x.reshape(len(x), -1) @ params["dense"]["kernel"])
    x = jax.lax.scan(lambda x, w: (jax.nn.relu(x @ w), None), x, params["stack"])[0]
    return jnp.einsum("hk,tk->th", params["head"], x)


def features():
    """Of the layers that have features of their own, [places, units]."""
    patches = IMAGES.reshape(5, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(5, 4, 4)
    kernel = PARAMS["conv"]["kernel"].reshape(4, 4)
    conv = np.maximum(patches @ kernel + PARAMS["conv"]["bias"], 0)
    dense = np.tanh(conv.reshape(5, 16) @ PARAMS["dense"]["kernel"])
    return {"conv": conv.reshape(20, 4), "dense": dense}


def test_a_model_is_read_like_its_features_and_kernels_by_hand():
    read = running.quick_jit(read_measures(apply_fn, threshold=0.5, delta=0.1))
    found = jax.device_get(read(PARAMS, IMAGES))
    expected = jax.device_get(jax.jit(apply_fn)(PARAMS, IMAGES))
    np.testing.assert_allclose(found.outputs, expected, **SMALL)
    assert sorted(found.features) == ["conv", "dense"]
    for layer, x in features().items():
        one, hand = found.features[layer], by_hand(x, 0.1)
        sizes = np.abs(x).mean(axis=0)
        dormant = np.mean(sizes <= 0.5 * sizes.mean())
        wanted = dormant, hand["norm"], hand["effective"], hand["srank"], hand["stable"]
        np.testing.assert_allclose(one, wanted, rtol=1e-4)
    assert sorted(found.weights) == ["conv", "dense", "head", "stack"]
    kernels = {name: jax.tree.leaves(PARAMS[name])[-1] for name in PARAMS}
    for layer, kernel in kernels.items():
        each = [by_hand(x, 0.1) for x in (kernel if layer == "stack" else [kernel])]
        names = "effective", "srank", "stable", "deviation"
        wanted = [np.mean([hand[name] for hand in each]) for name in names]
        np.testing.assert_allclose(found.weights[layer], wanted, rtol=1e-4)


@pytest.mark.slow
def test_no_derivative_goes_through_measures():
    def total(params):
        found = read_measures(apply_fn)(params, IMAGES)
        return sum(jax.tree.leaves((found.features, found.weights)))

    slopes = running.quick_jit(jax.grad(total))(PARAMS)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slopes))


@pytest.mark.slow
def test_numbers_are_those_of_the_activities_that_are_read():
    found = jax.jit(read_measures(apply_fn))(PARAMS, IMAGES)
    activity = jax.jit(neo.read_activities(apply_fn))(PARAMS, IMAGES).unit_activity
    assert found.features.keys() == activity.keys()
    for layer, active in activity.items():
        expected = neo.continual.dormant_fraction(active)
        assert float(found.features[layer].dormant) == float(expected)


def test_errors():
    with pytest.raises(
        ValueError, match=r"^`apply_fn` must be a function, got None\.$"
    ):
        read_measures(None)
    with pytest.raises(ValueError, match=r"^`delta` must be in \[0, 1\), got 1\.0\.$"):
        srank(normal(2, 2), 1.0)
    with pytest.raises(ValueError, match=r"^`x` must be an array of two axes or more"):
        effective_rank(normal(3))
