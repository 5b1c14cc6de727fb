import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import neat_optax as neo
import running
from neat_optax import read_activities
from neat_optax.continual import layer_activity
from properties import assert_trees_close

RNG = np.random.default_rng(0)
SMALL = {"rtol": 1e-5, "atol": 1e-6}


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


DENSE = {
    "first": {"kernel": normal(3, 4), "bias": normal(4)},
    "second": {"kernel": normal(4, 5)},
    "table": normal(7, 3),
    "head": normal(2, 5),
}
ROWS = np.array([[0, 6, 6, 1], [5, 6, 0, 6]])


def dense(params, rows):
    """An embedding, a layer that is scaled, one that is used twice, one on the left."""
    x = params["table"][rows].reshape(8, 3)
    bias = params["first"]["bias"][None]
    hidden = jax.nn.gelu(x @ params["first"]["kernel"] + bias)
    hidden = hidden - jnp.mean(hidden, axis=-1, keepdims=True)
    second = jnp.tanh(hidden @ params["second"]["kernel"])
    out = jnp.einsum("hk,tk->th", params["head"], second)
    more = jax.nn.relu(2 * hidden @ params["second"]["kernel"])
    return out + jnp.einsum("hk,tk->th", params["head"], more)


def dense_by_hand(params, rows):
    x = params["table"][rows].reshape(-1, 3)
    hidden = x @ params["first"]["kernel"] + params["first"]["bias"]
    hidden = np.asarray(jax.nn.gelu(hidden))
    hidden = hidden - hidden.mean(axis=1, keepdims=True)
    uses = [hidden @ params["second"]["kernel"]]
    uses = [np.tanh(uses[0]), np.maximum(2 * uses[0], 0)]
    means = {
        "first": 1.5 * hidden.mean(axis=0),  # as it is, and twice
        "second": (uses[0].mean(axis=0) + uses[1].mean(axis=0)) / 2,
    }
    sizes = {
        "first": 1.5 * np.abs(hidden).mean(axis=0),
        "second": (np.abs(uses[0]).mean(axis=0) + np.abs(uses[1]).mean(axis=0)) / 2,
    }
    lengths = {
        "first": np.linalg.norm(x, axis=0)[:, None],
        "second": np.linalg.norm(np.concatenate([hidden, 2 * hidden]), axis=0)[:, None],
        "table": np.sqrt(np.bincount(rows.ravel(), minlength=7))[:, None],
        "head": np.linalg.norm(np.concatenate(uses), axis=0)[None],
    }
    shapes = {"first": (3, 4), "second": (4, 5), "table": (7, 3), "head": (2, 5)}
    return sizes, means, {k: np.broadcast_to(x, shapes[k]) for k, x in lengths.items()}


def test_dense_layers_by_hand():
    read = running.quick_jit(read_activities(dense))
    found = jax.device_get(read(DENSE, ROWS))
    sizes, means, lengths = dense_by_hand(DENSE, ROWS)
    assert_trees_close(found.unit_activity, sizes, **SMALL)
    assert_trees_close(found.unit_mean, means, **SMALL)
    norms = found.input_norms
    assert norms["first"].pop("bias") is None
    flat = {name: jax.tree.leaves(norm)[0] for name, norm in norms.items()}
    assert_trees_close(flat, lengths, **SMALL)


class Convolutional(nn.Module):
    """Pooled, normalized, flattened, and dropped out."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.relu(nn.Conv(3, (3, 3), name="one")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.Conv(4, (2, 2), strides=2, padding="VALID", name="two")(x)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.gelu(x).reshape(len(x), -1)
        x = nn.LayerNorm(name="scaled")(nn.Dense(5, name="three")(x))
        x = nn.Dropout(0.5, deterministic=not train)(nn.tanh(x))
        return nn.Dense(2, name="head")(x)


IMAGES = normal(3, 8, 8, 2)


@functools.cache
def convolutional():
    model = Convolutional()
    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    return model, jax.tree.map(lambda x: np.abs(normal(*x.shape)), shapes)


def by_hook(model, variables, x):
    """What Flax records, after the functions that follow."""
    how = {"capture_intermediates": True, "mutable": ["intermediates"]}
    outputs, recorded = model.apply(variables, x, **how)
    after = {"one": ("one", nn.relu), "two": ("norm", nn.gelu)}
    after |= {"three": ("scaled", nn.tanh)}
    activity = {
        name: layer_activity(recorded, [layer], function)[layer]
        for name, (layer, function) in after.items()
    }
    return outputs, activity


def squares_seen(x, kernel):
    """What each weight of the first convolution multiplies, squared and summed up."""
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]) ** 2
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    sums = windows.sum(axis=(0, 1, 2)).transpose(1, 2, 0)[..., None]
    return np.broadcast_to(sums, kernel.shape)


def test_convolutions_of_linen_against_hooks():
    model, variables = convolutional()

    @running.quick_jit
    def both(variables, x):
        apply_fn = lambda params, x: model.apply({**variables, "params": params}, x)  # noqa: E731
        return read_activities(apply_fn)(variables["params"], x), by_hook(
            model, variables, x
        )

    found, (outputs, activity) = jax.device_get(both(variables, IMAGES))
    assert_trees_close(found.unit_activity, activity, **SMALL)
    np.testing.assert_allclose(found.outputs, outputs, **SMALL)
    kernel = variables["params"]["one"]["kernel"]
    expected = np.sqrt(squares_seen(IMAGES, kernel))
    norm = found.input_norms["one"]["kernel"]
    np.testing.assert_allclose(norm, expected, rtol=1e-5)


def test_a_flag_and_statistics_in_training_mode():
    """Arguments that are no arrays are no part of the program."""
    model, variables = convolutional()

    def apply_fn(variables, x, *, train):
        rngs = {"dropout": jax.random.key(0)}
        how = {"train": train, "rngs": rngs, "mutable": ["batch_stats"]}
        return model.apply(variables, x, **how)

    read = functools.partial(read_activities(apply_fn), train=True)
    found = jax.eval_shape(read, variables, IMAGES)
    assert {k: v.shape for k, v in found.unit_activity.items()} == {
        "params/one": (3,),
        "params/two": (4,),
        "params/three": (5,),
    }
    _, statistics = found.outputs
    assert statistics["batch_stats"]["norm"]["mean"].shape == (4,)


class Residual(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(2, 6, rngs=rngs)
        self.norm = nnx.BatchNorm(6, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(6, 6, rngs=rngs) for _ in range(2)])
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(6, 1, rngs=rngs)

    def __call__(self, x):
        hidden = nnx.relu(self.norm(self.first(x)))
        inner = nnx.silu(self.blocks[0](hidden))
        return self.head(hidden + self.dropout(self.blocks[1](inner)))


@pytest.mark.slow
def test_nnx_in_a_training_step():
    """One forward pass: activities, statistics and gradients of it."""
    x, y = normal(8, 2), normal(8, 1)
    layers = {"first": "blocks/0", "blocks/0": "blocks/1"}
    tx = neo.continual.reset_dormant(optax.sgd(0.1), layers, every=2)

    @nnx.jit(static_argnums=0)
    def step(read, model, optimizer):
        def loss_fn(model):
            if not read:
                return jnp.mean((model(x) - y) ** 2), None
            found = read_activities(lambda model, x: model(x))(model, x)
            return jnp.mean((found.outputs - y) ** 2), found.unit_activity

        (loss, activity), grads = nnx.value_and_grad(loss_fn, has_aux=True)(model)
        if read:
            optimizer.update(model, grads, unit_activity=activity)
        return loss, grads, activity

    found = []
    for read in (True, False):
        model = Residual(nnx.Rngs(0))
        optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
        loss, grads, activity = step(read, model, optimizer)
        rest = model.norm.mean[...], model.dropout.rngs.count[...]
        found.append((loss, nnx.to_pure_dict(grads), rest))
        if read:
            assert sorted(activity) == ["blocks/0", "first"]
    assert_trees_close(*jax.device_get(found), **SMALL)
    assert found[0][2][1] == 1


@pytest.mark.slow
def test_norms_of_inputs_prune_by_wanda():
    mask = {"first": {"kernel": True, "bias": False}, "second": True}
    mask |= {"table": False, "head": False}
    norms = jax.jit(read_activities(dense))(DENSE, ROWS).input_norms
    kept = neo.sparsity.make_mask(
        DENSE, 0.5, score=neo.sparsity.wanda, mask=mask, input_norms=norms
    )
    scores = np.abs(DENSE["second"]["kernel"]) * norms["second"]["kernel"]
    lowest = np.sort(scores.ravel())[scores.size // 2]
    np.testing.assert_array_equal(kept["second"]["kernel"], scores >= lowest)


@pytest.mark.slow
def test_nothing_goes_through_activities_to_derivatives():
    def total(params):
        found = read_activities(dense)(params, ROWS)
        return sum(map(jnp.sum, jax.tree.leaves((found.unit_mean, found.input_norms))))

    slopes = running.quick_jit(jax.grad(total))(DENSE)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slopes))


def test_errors():
    with pytest.raises(ValueError, match="`apply_fn` must be a function"):
        read_activities(None)
    with pytest.raises(ValueError, match="`params` must have floating or complex"):
        read_activities(dense)({"table": np.ones(3, int)}, ROWS)
