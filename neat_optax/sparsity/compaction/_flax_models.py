"""Flax models, NNX or linen, as pure functions of named arrays."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _tree
from neat_optax.sparsity.compaction._layer_order import join

Rebuild = Callable[[dict[str, int]], Any]


class Network(NamedTuple):
    """A model whose arrays have names such as `"trunk/first/kernel"`."""

    arrays: dict[str, Any]
    """All arrays, on the host: parameters, statistics, random keys."""
    parameters: tuple[str, ...]
    """The names of the parameters among them."""
    layers: tuple[str, ...]
    """The paths of the layers that can be resized."""
    apply: Callable[[Mapping[str, Any], tuple], Any]
    """From arrays and a tuple of inputs to the outputs."""
    resize: Callable[[Mapping[str, Any], tuple[str, ...]], tuple[Any, Any]]
    """From arrays and the names of the layers to a model, and variables or None."""


def read_network(model: Any, variables: Any, rebuild: Rebuild | None) -> Network:
    """Reads an NNX module, or a linen module and its variables."""
    linen, nnx = _import_flax()
    if isinstance(model, nnx.Module):
        for name, value in (("variables", variables), ("rebuild", rebuild)):
            if value is not None:
                raise ValueError(f"`{name}` must be None for an NNX model.")
        network = _read_nnx(model, nnx)
    elif isinstance(model, linen.Module):
        if not isinstance(variables, Mapping) or "params" not in variables:
            raise ValueError(
                '`variables` must be a dictionary with "params" for a linen model, '
                f"got {type(variables).__name__}."
            )
        network = _read_linen(model, variables, rebuild, linen)
    else:
        raise ValueError(
            "`model` must be an nnx.Module or a flax.linen.Module, got "
            f"{type(model).__name__}."
        )
    for name, array in network.arrays.items():
        if not is_concrete(array):
            raise ValueError(f"`model` must hold arrays, got {array} at {name}.")
    return network._replace(arrays={n: on_host(a) for n, a in network.arrays.items()})


def is_concrete(leaf: Any) -> bool:
    """Whether the values of an array are available, not traced."""
    if not isinstance(leaf, jax.Array):
        return isinstance(leaf, (np.ndarray, np.generic))
    try:
        return bool(leaf.devices())
    except jax.errors.ConcretizationTypeError:
        return False


def on_host(leaf: Any) -> Any:
    """An array without its sharding, which a smaller one could not have."""
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return leaf if is_key else np.asarray(leaf)


def _import_flax() -> tuple[Any, Any]:
    try:
        from flax import linen, nnx
    except ImportError as error:
        raise ImportError(
            "`model` must be a Flax model, and Flax is not installed: "
            'run pip install "neat-optax[train]".'
        ) from error
    return linen, nnx


def _names(tree: Any) -> list[str]:
    """Names of leaves, without what the box around an array adds to them."""
    return [name.removesuffix("/value") for name in _tree.leaf_names(tree)]


def _read_nnx(model: Any, nnx: Any) -> Network:
    graph, state = nnx.split(model)
    leaves, treedef = jax.tree.flatten(state)
    names = _names(state)

    def apply(arrays: Mapping[str, Any], x: tuple) -> Any:
        copy = nnx.merge(graph, treedef.unflatten([arrays[name] for name in names]))
        copy.eval()
        return copy(*x)

    def resize(arrays: Mapping[str, Any], layers: tuple[str, ...]) -> tuple[Any, None]:
        small = nnx.clone(model)
        modules = _nnx_layers(small, nnx)
        for layer in layers:
            bias = arrays.get(join(layer, "bias"))
            _resize_nnx(modules[layer], arrays[join(layer, "kernel")], bias)
        return small, None

    return Network(
        arrays=dict(zip(names, leaves, strict=True)),
        parameters=tuple(_names(nnx.state(model, nnx.Param))),
        layers=tuple(p for p in _nnx_layers(model, nnx) if join(p, "kernel") in names),
        apply=apply,
        resize=resize,
    )


def _nnx_layers(model: Any, nnx: Any) -> dict[str, Any]:
    """The Linear and Conv modules by path, without those of groups and masks."""
    layers = {
        "/".join(map(str, path)): module
        for path, module in nnx.iter_modules(model)
        if isinstance(module, (nnx.Linear, nnx.Conv))
    }
    return {
        path: module
        for path, module in layers.items()
        if getattr(module, "feature_group_count", 1) == 1
        and getattr(module, "mask", None) is None
    }


def _resize_nnx(module: Any, kernel: Any, bias: Any) -> None:
    """Gives a Linear or Conv module another kernel, and its sizes with it."""
    module.kernel = module.kernel.replace(kernel)
    if bias is not None:
        module.bias = module.bias.replace(bias)
    module.in_features, module.out_features = kernel.shape[-2:]
    if hasattr(module, "kernel_shape"):
        module.kernel_shape = kernel.shape


def _read_linen(model: Any, variables: Any, rebuild: Any, linen: Any) -> Network:
    leaves, treedef = jax.tree.flatten(variables)
    names = [name.removeprefix("params/") for name in _names(variables)]

    def apply(arrays: Mapping[str, Any], x: tuple) -> Any:
        return model.apply(treedef.unflatten([arrays[name] for name in names]), *x)

    def resize(arrays: Mapping[str, Any], layers: tuple[str, ...]) -> tuple[Any, Any]:
        widths = {p: int(arrays[join(p, "kernel")].shape[-1]) for p in layers}
        small = (
            _resize_sequential(model, widths, linen)
            if rebuild is None
            else rebuild(widths)
        )
        changed = {join(path, name) for path in layers for name in ("kernel", "bias")}
        pairs = zip(names, leaves, strict=True)
        new = [arrays[name] if name in changed else leaf for name, leaf in pairs]
        return small, treedef.unflatten(new)

    arrays = dict(zip(names, leaves, strict=True))
    parameters = tuple(_names(variables["params"]))
    paths = [name.rpartition("/") for name in parameters if np.ndim(arrays[name]) > 1]
    return Network(
        arrays=arrays,
        parameters=parameters,
        layers=tuple(path for path, _, name in paths if name == "kernel"),
        apply=apply,
        resize=resize,
    )


def _resize_sequential(model: Any, widths: dict[str, int], linen: Any) -> Any:
    """An `nn.Sequential` of Dense and Conv layers with other numbers of features."""
    layers = _sequential_layers(model, linen)
    if any(not isinstance(layers.get(p), (linen.Dense, linen.Conv)) for p in widths):
        raise ValueError(
            "`rebuild` must be given for a linen model that is not an nn.Sequential "
            "of Dense and Conv layers: a function from the features of each layer, "
            f"{widths}, to the smaller module."
        )
    return _clone_sequential(model, widths, linen)


def _sequential_layers(model: Any, linen: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(model, linen.Sequential):
        return {prefix: model}
    found: dict[str, Any] = {}
    for number, layer in enumerate(model.layers):
        path = join(prefix, f"layers_{number}")
        found |= _sequential_layers(layer, linen, path)
    return found


def _clone_sequential(
    model: Any, widths: dict[str, int], linen: Any, prefix: str = ""
) -> Any:
    if prefix in widths:
        return model.clone(features=widths[prefix])
    if not isinstance(model, linen.Sequential):
        return model
    layers = [
        _clone_sequential(layer, widths, linen, join(prefix, f"layers_{number}"))
        for number, layer in enumerate(model.layers)
    ]
    return model.clone(layers=layers)
