import jax
import numpy as np
import pytest
from flax import nnx

import running
from neat_optax.experiments.benchmarks import small_networks
from neat_optax.experiments.data.parts import Data, Split
from neat_optax.experiments.models import ConvTrunk

SHAPE = (7, 6, 2)


@pytest.mark.slow
def test_shifted_convolutions_are_convolutions():
    """Of an odd size too, whose edges are pooled alone."""
    usual = ConvTrunk(SHAPE, rngs=nnx.Rngs(0))
    shifted = small_networks.ShiftedConvTrunk(SHAPE, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(3, 84)).astype(np.float32)
    run = running.quick_jit(lambda x: (usual(x), shifted(x)))
    np.testing.assert_allclose(*run(x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_small_transformer_has_one_block_and_logits_for_each_character():
    tokens = np.arange(40, dtype=np.int32).reshape(4, 10) % 7
    data = Data(*[Split(tokens, tokens)] * 3)
    model = small_networks.small_transformer(data, nnx.Rngs(0))
    assert len(model.trunk.blocks) == 1
    assert jax.eval_shape(model, tokens).shape == (4, 10, 7)
