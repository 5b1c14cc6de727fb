"""Which hidden units of a chain of layers are dead, and the kernels without them.

A kernel is [..., in, out]. After a flatten its inputs are (positions, units), with the
units fastest; so every kernel is read as blocks [..., positions, units, out].
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Units(NamedTuple):
    """Booleans for the units of each layer, the output layer last."""

    kept: list[np.ndarray]
    """What stays."""
    silent: list[np.ndarray]
    """What is removed for its incoming weights alone, which is correct only if the
    activation maps 0 to 0."""


class Chain(NamedTuple):
    """The largest weights and biases of the layers, in their order."""

    links: list[np.ndarray]
    """For each layer [in units, units], the largest weight between the two."""
    biases: list[np.ndarray]
    """For each layer [units], the size of the bias, 0 where there is none."""


def measure_chain(
    kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray | None]
) -> Chain:
    """Sizes of weights in float64, in which those of every kernel are exact."""
    links, inputs = [], kernels[0].shape[-2]
    for kernel in kernels:
        sizes = np.abs(kernel.astype(np.float64))
        links.append(sizes.reshape(-1, inputs, kernel.shape[-1]).max(axis=0))
        inputs = kernel.shape[-1]
    pairs = zip(kernels, biases, strict=True)
    found = [np.zeros(k.shape[-1]) if b is None else b for k, b in pairs]
    return Chain(links, [np.abs(bias.astype(np.float64)) for bias in found])


def find_units(chain: Chain, levels: Sequence[float], zero_at_zero: bool) -> Units:
    """Removes dead units, from the last hidden layer backwards, until none is left.

    Removing one can only make others weaker, so this ends.

    Args:
      chain: the sizes of weights and biases.
      levels: the threshold for each layer, in the precision of its weights.
      zero_at_zero: whether a unit without input and bias is dead.

    Returns:
      What is kept, and what is removed because it has no input.
    """
    kept = [np.ones(link.shape[1], bool) for link in chain.links]
    silent = [~keep for keep in kept]
    before = None
    while before != (left := sum(int(keep.sum()) for keep in kept)):
        before = left
        for layer in reversed(range(len(kept) - 1)):
            alive = kept[layer]
            out, into = _strengths(chain, kept, layer)
            heard = out > levels[layer + 1]
            driven = (into > levels[layer]) | (not zero_at_zero)
            kept[layer] = _survivors(alive, heard, driven, out, into)
            silent[layer] |= alive & ~kept[layer] & heard
    return Units(kept, silent)


def _strengths(chain: Chain, kept: list[np.ndarray], layer: int):
    """The largest weights [units] to what is kept after, and from what is before."""
    out = chain.links[layer + 1][:, kept[layer + 1]].max(axis=1)
    link = chain.links[layer]
    before = kept[layer - 1] if layer else np.ones(len(link), bool)
    return out, np.maximum(link[before].max(axis=0, initial=0), chain.biases[layer])


def _survivors(
    alive: np.ndarray,
    heard: np.ndarray,
    driven: np.ndarray,
    out: np.ndarray,
    into: np.ndarray,
) -> np.ndarray:
    """The units with outgoing and incoming weights; if none, the strongest alive."""
    outgoing = alive & heard
    if not outgoing.any():
        outgoing = _strongest(alive, out)
    both = outgoing & driven
    return both if both.any() else _strongest(alive, np.maximum(out, into))


def _strongest(alive: np.ndarray, strength: np.ndarray) -> np.ndarray:
    return np.arange(len(alive)) == np.argmax(np.where(alive, strength, -1))


def cut_kernel(kernel: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The kernel between the kept units before and the kept units of this layer."""
    blocks = _blocks(kernel, rows)[..., rows, :][..., columns]
    *space, positions, inputs, units = blocks.shape
    return blocks.reshape(*space, positions * inputs, units)


def without_inputs(kernel: np.ndarray, dead: np.ndarray) -> np.ndarray:
    """The kernel with zeros in the rows of dead units of the layer before."""
    blocks = _blocks(kernel, dead).copy()
    blocks[..., dead, :] = 0
    return blocks.reshape(kernel.shape)


def without_outputs(array: np.ndarray, dead: np.ndarray) -> np.ndarray:
    """The kernel or bias with zeros in the columns of dead units of its own layer."""
    array = array.copy()
    array[..., dead] = 0
    return array


def _blocks(kernel: np.ndarray, units: np.ndarray) -> np.ndarray:
    *space, size, out = kernel.shape
    return kernel.reshape(*space, size // len(units), len(units), out)
