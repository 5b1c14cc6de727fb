"""A network with its chain of layers, and the same network without dead units."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax.sparsity.compaction import _dead_units as dead_units
from neat_optax.sparsity.compaction import _same_outputs as same_outputs
from neat_optax.sparsity.compaction._flax_models import (
    Network,
    is_concrete,
    on_host,
    read_network,
)
from neat_optax.sparsity.compaction._layer_order import (
    coarsest_precision,
    join,
    layer_order,
    trace,
)

_STRUCTURE = (
    "`model` must be a chain of layers, got one that {0}: a skip connection, a "
    "normalization layer, a flatten with channels first or another operation across "
    "units may lie between its layers."
)
_ACTIVATION = (
    "`zero_at_zero` must be False for this model, got True and outputs that differ by "
    "{0:.1e} of their size: an activation, as sigmoid does, may not map 0 to 0."
)
_DIFFERENT = _STRUCTURE.format(
    "computes something else without dead units, by {0:.1e} of its outputs"
)


class Plan(NamedTuple):
    """What does not depend on the threshold."""

    network: Network
    layers: tuple[str, ...]
    """The paths of the layers in their order."""
    run: same_outputs.Run
    """From arrays like the network's and inputs to outputs."""
    zero_at_zero: bool
    rebuild: Callable[[dict[str, int]], Any] | None
    inputs: list[tuple]
    """The example first, then the example with noise."""
    outputs: same_outputs.Outputs
    """What the network computes on them."""
    tolerance: float
    """Relative differences up to this are those of rounding."""


class Cut(NamedTuple):
    """A network without dead units."""

    model: Any
    variables: Any
    network: Network
    max_change: float


def make_plan(
    model: Any,
    x: Any,
    variables: Any,
    zero_at_zero: bool,
    layers: tuple[str, ...] | None,
    rebuild: Callable[[dict[str, int]], Any] | None,
) -> Plan:
    """Finds and checks the chain of layers, and runs the network on `x`."""
    network = read_network(model, variables, rebuild)
    x = _check_input(x)
    program = trace(network.apply, network.arrays, x)
    order = _check_names(layers, network)
    if order is None:
        order = layer_order(program, network.arrays)
    _check_layers(order, network)
    inputs = same_outputs.with_noise(x)
    run = same_outputs.compiled(program)
    outputs = run(network.arrays, inputs)
    if not all(np.isfinite(leaf).all() for leaf in outputs[0]):
        raise ValueError("`model` must give finite outputs on `x`, got others.")
    # Between the precision, which a sum in another order misses, and its square root.
    tolerance = coarsest_precision(program) ** (2 / 3)
    return Plan(network, order, run, zero_at_zero, rebuild, inputs, outputs, tolerance)


def _check_input(x: Any) -> tuple:
    arguments = x if isinstance(x, tuple) else (x,)
    for leaf in jax.tree.leaves(arguments):
        if hasattr(leaf, "dtype") and not is_concrete(leaf):
            raise ValueError(f"`x` must hold values, got the abstract array {leaf}.")
    return jax.tree.map(lambda x: on_host(x) if hasattr(x, "dtype") else x, arguments)


def _check_names(
    layers: tuple[str, ...] | None, network: Network
) -> tuple[str, ...] | None:
    if layers is None:
        return None
    if isinstance(layers, str) or len(set(layers)) != len(layers) or not layers:
        raise ValueError(f"`layers` must be a tuple of distinct paths, got {layers!r}.")
    for name in layers:
        if name not in network.layers:
            raise ValueError(
                "`layers` must name Dense and Conv layers in one group, such as "
                f"{', '.join(network.layers)}, got {name!r}."
            )
    return tuple(layers)


def _check_layers(order: tuple[str, ...], network: Network) -> None:
    """Raises unless the layers can be resized and fit each other."""
    if not order:
        raise ValueError("`model` must have Dense or Conv layers, got none in use.")
    for name in order:
        if name not in network.layers:
            raise ValueError(
                "`model` must have nnx.Linear, nnx.Conv, nn.Dense or nn.Conv layers in "
                f"one group and without a mask, got another one at {name!r}."
            )
    kernels = [network.arrays[join(name, "kernel")] for name in order]
    for name, kernel in zip(order, kernels, strict=True):
        bias = network.arrays.get(join(name, "bias"))
        if bias is not None and bias.shape != kernel.shape[-1:]:
            raise ValueError(
                f"`model` must have one bias for each unit, got shape {bias.shape} at "
                f"{name!r}."
            )
        if not jnp.issubdtype(kernel.dtype, jnp.floating):
            raise ValueError(
                f"`model` must have floating kernels, got {kernel.dtype} at {name!r}."
            )
    for name, kernel, before in zip(order[1:], kernels[1:], kernels, strict=False):
        size, units = kernel.shape[-2], before.shape[-1]
        if size % units:
            raise ValueError(
                f"`model` must have layers that fit each other, got {size} inputs of "
                f"{name!r} after {units} units."
            )


def cut(plan: Plan, threshold: float) -> Cut | None:
    """The network without its dead units, verified; None if it has none."""
    kernels, biases = _weights(plan.network, plan.layers)
    chain = dead_units.measure_chain(kernels, biases)
    levels = [_rounded(threshold, kernel.dtype) for kernel in kernels]
    units = dead_units.find_units(chain, levels, plan.zero_at_zero)
    if all(kept.all() for kept in units.kept):
        return None
    arrays = _cut_arrays(plan, units.kept, plan.network.arrays)
    model, variables = plan.network.resize(arrays, plan.layers)
    small = read_network(model, variables, plan.rebuild if variables else None)
    run = _compiled_small(small, plan.inputs[0])
    outputs = run(arrays, plan.inputs)
    _verify(plan, units, run)
    if threshold == 0:
        _check(plan, outputs, plan.outputs, _DIFFERENT)
    pairs = zip(outputs[0], plan.outputs[0], strict=True)
    change = max((same_outputs.largest_change(a, b) for a, b in pairs), default=0.0)
    return Cut(model, variables, small, change)


def _weights(network: Network, layers: tuple[str, ...]) -> tuple[list, list]:
    kernels = [network.arrays[join(name, "kernel")] for name in layers]
    return kernels, [network.arrays.get(join(name, "bias")) for name in layers]


def _rounded(threshold: float, dtype: Any) -> float:
    """The threshold in the precision of the weights, as if they were compared in it."""
    with np.errstate(over="ignore"):
        return float(np.asarray(threshold).astype(dtype))


def _cut_arrays(
    plan: Plan, kept: list[np.ndarray], arrays: Mapping[str, Any]
) -> dict[str, Any]:
    arrays = dict(arrays)
    rows = np.ones(arrays[join(plan.layers[0], "kernel")].shape[-2], bool)
    for layer, columns in zip(plan.layers, kept, strict=True):
        kernel, bias = join(layer, "kernel"), join(layer, "bias")
        cut_kernel = dead_units.cut_kernel(arrays[kernel], rows, columns)
        arrays[kernel] = jax.device_put(cut_kernel)
        if bias in arrays:
            arrays[bias] = jax.device_put(arrays[bias][columns])
        rows = columns
    return arrays


def _compiled_small(network: Network, x: tuple) -> same_outputs.Run:
    try:
        return same_outputs.compiled(trace(network.apply, network.arrays, x))
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ValueError(
            _STRUCTURE.format(f"does not run with fewer units ({reason})")
        ) from error


def _check(
    plan: Plan,
    found: same_outputs.Outputs,
    expected: same_outputs.Outputs,
    message: str,
) -> None:
    difference = same_outputs.worst_difference(found, expected)
    if not difference <= plan.tolerance:
        raise ValueError(message.format(difference))


def _verify(plan: Plan, units: dead_units.Units, run: same_outputs.Run) -> None:
    """Compares with the network whose dead units are muted, under several weights."""
    given = plan.network.arrays
    names = [join(layer, name) for layer in plan.layers for name in ("kernel", "bias")]
    names = [name for name in names if name in given]
    others = [same_outputs.random(given, names, seed) for seed in range(2)]
    for arrays in (given, *others):
        found = run(_cut_arrays(plan, units.kept, arrays), plan.inputs)
        muted, starved = _without_dead(plan, units, arrays)
        _check(plan, found, plan.run(muted, plan.inputs), _DIFFERENT)
        _check(plan, found, plan.run(starved, plan.inputs), _ACTIVATION)


def _without_dead(
    plan: Plan, units: dead_units.Units, arrays: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arrays with zeros after all dead units; and with zeros before those silent."""
    muted, starved = dict(arrays), dict(arrays)
    for layer, after, kept, silent in zip(
        plan.layers, plan.layers[1:], units.kept, units.silent, strict=False
    ):
        _mute(muted, join(after, "kernel"), ~kept)
        _mute(starved, join(after, "kernel"), ~kept & ~silent)
        _starve(starved, layer, silent)
    return muted, starved


def _mute(arrays: dict[str, Any], kernel: str, dead: np.ndarray) -> None:
    arrays[kernel] = dead_units.without_inputs(arrays[kernel], dead)


def _starve(arrays: dict[str, Any], layer: str, dead: np.ndarray) -> None:
    """Zeroes what comes into units, which then give what the activation makes of 0."""
    for name in (join(layer, "kernel"), join(layer, "bias")):
        if name in arrays:
            arrays[name] = dead_units.without_outputs(arrays[name], dead)
