import jax
import jax.numpy as jnp
from flax import nnx

from neat_optax.training.model import MLP


def test_maps_a_batch_to_logits_through_the_published_widths():
    model = MLP(64, 10, rngs=nnx.Rngs(0))
    assert model(jnp.ones((3, 64))).shape == (3, 10)
    count = sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert count == 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10
