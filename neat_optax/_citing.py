"""Who is to be cited for what a transformation does."""

import functools
import importlib.resources
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, TypeVar

import jax
import numpy as np

_Factory = TypeVar("_Factory", bound=Callable[..., Any])
_LEAVES = (str, bytes, int, float, complex, type(None), np.ndarray, np.generic)


def cites(*keys: str) -> Callable[[_Factory], _Factory]:
    """Names the entries of references.bib that a factory is to be cited with.

    What the factory returns is recognized by the functions that are defined inside it,
    or inside one of the same module that it calls and that is marked too.
    """

    def mark(factory: _Factory) -> _Factory:
        setattr(factory, "__cites__", keys)  # noqa: B010
        return factory

    return mark


def cite(*used: Any) -> str:
    """BibTeX entries of the papers behind transformations.

    Args:
      *used: transformations, chains of them, whatever is wrapped around them, functions
        that take gradients, or factories such as `aggregators.upgrad`.

    Returns:
      The entries in the order in which they are met, each once, apart by blank lines;
      an empty string where there is nothing to cite.

    Example:
      >>> import neat_optax as neo, optax
      >>> tx = optax.chain(neo.aggregators.upgrad(), optax.adam(1e-3))
      >>> print(neo.cite(tx).splitlines()[0])
      @article{quinton2024jacobian,
    """
    keys = dict.fromkeys(key for found in _walk(used) for key in _keys(found))
    return "\n\n".join(_entries()[key] for key in keys)


@functools.cache
def _entries() -> Mapping[str, str]:
    """Each entry of the file by its key."""
    text = (importlib.resources.files("neat_optax") / "references.bib").read_text()
    parts = re.split(r"^(?=@)", text, flags=re.MULTILINE)
    return {
        part.partition("{")[2].partition(",")[0]: part.strip()
        for part in parts
        if part.startswith("@")
    }


def _keys(found: Any) -> tuple[str, ...]:
    """The keys of a factory, or of the factory that a function was defined inside."""
    own = getattr(found, "__cites__", ())
    outer = getattr(found, "__qualname__", "").partition(".")[0]
    module = sys.modules.get(getattr(found, "__module__", None) or "")
    return own or getattr(getattr(module, outer, None), "__cites__", ())


def _walk(root: Any) -> Iterator[Any]:
    """All functions and objects that can be reached, each once, depth first."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        found = stack.pop()
        if id(found) in seen or isinstance(found, (*_LEAVES, jax.Array)):
            continue
        seen.add(id(found))
        yield found
        stack += reversed(_parts(found))


def _parts(found: Any) -> list[Any]:
    """What a function or an object holds."""
    if isinstance(found, Mapping):
        return list(found.values())
    if isinstance(found, (tuple, list, set, frozenset)):
        return list(found)
    if isinstance(found, functools.partial):
        return [found.func, *found.args, *found.keywords.values()]
    if inspect.ismethod(found):
        return [found.__self__, found.__func__]
    if isinstance(found, FunctionType):
        return [value for cell in found.__closure__ or () for value in _content(cell)]
    if inspect.ismodule(found) or inspect.isclass(found):
        return []
    return [*getattr(found, "__dict__", {}).values()]


def _content(cell: Any) -> list[Any]:
    """What a closure's cell holds, nothing where that is not bound yet."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []
