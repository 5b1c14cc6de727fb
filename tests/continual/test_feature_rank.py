"""The effective rank of features, as a penalty."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.continual import feature_rank_penalty
from running import quick_jit

VALUE_AND_SLOPE = quick_jit(jax.value_and_grad(feature_rank_penalty))
RNG = np.random.default_rng(0)
FEATURES = [RNG.normal(size=(2, 3, 4)).astype(np.float32), np.eye(4, dtype=np.float32)]


def expected(features):
    """From the eigenvalues of Gram matrices, in float64."""
    ranks = []
    for layer in features:
        matrix = layer.reshape(-1, layer.shape[-1]).astype(float)
        values = np.sqrt(np.linalg.eigvalsh(matrix.T @ matrix).clip(0))
        share = values / values.sum()
        ranks.append(np.exp(-np.sum(share[share > 0] * np.log(share[share > 0]))))
    return -np.mean(ranks)


def test_it_is_the_mean_over_layers_and_has_its_derivative():
    value, slope = VALUE_AND_SLOPE(FEATURES)
    assert value == pytest.approx(expected(FEATURES), rel=1e-5)
    way = RNG.normal(size=FEATURES[0].shape)
    ends = [expected([FEATURES[0] + t * way, FEATURES[1]]) for t in (1e-5, -1e-5)]
    found = np.sum(np.asarray(slope[0]) * way)
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3)


def test_the_scale_does_not_matter_and_zero_is_defined():
    scaled = [np.float32(1e-12) * FEATURES[0], np.zeros((4, 4), np.float32)]
    value, slope = VALUE_AND_SLOPE(scaled)
    assert value == pytest.approx(expected(FEATURES[:1]) / 2, rel=1e-5)
    assert np.all(np.isfinite(np.asarray(slope[0])))
    assert np.all(np.asarray(slope[1]) == 0)


def test_bad_input():
    with pytest.raises(ValueError, match=r"^`features` must have floating or complex"):
        feature_rank_penalty([jnp.ones((2, 2), jnp.int32)])
