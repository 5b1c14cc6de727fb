"""What arrays are for: a kernel, or numbers for each unit, by name and place.

The number of axes does not say it: stacked layers, as of `nn.scan`, have scales
[layers, units], and attention has biases [heads, units].
"""

import re
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

_KERNEL = re.compile(r"kernel|embedding")
_OF_UNITS = re.compile(r"(.*_)?(bias|scale|offset|gamma|beta)|bias_.*")
_NORMALIZATION = re.compile(r".*norm.*|(ln|bn|gn)(\d|_.*)?", re.IGNORECASE)


def are_kernels(paths: Sequence[str], leaves: Sequence[Any]) -> list[bool]:
    """Which of the arrays with those paths are kernels, as far as can be told.

    A kernel has two axes or more. A bias or a scale is none, nor is what a layer of
    normalization holds, nor `b` beside `w`. Other names say nothing.
    """
    known = set(paths)
    pairs = zip(paths, leaves, strict=True)
    return [jnp.ndim(leaf) > 1 and not _of_units(path, known) for path, leaf in pairs]


def _of_units(path: str, known: set[str]) -> bool:
    """Whether a name or a place says that an array has numbers for each unit."""
    place, _, name = path.rpartition("/")
    if _KERNEL.fullmatch(name):
        return False
    if _OF_UNITS.fullmatch(name):
        return True
    if name == "b" and f"{place}/w".removeprefix("/") in known:
        return True
    layers = [part for part in place.split("/") if not part.isdigit()]
    return bool(layers) and _NORMALIZATION.fullmatch(layers[-1]) is not None
