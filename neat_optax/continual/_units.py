"""Hidden units of layers that feed one another, and what is known of them.

A kernel is [..., in, out]. After a flatten its inputs are (positions, units), with the
units fastest.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree

Links = tuple[tuple[str, tuple[str, ...]], ...]
"""The path of each hidden layer, with those of the layers that its units feed."""


class Layer(NamedTuple):
    """A layer; kernel and bias by the numbers of their leaves."""

    kernel: int
    bias: int | None


class Hidden(NamedTuple):
    """A hidden layer, and the layers that its units feed."""

    layer: str
    units: int
    own: Layer
    next: tuple[Layer, ...]


def check_layers(layers: Any) -> Links:
    """The links of a chain, or of layers that feed several others; hashable."""
    if isinstance(layers, Mapping):
        return _check_links(layers)
    given = isinstance(layers, (tuple, list)) and all(
        isinstance(layer, str) for layer in layers
    )
    if not given or len(layers) == 1 or len(set(layers)) < len(layers):
        raise ValueError(
            "`layers` must be the paths of two layers or more, each once, in their "
            "order, or a mapping from the path of each hidden layer to those that it "
            f"feeds, got {layers!r}."
        )
    return tuple((one, (after,)) for one, after in itertools.pairwise(layers))


def _check_links(layers: Mapping[Any, Any]) -> Links:
    links, source = [], {}
    for layer, fed in layers.items():
        fed = (fed,) if isinstance(fed, str) else fed
        paths = isinstance(fed, (tuple, list)) and fed
        if not paths or not all(isinstance(path, str) for path in (layer, *fed)):
            raise ValueError(
                "`layers` must map the path of each hidden layer to one path or more, "
                f"got {fed!r} for {layer!r}."
            )
        links.append((layer, tuple(fed)))
        for path in fed:
            if source.setdefault(path, layer) != layer:
                raise ValueError(
                    "`layers` must feed each layer from one other, whose units are all "
                    f"of its inputs, got {path!r} after {source[path]!r} and {layer!r}."
                )
    return tuple(links)


def find_hidden(links: Links, params: optax.Params) -> tuple[Hidden, ...]:
    """The hidden layers: those that feed others.

    Raises:
      ValueError: if a layer has no kernel, is not of the kind of Dense and Conv, or
        the kernels do not fit each other.
    """
    numbers = {
        name.removesuffix("/value"): number
        for number, name in enumerate(_tree.leaf_names(params))
    }
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
    hidden = []
    for layer, fed in links:
        own, *after = (_find(path, numbers, shapes) for path in (layer, *fed))
        shape = shapes[own.kernel]
        for path, one in zip(fed, after, strict=True):
            _check_fit(layer, shape, path, shapes[one.kernel])
        hidden.append(Hidden(layer, shape[-1], own, tuple(after)))
    return tuple(hidden)


def _find(
    layer: str, numbers: Mapping[str, int], shapes: Sequence[tuple[int, ...]]
) -> Layer:
    kernel, bias = _kernel_of(layer, numbers, shapes), numbers.get(f"{layer}/bias")
    if bias is not None and shapes[bias] != shapes[kernel][-1:]:
        raise ValueError(
            "`layers` must be Dense and Conv layers with a bias of shape [units], got "
            f"{layer!r} with a bias of shape {shapes[bias]} beside a kernel of shape "
            f"{shapes[kernel]}."
        )
    return Layer(kernel, bias)


def _kernel_of(
    layer: str, numbers: Mapping[str, int], shapes: Sequence[tuple[int, ...]]
) -> int:
    number = numbers.get(f"{layer}/kernel")
    if number is None or len(shapes[number]) < 2:
        kernels = [name for name in numbers if name.endswith("/kernel")]
        known = [name.removesuffix("/kernel") for name in kernels]
        raise ValueError(
            "`layers` must be paths of layers with a kernel of two axes or more, got "
            f"{layer!r} where the kernels are in {', '.join(known) or 'no layer'}."
        )
    return number


def _check_fit(
    layer: str, shape: tuple[int, ...], following: str, after: tuple[int, ...]
) -> None:
    units, inputs = shape[-1], after[-2]
    conv_before_dense = len(shape) > 2 and len(after) == 2
    flattened = conv_before_dense and units and inputs % units == 0
    if inputs != units and not flattened:
        raise ValueError(
            "`layers` must be in the order in which they feed one another, got "
            f"{following!r} with a kernel of shape {after} after {layer!r} with "
            f"{units} units."
        )


def check_biases(name: str, links: Links, params: optax.Params) -> None:
    """Raises unless every layer that is fed has a bias, for what `name` asks for."""
    for one, (_, fed) in zip(find_hidden(links, params), links, strict=True):
        for path, layer in zip(fed, one.next, strict=True):
            if layer.bias is None:
                raise ValueError(
                    f"`{name}` must have a bias in each layer after a hidden one, got "
                    f"none in {path!r}."
                )


def per_layer(
    links: Links, params: optax.Params, make: Callable[[int], Any]
) -> tuple[Any, ...]:
    """`make(units)` for each hidden layer.

    Where a tree has no leaves, as when `optax.tree.map_params` asks for the structure
    of a state, the layers have no units.
    """
    if not jax.tree.leaves(params):
        return tuple(make(0) for _ in links)
    return tuple(make(one.units) for one in find_hidden(links, params))


def read_activity(
    activity: Any, hidden: Sequence[Hidden], caller: str
) -> list[jax.Array]:
    """The activities of each hidden layer, checked, in float32 or wider."""
    return list(map(jnp.abs, read_means("unit_activity", activity, hidden, caller)))


def read_means(
    name: str, means: Any, hidden: Sequence[Hidden], caller: str
) -> list[jax.Array]:
    """An extra argument with one number for each unit of each hidden layer."""
    if not hidden:
        return []
    _checks.check_given(name, means, caller)
    if not isinstance(means, Mapping):
        raise ValueError(
            f"`{name}` must be a mapping from the paths of layers to arrays "
            f"[units], got {type(means).__name__}."
        )
    return [_tree.unsharded(_of_layer(name, means, one)) for one in hidden]


def _of_layer(name: str, means: Mapping[str, Any], hidden: Hidden) -> jax.Array:
    if hidden.layer not in means:
        raise ValueError(
            f"`{name}` must have an entry for the layer {hidden.layer!r}, got "
            f"entries for {', '.join(map(str, means)) or 'no layer'}."
        )
    found = means[hidden.layer]
    if jnp.shape(found) != (hidden.units,):
        raise ValueError(
            f"`{name}` must have one number for each of the "
            f"{hidden.units} units of {hidden.layer!r}, got shape {jnp.shape(found)}."
        )
    return _tree.widen(jax.lax.stop_gradient(found))


def outgoing_weight(weights: Sequence[jax.Array], hidden: Hidden) -> jax.Array:
    """The sum of the sizes of the outgoing weights of each unit, over all layers."""
    sums = [_by_unit(weights[one.kernel], hidden.units) for one in hidden.next]
    return sum(sums[1:], sums[0])


def _by_unit(kernel: jax.Array, units: int) -> jax.Array:
    sizes = jnp.abs(_tree.widen(kernel))
    axes = tuple(axis for axis in range(kernel.ndim) if axis != kernel.ndim - 2)
    rows = _tree.unsharded(jnp.sum(sizes, axis=axes))
    return jnp.sum(rows.reshape(-1, units), axis=0)
