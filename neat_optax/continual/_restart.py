"""Resetting units: new incoming weights, no outgoing ones, no memories."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from neat_optax import _tree
from neat_optax._alike import map_alike, numbers
from neat_optax.continual._units import Hidden
from neat_optax.transforms._reset import reset_entries


def restart(
    optimizer: optax.GradientTransformationExtraArgs,
    hidden: tuple[Hidden, ...],
    init: Callable[..., jax.Array],
    units: Sequence[jax.Array],
    key: jax.Array,
    stepped: tuple[optax.Updates, optax.OptState],
    params: optax.Params,
    means: Sequence[jax.Array] = (),
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
      means: for each hidden layer [units], the mean activations that the following
        biases take over; none to drop them.

    Returns:
      The updates, which lead to the new weights of these units, and the state, with
      their moments reset.
    """
    if not hidden:
        return stepped
    updates, state = stepped
    found = jnp.any(jnp.concatenate(units))
    if means:
        lost = [jnp.where(flags, m, 0) for flags, m in zip(units, means, strict=True)]
        updates = _take_over_if(hidden, found, lost, updates, params)
    updates = _renew_if(hidden, init, found, units, key, updates, params)
    state = _forget_if(optimizer, hidden, found, units, state, updates, params)
    return updates, state


@functools.partial(jax.jit, static_argnames="hidden")
def _take_over_if(
    hidden: tuple[Hidden, ...],
    found: jax.Array,
    lost: Sequence[jax.Array],
    updates: optax.Updates,
    params: optax.Params,
) -> optax.Updates:
    """Adds what the lost units contribute on average to the biases that they feed."""
    weights, treedef = jax.tree.flatten(params)
    moves = treedef.flatten_up_to(updates)
    pairs = [
        (one, after, means)
        for one, means in zip(hidden, lost, strict=True)
        for after in one.next
    ]

    def taken_over() -> list[jax.Array]:
        return [
            moves[after.bias]
            + _contribution(
                weights[after.kernel] + moves[after.kernel],
                inputs(means, one, weights[after.kernel]),
            ).astype(moves[after.bias].dtype)
            for one, after, means in pairs
        ]

    biases = [after.bias for _, after, _ in pairs]
    as_they_are = [moves[bias] for bias in biases]
    chosen = jax.lax.cond(found, taken_over, lambda: as_they_are)
    for bias, move in zip(biases, chosen, strict=True):
        moves[bias] = move
    return treedef.unflatten(moves)


def _contribution(kernel: jax.Array, inputs: jax.Array) -> jax.Array:
    """What a layer makes of constant inputs, where the whole kernel sees them."""
    products = _tree.widen(kernel) * inputs.reshape(-1, 1)
    return jnp.sum(products, axis=tuple(range(kernel.ndim - 1)))


def inputs(values: jax.Array, hidden: Hidden, kernel: jax.Array) -> jax.Array:
    """Values of units as the inputs of a layer that they feed, after any flatten."""
    positions = kernel.shape[-2] // hidden.units if hidden.units else 1
    return jnp.tile(values, positions)


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
    names = numbers(len(weights))

    def renewed() -> list[jax.Array]:
        marks = _marks(hidden, units, weights)
        drawn = sorted(one.own.kernel for one in hidden)
        made = functools.partial(draw, init, key)
        found = map_alike(made, [(names[n], weights[n]) for n in drawn], names)
        fresh = dict(zip(drawn, found, strict=True))
        return [_move(moves[n], weights[n], fresh.get(n), marks[n]) for n in touched]

    def as_they_are() -> list[jax.Array]:
        return [moves[n].astype(exact(moves[n], weights[n])) for n in touched]

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
        weights = jax.tree.leaves(params)
        marks = _marks(hidden, units, weights)
        touched = [marks.get(n) for n in range(len(weights))]
        where = [None if mark is None else mark[0] | mark[1] for mark in touched]
        new = optax.apply_updates(params, updates)
        return _tree.cast_like(reset_entries(optimizer, state, new, where), state)

    return jax.lax.cond(found, forget, lambda: state)


def _marks(
    hidden: Sequence[Hidden], units: Sequence[jax.Array], weights: Sequence[jax.Array]
) -> dict[int, tuple[jax.Array, jax.Array]]:
    """For each leaf by its number: what comes into the units, and what goes out."""
    nothing = jnp.zeros((), bool)
    marks = {}
    for one, flags in zip(hidden, units, strict=True):
        for leaf in [n for n in one.own if n is not None]:
            out = marks.get(leaf, (nothing, nothing))[1]
            marks[leaf] = _spread(flags, weights[leaf], -1), out
        for leaf in [after.kernel for after in one.next]:
            into = marks.get(leaf, (nothing, nothing))[0]
            rows = inputs(flags, one, weights[leaf])
            marks[leaf] = into, _spread(rows, weights[leaf], -2)
    return marks


def _spread(flags: jax.Array, like: jax.Array, axis: int) -> jax.Array:
    """Flags along one axis of an array, over the whole of it."""
    return along(flags, like, axis) | jnp.zeros_like(like, dtype=bool)


def along(values: jax.Array, like: jax.Array, axis: int) -> jax.Array:
    """Values along one axis of an array, with its other axes of length one."""
    shape = [1] * like.ndim
    shape[axis] = values.size
    return values.reshape(shape)


def draw(
    init: Callable[..., jax.Array], key: jax.Array, part: tuple[jax.Array, jax.Array]
) -> jax.Array:
    """A new kernel in place of one, by its number."""
    number, weight = part
    drawn = init(jax.random.fold_in(key, number), weight.shape, weight.dtype)
    return jnp.zeros_like(weight) + drawn.astype(weight.dtype)


def _move(
    update: jax.Array,
    weight: jax.Array,
    fresh: jax.Array | None,
    mark: tuple[jax.Array, jax.Array],
) -> jax.Array:
    """The update to a new array on the way in, and to zero on the way out."""
    into, out = mark
    dtype = exact(update, weight)
    new = jnp.zeros((), dtype)
    if fresh is not None:
        new = jnp.where(into & ~out, fresh, 0).astype(dtype)
    return jnp.where(into | out, new - weight.astype(dtype), update.astype(dtype))


def exact(update: jax.Array, weight: jax.Array) -> jnp.dtype:
    """The dtype in which the update to zero is exact."""
    return jnp.result_type(update, weight)
