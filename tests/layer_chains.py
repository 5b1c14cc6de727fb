"""Chains of layers as plain dictionaries, with what their units do."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
import running

LAYERS = ("first", "second", "head")
DEAD = (("first", 2), ("first", 5), ("second", 1))
SIZES = (3, 8, 6, 2)
ACTIVITY = {
    "first": np.array([5.0, 4.0, 0.1, 6.0, 3.0, 7.0, 8.0, 9.0], np.float32),
    "second": np.array([5.0, 0.1, 4.0, 6.0, 3.0, 7.0], np.float32),
}
SPECS = {
    "first": {"kernel": P(None, "data"), "bias": P("data")},
    "second": {"kernel": P("data", None), "bias": P()},
    "head": {"kernel": P(), "bias": P()},
}


def dense_params(seed=0, sizes=SIZES, dtype=np.float32):
    """Layers whose units are all active."""
    rng = np.random.default_rng(seed)
    pairs = itertools.pairwise(sizes)
    return {
        name: {
            "kernel": np.asarray(rng.normal(size=(a, b)) / np.sqrt(a), dtype),
            "bias": np.asarray(0.5 + 0.1 * rng.normal(size=b), dtype),
        }
        for name, (a, b) in zip(LAYERS, pairs, strict=True)
    }


def forward(params, x):
    """The output, and the activity of the hidden layers."""
    activity = {}
    for name in LAYERS[:-1]:
        x = jax.nn.relu(x @ params[name]["kernel"] + params[name]["bias"][None])
        activity[name] = jnp.mean(x, axis=0)
    return x @ params["head"]["kernel"] + params["head"]["bias"][None], activity


def inputs(count=32, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def sines(params):
    """Gradients that differ everywhere."""
    return jax.tree.map(lambda p: jnp.sin(40 * p + 1), params)


def still(params):
    """Gradients of zero."""
    return jax.tree.map(jnp.zeros_like, params)


def silence(params, layer, unit, bias=-100.0):
    """The parameters with a unit that never fires."""
    changed = {name: dict(arrays) for name, arrays in params.items()}
    changed[layer]["bias"] = np.array(changed[layer]["bias"])
    changed[layer]["bias"][unit] = bias
    return changed


def with_dead_units():
    params = dense_params()
    for layer, unit in DEAD:
        params = silence(params, layer, unit)
    return params


def place(params, mesh):
    """On a mesh, with the units of the first layer divided among its devices."""
    return jax.tree.map(
        lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), params, SPECS
    )


def train(tx, params, steps, activity=None, grads=sines):
    """Parameters and states after each step.

    What stands around an optimizer is compiled apart from it, and so changes none of
    its roundings.
    """
    state, visited = running.quick_jit(tx.init)(params), []
    update = running.quick_jit(tx.update)
    for _ in range(steps):
        given = FORWARD(params, inputs())[1] if activity is None else activity
        moves = GRADIENTS[grads](params)
        updates, state = update(moves, state, params, unit_activity=given)
        params = APPLY(params, updates)
        visited.append(jax.tree.map(np.asarray, (params, state)))
    return visited


def one_step(tx, carry, activity=None, grads=sines):
    """The next parameters and state."""
    params, state = carry
    given = forward(params, inputs())[1] if activity is None else activity
    updates, state = tx.update(grads(params), state, params, unit_activity=given)
    return optax.apply_updates(params, updates), state


def each(stacked, steps):
    """A list of the entries along the first axis."""
    arrays = jax.tree.map(np.asarray, stacked)
    return [jax.tree.map(lambda x, n=n: x[n], arrays) for n in range(steps)]


FORWARD, APPLY = jax.jit(forward), jax.jit(optax.apply_updates)
GRADIENTS = {grads: jax.jit(grads) for grads in (sines, still)}


OPTIMIZERS = {
    "adam": (optax.adam(0.01), lambda s: [s[0].mu, s[0].nu]),
    "momentum": (optax.sgd(0.01, momentum=0.9), lambda s: [s[0].trace]),
    "neat": (neo.neat(0.01, beta=0.9), None),
    "clipped": (
        optax.chain(optax.clip_by_global_norm(1.0), optax.lion(0.01)),
        lambda s: [s[1][0].mu],
    ),
    "injected": (
        optax.inject_hyperparams(optax.adam)(0.01),
        lambda s: [s.inner_state[0].mu, s.inner_state[0].nu],
    ),
}


def memories(name, state):
    """The trees like the parameters in the state of one of `OPTIMIZERS`."""
    optimizer, read = OPTIMIZERS[name]
    if read is not None:
        return read(state)
    found = []
    optax.tree.map_params(
        optimizer,
        found.append,
        state,
        transform_non_params=lambda _: None,
        is_leaf=lambda node: isinstance(node, dict),
    )
    return found


def touched(hidden, params):
    """For each array, which entries belong to a unit `(layer, unit)` of `hidden`."""
    marks = jax.tree.map(lambda p: np.zeros(p.shape, bool), params)
    for layer, unit in hidden:
        marks[layer]["kernel"][..., unit] = True
        marks[layer]["bias"][unit] = True
        following = LAYERS[LAYERS.index(layer) + 1]
        count = params[layer]["kernel"].shape[-1]
        marks[following]["kernel"][..., unit::count, :] = True
    return marks
