import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from neat_optax.experiments import models
from neat_optax.experiments.models import cnn, heads, mlp, resnet, transformer

IMAGES = (8, 8, 3)
TOKENS, LENGTH = 11, 6
MAKE = {
    "mlp": lambda rngs: models.MLP(192, 10, rngs=rngs),
    "cnn": lambda rngs: models.CNN(IMAGES, 10, rngs=rngs),
    "resnet": lambda rngs: models.ResNet(IMAGES, 10, rngs=rngs),
    "heads": lambda rngs: models.MultiHead(
        models.ConvTrunk(IMAGES, rngs=rngs), 2, 10, rngs=rngs
    ),
    "text": lambda rngs: models.Transformer(TOKENS, LENGTH, 10, rngs=rngs),
    "characters": lambda rngs: models.Transformer(
        TOKENS, LENGTH, 10, causal=True, rngs=rngs
    ),
}
SIZES = {
    "mlp": 192 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10,
    "cnn": 27 * 16 + 16 + 144 * 32 + 32 + 128 * 64 + 64 + 650,
    "heads": 27 * 16 + 16 + 144 * 32 + 32 + 128 * 64 + 64 + 2 * 650,
    # convolutions, projections, two numbers for each channel that is normalized
    "resnet": 432
    + (2 * 2304 + 4608 + 9216 + 18432 + 36864)
    + (512 + 2048)
    + 2 * (16 + 16 + 16 + 32 + 32 + 64 + 64)
    + 650,
    # embeddings; twice attention, norms and dense layers; the last norm
    "text": (TOKENS + LENGTH) * 64 + 2 * (4 * 4160 + 4 * 64 + 33088) + 128 + 650,
}
SIZES["characters"] = SIZES["text"]


def inputs(name, count=3):
    rng = np.random.default_rng(0)
    if name in ("text", "characters"):
        return rng.integers(2, TOKENS, (count, LENGTH)).astype(np.int32)
    return rng.normal(size=(count, 192)).astype(np.float32)


@pytest.mark.parametrize("name", list(MAKE))
def test_shapes_and_sizes(name):
    shapes = {"heads": (3, 2, 10), "characters": (3, LENGTH, 10)}

    def call(x):
        model = MAKE[name](nnx.Rngs(0))
        return model(x), nnx.state(model, nnx.Param)

    logits, params = jax.eval_shape(call, inputs(name))
    assert logits.shape == shapes.get(name, (3, 10))
    assert sum(x.size for x in jax.tree.leaves(params)) == SIZES[name]
    assert all(x.dtype == np.float32 for x in (logits, *jax.tree.leaves(params)))


@pytest.mark.parametrize("module", [cnn, heads, mlp, resnet, transformer])
def test_each_fits_on_a_page(module):
    assert len(inspect.getsource(module).splitlines()) < 80


@pytest.mark.parametrize("name", list(MAKE))
def test_nothing_but_parameters_is_in_a_model(name):
    """So that pure functions of parameters are whole, and players can be mapped."""
    state = nnx.eval_shape(lambda: nnx.state(MAKE[name](nnx.Rngs(0))))
    assert all(isinstance(x, nnx.Param) for x in jax.tree.leaves(state, is_leaf=param))


def param(x):
    return isinstance(x, nnx.Variable)


def test_a_head_for_each_label_on_one_trunk():
    def make():
        rngs = nnx.Rngs(0)
        model = models.MultiHead(models.Trunk(103, rngs=rngs), 14, rngs=rngs)
        return model(jnp.ones((3, 103))), nnx.state(model, nnx.Param)

    logits, params = jax.eval_shape(make)
    assert logits.shape == (3, 14)
    trunk = sum(x.size for x in jax.tree.leaves(params["trunk"]))
    of_heads = sum(x.size for x in jax.tree.leaves(params["heads"]))
    assert trunk == 103 * 128 + 128 + 128 * 64 + 64
    assert of_heads == 14 * (64 + 1)


def compiled(make):
    """A model with weights of NumPy, as a compiled function of its inputs."""
    graph, like = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))))
    rng = np.random.default_rng(2)
    weights = jax.tree.map(
        lambda x: rng.normal(scale=0.2, size=x.shape).astype(x.dtype), like
    )
    return jax.jit(lambda x: nnx.merge(graph, weights)(x))


def test_a_character_sees_no_later_one():
    first = inputs("characters", 2)
    other = first.copy()
    other[:, 4] = 12 - other[:, 4]
    call = compiled(MAKE["characters"])
    logits, changed = np.asarray(call(first)), np.asarray(call(other))
    np.testing.assert_array_equal(logits[:, :4], changed[:, :4])
    assert (np.abs(logits[:, 4:] - changed[:, 4:]).max(axis=(0, 2)) > 1e-4).all()


def test_padding_changes_nothing_and_a_blank_row_is_finite():
    call = compiled(MAKE["text"])
    rows = inputs("text", 2)
    rows[0, 3:] = 0
    rows[1] = 0
    logits = np.asarray(call(rows))
    assert np.isfinite(logits).all()
    alone = np.asarray(call(rows[:1, :3]))
    np.testing.assert_allclose(alone[0], logits[0], rtol=1e-4, atol=1e-5)


def test_an_example_of_a_resnet_does_not_see_the_others():
    call = compiled(MAKE["resnet"])
    x = inputs("resnet", 2)
    other = np.stack([x[0], 5 * x[1] + 3])
    np.testing.assert_array_equal(call(x)[0], call(other)[0])


def test_depth_counts_the_blocks_of_a_stage():
    deep = nnx.eval_shape(lambda: models.ResNet(IMAGES, 10, 3, rngs=nnx.Rngs(0)))
    strides = [block.conv1.strides for block in deep.trunk.blocks]
    assert [s if isinstance(s, int) else s[0] for s in strides] == [
        1, 1, 1, 2, 1, 1, 2, 1, 1
    ]  # fmt: skip
