"""Hidden units of a chain of layers, and resetting them.

A kernel is [..., in, out]. After a flatten its inputs are (positions, units), with the
units fastest.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax.transforms._reset import reset_moments


class Hidden(NamedTuple):
    """A hidden layer; kernels and biases by the numbers of their leaves."""

    layer: str
    units: int
    kernel: int
    bias: int | None
    next: int  # the kernel that its units feed


def check_layers(layers: Any) -> tuple[str, ...]:
    """The paths of a chain of layers, or none; hashable."""
    given = isinstance(layers, (tuple, list)) and all(
        isinstance(layer, str) for layer in layers
    )
    if not given or len(layers) == 1 or len(set(layers)) < len(layers):
        raise ValueError(
            "`layers` must be the paths of two layers or more, each once, in their "
            f"order, got {layers!r}."
        )
    return tuple(layers)


def find_hidden(layers: Sequence[str], params: optax.Params) -> tuple[Hidden, ...]:
    """The hidden layers of a chain: all but the last, which gives the output.

    Raises:
      ValueError: if a layer has no kernel, or the kernels do not fit each other.
    """
    numbers = {
        name.removesuffix("/value"): number
        for number, name in enumerate(_tree.leaf_names(params))
    }
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
    kernels = [_kernel_of(layer, numbers, shapes) for layer in layers]
    hidden = []
    for index, layer in enumerate(layers[:-1]):
        shape, after = (shapes[kernel] for kernel in kernels[index : index + 2])
        _check_fit(layer, shape, layers[index + 1], after)
        bias = numbers.get(f"{layer}/bias")
        one = Hidden(layer, shape[-1], kernels[index], bias, kernels[index + 1])
        hidden.append(one)
    return tuple(hidden)


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
    flattened = len(after) == 2 and units and inputs % units == 0
    if inputs != units and not flattened:
        raise ValueError(
            "`layers` must be in the order in which they feed one another, got "
            f"{following!r} with a kernel of shape {after} after {layer!r} with "
            f"{units} units."
        )


def per_layer(
    layers: Sequence[str], params: optax.Params, make: Callable[[int], Any]
) -> tuple[Any, ...]:
    """`make(units)` for each hidden layer.

    Where a tree has no leaves, as when `optax.tree.map_params` asks for the structure
    of a state, the layers have no units.
    """
    if not jax.tree.leaves(params):
        return tuple(make(0) for _ in layers[:-1])
    return tuple(make(one.units) for one in find_hidden(layers, params))


def read_activity(
    activity: Any, hidden: Sequence[Hidden], caller: str
) -> list[jax.Array]:
    """The activities of each hidden layer, checked, in float32 or wider."""
    if not hidden:
        return []
    _checks.check_given("unit_activity", activity, caller)
    if not isinstance(activity, Mapping):
        raise ValueError(
            "`unit_activity` must be a mapping from the paths of layers to arrays "
            f"[units], got {type(activity).__name__}."
        )
    return [_tree.unsharded(_activity_of(activity, one)) for one in hidden]


def _activity_of(activity: Mapping[str, Any], hidden: Hidden) -> jax.Array:
    if hidden.layer not in activity:
        raise ValueError(
            f"`unit_activity` must have an entry for the layer {hidden.layer!r}, got "
            f"entries for {', '.join(map(str, activity)) or 'no layer'}."
        )
    found = activity[hidden.layer]
    if jnp.shape(found) != (hidden.units,):
        raise ValueError(
            "`unit_activity` must have one number for each of the "
            f"{hidden.units} units of {hidden.layer!r}, got shape {jnp.shape(found)}."
        )
    return jnp.abs(_tree.widen(jax.lax.stop_gradient(found)))


def outgoing_weight(kernel: jax.Array, units: int) -> jax.Array:
    """The sum of the sizes of the outgoing weights of each unit."""
    sizes = jnp.abs(_tree.widen(kernel))
    axes = tuple(axis for axis in range(kernel.ndim) if axis != kernel.ndim - 2)
    rows = _tree.unsharded(jnp.sum(sizes, axis=axes))
    return jnp.sum(rows.reshape(-1, units), axis=0)


def restart(
    optimizer: optax.GradientTransformationExtraArgs,
    hidden: tuple[Hidden, ...],
    init: Callable[..., jax.Array],
    units: Sequence[jax.Array],
    key: jax.Array,
    stepped: tuple[optax.Updates, optax.OptState],
    params: optax.Params,
) -> tuple[optax.Updates, optax.OptState]:
    """Resets some units after a step of the optimizer.

    Args:
      optimizer: whose step it was.
      hidden: the hidden layers.
      init: a function (key, shape, dtype) to a kernel.
      units: for each hidden layer [units], whether a unit is reset.
      key: for the new kernels.
      stepped: the updates and the state that the optimizer returned.
      params: the parameters before the step.

    Returns:
      The updates, which lead to the new weights of these units, and the state, with
      their moments reset.
    """
    if not hidden:
        return stepped
    updates, state = stepped
    found = jnp.any(jnp.stack([jnp.any(flags) for flags in units]))
    updates = _renew_if(hidden, init, found, units, key, updates, params)
    state = _forget_if(optimizer, hidden, found, units, state, updates, params)
    return updates, state


@functools.partial(jax.jit, static_argnames=("hidden", "init"))
def _renew_if(
    hidden: tuple[Hidden, ...],
    init: Callable[..., jax.Array],
    found: jax.Array,
    units: Sequence[jax.Array],
    key: jax.Array,
    updates: optax.Updates,
    params: optax.Params,
) -> optax.Updates:
    """Updates to new incoming weights, zero biases and zero outgoing weights."""
    weights, treedef = jax.tree.flatten(params)
    moves = treedef.flatten_up_to(updates)
    touched = sorted(_marks(hidden, units, weights))

    def renewed() -> list[jax.Array]:
        marks = _marks(hidden, units, weights)
        return [
            _move(moves[n], weights[n], marks[n], init, jax.random.fold_in(key, n))
            for n in touched
        ]

    def as_they_are() -> list[jax.Array]:
        return [moves[n].astype(_exact(moves[n], weights[n])) for n in touched]

    chosen = jax.lax.cond(found, renewed, as_they_are)
    for number, move in zip(touched, chosen, strict=True):
        moves[number] = move
    return treedef.unflatten(moves)


@functools.partial(jax.jit, static_argnames=("optimizer", "hidden"))
def _forget_if(
    optimizer: optax.GradientTransformationExtraArgs,
    hidden: tuple[Hidden, ...],
    found: jax.Array,
    units: Sequence[jax.Array],
    state: optax.OptState,
    updates: optax.Updates,
    params: optax.Params,
) -> optax.OptState:
    """Apart from the updates: in one branch with them, XLA copies the whole state."""

    def forget() -> optax.OptState:
        weights, treedef = jax.tree.flatten(params)
        marks = _marks(hidden, units, weights)
        nothing = jnp.zeros((), bool), jnp.zeros((), bool)
        pairs = [marks.get(n, nothing) for n in range(len(weights))]
        where = treedef.unflatten([into | out for into, out in pairs])
        new = optax.apply_updates(params, updates)
        return _tree.cast_like(reset_moments(optimizer, state, new, where), state)

    return jax.lax.cond(found, forget, lambda: state)


def _marks(
    hidden: Sequence[Hidden], units: Sequence[jax.Array], weights: Sequence[jax.Array]
) -> dict[int, tuple[jax.Array, jax.Array]]:
    """For each leaf by its number: what comes into the units, and what goes out."""
    nothing = jnp.zeros((), bool)
    marks = {}
    for one, flags in zip(hidden, units, strict=True):
        for leaf in [one.kernel] if one.bias is None else [one.kernel, one.bias]:
            out = marks.get(leaf, (nothing, nothing))[1]
            marks[leaf] = _spread(flags, weights[leaf], -1), out
        positions = weights[one.next].shape[-2] // one.units if one.units else 1
        rows = jnp.tile(flags, positions)
        marks[one.next] = nothing, _spread(rows, weights[one.next], -2)
    return marks


def _spread(flags: jax.Array, like: jax.Array, axis: int) -> jax.Array:
    """Flags along one axis of an array, over the whole of it."""
    shape = [1] * like.ndim
    shape[axis] = flags.size
    return flags.reshape(shape) | jnp.zeros_like(like, dtype=bool)


def _move(
    update: jax.Array,
    weight: jax.Array,
    marks: tuple[jax.Array, jax.Array],
    init: Callable[..., jax.Array],
    key: jax.Array,
) -> jax.Array:
    """The update to a new array on the way in, and to zero on the way out."""
    into, out = marks
    dtype = _exact(update, weight)
    new = jnp.zeros_like(weight)
    if into.ndim > 1:
        new = new + init(key, weight.shape, weight.dtype).astype(weight.dtype)
    new = jnp.where(into & ~out, new, 0).astype(dtype)
    move = new - weight.astype(dtype)
    return jnp.where(into | out, move, update.astype(dtype))


def _exact(update: jax.Array, weight: jax.Array) -> jnp.dtype:
    """The dtype in which the update to zero is exact."""
    return jnp.result_type(update, weight)
