import jax
import jax.numpy as jnp
from flax import nnx

from neat_optax.experiments.data.model import MLP, MultiHead


def test_maps_a_batch_to_logits_through_the_published_widths():
    model = MLP(64, 10, rngs=nnx.Rngs(0))
    assert model(jnp.ones((3, 64))).shape == (3, 10)
    count = sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert count == 64 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10


def test_every_label_has_a_head_on_one_trunk():
    model = MultiHead(103, 14, rngs=nnx.Rngs(0))
    assert model(jnp.ones((3, 103))).shape == (3, 14)
    params = nnx.state(model, nnx.Param)
    trunk = sum(x.size for x in jax.tree.leaves(params["trunk"]))
    heads = sum(x.size for x in jax.tree.leaves(params["heads"]))
    assert trunk == 103 * 128 + 128 + 128 * 64 + 64
    assert heads == 14 * (64 + 1)
