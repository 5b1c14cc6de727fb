"""What names and places say about arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

import running
from neat_optax import sparsity
from neat_optax._leaves import kernels


@pytest.mark.parametrize(
    ("path", "is_kernel"),
    [
        ("blocks/dense/kernel", True),
        ("kernel", True),
        ("embed/embedding", True),
        ("SpectralNorm_0/kernel", True),
        ("w", True),
        ("anything", True),
        ("layers/0/weight", True),
        ("trunk/rescale_net/w", True),
        ("blocks/norm/scale", False),
        ("attention/query/bias", False),
        ("bias", False),
        ("lstm/bias_hh", False),
        ("lstm/in_proj_bias", False),
        ("blocks/LayerNorm_0/weight", False),
        ("norms/0/weight", False),
        ("ln_1/g", False),
        ("bn2/var", False),
        ("batch_norm/gamma", False),
        ("batch_norm/~/offset", False),
    ],
)
def test_what_a_path_says_of_an_array_of_two_axes(path, is_kernel):
    tree = np.zeros((4, 8))
    for part in reversed(path.split("/")):
        tree = {part: tree}
    assert jax.tree.leaves(kernels(tree)) == [is_kernel]


def test_an_array_of_one_axis_is_no_kernel():
    assert kernels({"kernel": np.zeros(3), "w": np.zeros(())}) == {
        "kernel": False,
        "w": False,
    }


def test_b_is_a_bias_beside_w_only():
    both = {"b": np.zeros((2, 3)), "w": np.zeros((2, 3))}
    assert kernels(both) == {"b": False, "w": True}
    assert kernels({"a": both, "b": both["b"]})["b"]
    assert kernels([both["b"], both["w"]]) == [True, True]


class Block(linen.Module):
    @linen.compact
    def __call__(self, x, _):
        x = linen.LayerNorm(name="norm")(x)
        x = x + linen.MultiHeadDotProductAttention(2, name="attention")(x)
        return x + linen.Dense(8, name="dense")(x), None


class Net(linen.Module):
    @linen.compact
    def __call__(self, x):
        stack = linen.scan(
            Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=4
        )
        return stack(name="blocks")(x, None)[0]


def test_a_stack_of_layers_in_linen():
    shapes = jax.eval_shape(Net().init, jax.random.key(0), jnp.ones((2, 3, 8)))
    params = jax.tree.map(lambda leaf: np.ones(leaf.shape, "f4"), shapes["params"])
    pruned = running.quick_jit(lambda p: sparsity.make_mask(p, 0.8))(params)
    whole = jax.tree.map(lambda mask: bool(np.all(mask)), pruned)["blocks"]
    assert whole["norm"] == {"bias": True, "scale": True}
    assert whole["dense"] == {"bias": True, "kernel": False}
    assert whole["attention"]["query"] == {"bias": True, "kernel": False}
    assert params["blocks"]["attention"]["query"]["bias"].shape == (4, 2, 4)


def test_a_stack_of_layers_in_nnx():
    make = nnx.vmap(lambda rngs: nnx.BatchNorm(8, rngs=rngs), in_axes=0, out_axes=0)
    model = nnx.eval_shape(lambda: make(nnx.Rngs(0).split(4)))
    state = nnx.state(model, nnx.Param)
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [(4, 8)] * 2
    assert not any(jax.tree.leaves(kernels(state)))
