"""Kernels as matrices from inputs to outputs, and which bias belongs to which kernel.

A Flax kernel is [positions, inputs, outputs]. Attention has several axes of inputs or
of outputs, and stacked layers, as of `nn.scan`, have one in front. A bias beside the
kernel, or its place in the model, says which; embeddings are no kernels here.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _roles, _tree

_PROJECTIONS = ("query", "key", "value")


class Layout(NamedTuple):
    """How many axes of a kernel are for what, from the front to the back.

    Those between positions and outputs are for inputs.
    """

    stacked: int
    positions: int
    outputs: int


class Layers(NamedTuple):
    """The kernels of a tree of parameters, and the biases beside them, by number."""

    kernels: Mapping[int, Layout]
    biases: Mapping[int, int]  # the number of the kernel


def find_layers(params: Any) -> Layers:
    """All kernels and their biases."""
    leaves, paths = jax.tree.leaves(params), _tree.leaf_names(params)
    flags = _roles.are_kernels(paths, leaves)
    numbers = [n for n, path in enumerate(paths) if flags[n] and not _embeds(path)]
    places: dict[str, list[int]] = {}
    for n in numbers:
        places.setdefault(_place(paths[n]), []).append(n)
    biases = {}
    for n, path in enumerate(paths):
        beside = places.get(_place(path), [])
        if _name(path) in ("bias", "b") and len(beside) == 1:
            biases[n] = beside[0]
    shapes = {kernel: jnp.shape(leaves[bias]) for bias, kernel in biases.items()}
    layouts = {n: _layout(paths, n, leaves[n].shape, shapes.get(n)) for n in numbers}
    return Layers(layouts, biases)


def _place(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _embeds(path: str) -> bool:
    return _name(path) == "embedding"


def _layout(
    paths: Sequence[str],
    number: int,
    shape: tuple[int, ...],
    bias: tuple[int, ...] | None,
) -> Layout:
    module = _name(_place(paths[number]))
    stacked, outputs = 0, 1
    if bias is not None:
        stacked, outputs = _by_bias(shape, bias)
    elif module in _PROJECTIONS and len(shape) > 2:
        outputs = 2
    rest = len(shape) - stacked - outputs
    return Layout(stacked, 0 if _joins_heads(paths, number) else rest - 1, outputs)


def _by_bias(shape: tuple[int, ...], bias: tuple[int, ...]) -> tuple[int, int]:
    """Axes in front that number layers, and axes of outputs, which a bias has too."""
    if 0 < len(bias) < len(shape) and shape[-len(bias) :] == bias:
        return 0, len(bias)
    for stacked in range(1, len(bias)):
        outputs = len(bias) - stacked
        fits = shape[:stacked] == bias[:stacked] and shape[-outputs:] == bias[stacked:]
        if fits and stacked + outputs < len(shape):
            return stacked, outputs
    return 0, 1


def _joins_heads(paths: Sequence[str], number: int) -> bool:
    """Whether a kernel is the last projection of an attention, whose inputs are heads.

    It has the shape of a convolution's.
    """
    place = _place(paths[number])
    beside = f"{_place(place)}/query/".removeprefix("/")
    return _name(place) == "out" and any(path.startswith(beside) for path in paths)


def tensors(kernel: jax.Array, layout: Layout) -> jax.Array:
    """A kernel as [layers, positions, inputs, outputs]."""
    first, last = layout.stacked, kernel.ndim - layout.outputs
    middle = first + layout.positions
    ends = (0, first, middle, last, kernel.ndim)
    sizes = [math.prod(kernel.shape[a:b]) for a, b in itertools.pairwise(ends)]
    return _tree.unsharded(kernel).reshape(sizes)


def matrices(kernel: jax.Array, layout: Layout) -> jax.Array:
    """A kernel as [layers, positions and inputs, outputs]."""
    found = tensors(kernel, layout)
    layers, positions, inputs, outputs = found.shape
    return found.reshape(layers, positions * inputs, outputs)


def like_kernel(found: jax.Array, kernel: jax.Array) -> jax.Array:
    """What was computed of a kernel's matrices, in its shape and on its devices."""
    found, sharding = found.reshape(kernel.shape), _tree.explicit_sharding(kernel)
    return found if sharding is None else jax.reshard(found, sharding)


def fan_in(shape: tuple[int, ...], layout: Layout) -> int:
    """How many numbers each output of a kernel is a sum over."""
    return math.prod(shape[layout.stacked : len(shape) - layout.outputs])


def axes_of_unit(
    shape: tuple[int, ...], number: int, layers: Layers
) -> tuple[int, ...]:
    """Over which axes an array's entries belong together.

    They are all that come into one unit for a kernel, all of one layer for its bias,
    and the whole of any other array.
    """
    if number in layers.kernels:
        layout = layers.kernels[number]
        return tuple(range(layout.stacked, len(shape) - layout.outputs))
    if number in layers.biases:
        layout = layers.kernels[layers.biases[number]]
        return tuple(range(layout.stacked, len(shape)))
    return tuple(range(len(shape)))


def add(updates: Any, params: Any, pulls: Mapping[int, jax.Array], amount: Any) -> Any:
    """Updates with an amount of the arrays that some of them have, by number."""
    treedef = jax.tree.structure(params)
    moves = treedef.flatten_up_to(updates)
    for n, pull in pulls.items():
        moves[n] = (moves[n] + amount * pull).astype(moves[n].dtype)
    return treedef.unflatten(moves)
