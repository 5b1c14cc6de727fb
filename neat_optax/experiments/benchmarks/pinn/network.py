"""A tanh network whose parameters are one vector."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from neat_optax.experiments.benchmarks.pinn.problem import Jet

Layers = list[tuple[jax.Array, jax.Array]]
"""Kernel [inputs, outputs] and bias [outputs] of each layer."""


class Network(NamedTuple):
    """Functions of a vector of parameters: a step is then few large operations."""

    init: Callable[[jax.Array], jax.Array]  # from a key, by Xavier's rule
    layers: Callable[[jax.Array], Layers]
    apply: Callable[[jax.Array, jax.Array], jax.Array]  # parameters, points
    jet: Callable[[jax.Array, jax.Array, Sequence[int]], Jet]


def make_network(inputs: int, outputs: int, width: int, hidden: int) -> Network:
    """A network with tanh after all layers but the last.

    Args:
      inputs: coordinates of a point.
      outputs: values there.
      width: of each hidden layer.
      hidden: how many of those there are.
    """
    sizes = (inputs, *[width] * hidden, outputs)
    shapes = list(itertools.pairwise(sizes))
    blank = [(np.zeros(shape), np.zeros(shape[1])) for shape in shapes]
    layers = ravel_pytree(jax.tree.map(jnp.asarray, blank))[1]
    xavier = jax.nn.initializers.glorot_normal()

    def init(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, len(shapes))
        drawn = [
            (xavier(own, shape), jnp.zeros(shape[1]))
            for own, shape in zip(keys, shapes, strict=True)
        ]
        return ravel_pytree(drawn)[0]

    def apply(params: jax.Array, points: jax.Array) -> jax.Array:
        *before, (kernel, bias) = layers(params)
        for own, shift in before:
            points = jnp.tanh(points @ own + shift[None])
        return points @ kernel + bias[None]

    def jet(params: jax.Array, points: jax.Array, second: Sequence[int]) -> Jet:
        return _jet(layers(params), points, second)

    return Network(init, layers, apply, jet)


def _jet(layers: Layers, points: jax.Array, second: Sequence[int]) -> Jet:
    """Carries the value and its derivatives through all layers side by side.

    One product of matrices serves all of them, and points are columns: half the time of
    nested derivatives in forward mode.
    """
    count, inputs = points.shape
    unit = jnp.broadcast_to(jnp.eye(inputs)[:, :, None], (inputs, inputs, count))
    parts = [points.T, *unit, *[jnp.zeros_like(points.T)] * len(second)]
    for number, (kernel, bias) in enumerate(layers):
        wide = kernel.T @ jnp.concatenate(parts, axis=1)
        value, *slopes = jnp.split(wide, len(parts), axis=1)
        value = value + bias[:, None]
        if number < len(layers) - 1:
            value, slopes = _tanh(value, slopes, inputs, second)
        parts = [value, *slopes]
    value, *slopes = (part.T for part in parts)
    bent = dict(zip(second, slopes[inputs:], strict=True))
    return Jet(value, tuple(slopes[:inputs]), bent)


def _tanh(
    value: jax.Array, slopes: list[jax.Array], inputs: int, second: Sequence[int]
):
    value = jnp.tanh(value)
    gain = 1 - value**2
    first, bent = slopes[:inputs], slopes[inputs:]
    curved = [
        gain * (own - 2 * value * first[number] ** 2)
        for number, own in zip(second, bent, strict=True)
    ]
    return value, [*(gain * own for own in first), *curved]


def on_layers(
    tx: optax.GradientTransformation, layers: Callable[[jax.Array], Layers]
) -> optax.GradientTransformationExtraArgs:
    """Shows a transformation kernels and biases where updates are one vector.

    Args:
      tx: of updates like the layers, with a player axis where the vectors have one.
      layers: of a network.
    """
    tx = optax.with_extra_args_support(tx)

    def opened(vector: Any) -> Any:
        split = layers if jnp.ndim(vector) == 1 else jax.vmap(layers)
        return None if vector is None else split(vector)

    def init_fn(params: Any) -> Any:
        return tx.init(opened(params))

    def update_fn(updates: Any, state: Any, params: Any = None, **extra_args: Any):
        found, state = tx.update(opened(updates), state, opened(params), **extra_args)
        return ravel_pytree(found)[0], state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
