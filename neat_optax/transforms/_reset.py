"""Resets optimizer state for selected parameter entries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks

_WITHOUT_ENTRIES = {
    "acprop": "divides by what it remembers from the step before, and so leaps",
    "galore": "has its moments in a basis of its own, not in that of the weights",
    "lbfgs": "remembers whole steps, not entries",
    "dpsgd": "takes the gradients of single examples",
}
"""Why entries cannot be reset, by optimizer."""

_PARTS = {
    "scale_by_acprop": "acprop",
    "scale_by_galore": "galore",
    "scale_by_lbfgs": "lbfgs",
    "scale_by_zoom_linesearch": "lbfgs",
    "differentially_private_aggregate": "dpsgd",
} | {name: name for name in _WITHOUT_ENTRIES}
"""The optimizers by the functions of optax that make them, or a part of them."""


def reset_moments(
    optimizer: optax.GradientTransformation,
    state: optax.OptState,
    params: optax.Params,
    mask: Any,
) -> optax.OptState:
    """Resets optimizer state for selected parameter entries.

    Whatever in the state is a tree like the parameters, as `optax.tree.map_params`
    finds it, gets the value that `optimizer.init(params)` gives it, where `mask` is
    true: moments, traces, slow parameters. What such a tree holds in another shape than
    the parameter's stays, since none of it belongs to one entry: the factored moments
    of adafactor and sm3, the norms of novograd. So do step counts and other numbers.

    Args:
      optimizer: the optimizer that the state belongs to.
      state: its state.
      params: the parameters.
      mask: a tree like `params` of boolean arrays.

    Returns:
      The state.

    Raises:
      ValueError: for optimizers of optax whose state has no entries that can be reset:
        acprop, galore, lbfgs and dpsgd; for those of others whose `init`
        `optax.tree.map_params` cannot ask for its structure; and for a state or a mask
        that does not fit.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> adam, w = optax.adam(0.1), jnp.ones(2)
      >>> _, state = adam.update(w, adam.init(w), w)
      >>> state = reset_moments(adam, state, w, jnp.array([True, False]))
      >>> (state[0].mu == 0).tolist(), int(state[0].count)
      ([True, False], 1)
    """
    check_optimizer(optimizer)
    _checks.check_mask("mask", mask, "params", params)
    like = jax.eval_shape(optimizer.init, params)
    _checks.check_same_structure("state", state, "optimizer.init(params)", like)
    check_entries(optimizer, state, params)
    return reset_entries(optimizer, state, params, jax.tree.leaves(mask))


def reset_entries(
    optimizer: optax.GradientTransformation,
    state: optax.OptState,
    params: optax.Params,
    marks: Sequence[jax.Array | None],
) -> optax.OptState:
    """`reset_moments` where all is checked.

    For each leaf there is an array of marks, or None where nothing is reset.
    """

    def reset(number: int, old: Any, fresh: Any) -> Any:
        mark = marks[number] if number >= 0 else None
        return old if mark is None else jnp.where(mark, fresh, old)

    numbers = entries(optimizer, state, params)
    return jax.tree.map(reset, numbers, state, optimizer.init(params))


def entries(
    optimizer: optax.GradientTransformation, state: optax.OptState, params: optax.Params
) -> Any:
    """For each array of a state, the number of the parameter whose entries it holds.

    It stands at the place of the parameter in a tree like the parameters, and has its
    shape. -1 says that an array belongs to no entries.
    """
    known = {
        path: (number, jnp.shape(leaf))
        for number, (path, leaf) in enumerate(jax.tree.leaves_with_path(params))
    }

    def number(path: tuple[Any, ...], leaf: Any) -> int:
        found, shape = known.get(path, (-1, ()))
        return found if jnp.shape(leaf) == shape else -1

    return optax.tree.map_params(
        optimizer,
        lambda tree: jax.tree_util.tree_map_with_path(number, tree),
        state,
        transform_non_params=lambda rest: jax.tree.map(lambda _: -1, rest),
        is_leaf=lambda _: True,
    )


def check_entries(
    optimizer: optax.GradientTransformation, state: optax.OptState, params: optax.Params
) -> None:
    """Raises unless `entries` can read the state of an optimizer."""
    if not jax.tree.leaves(params):
        return  # as where optax asks for the structure of a state
    try:
        entries(optimizer, state, params)
    except Exception as error:
        raise ValueError(
            "`optimizer` must have an init that `optax.tree.map_params` can ask for "
            f"the state's structure, got {type(error).__name__}: {error}."
        ) from error


def check_optimizer(optimizer: Any) -> None:
    """Raises if entries of the state cannot be reset, whatever stands around it."""
    for name in _makers(optimizer, set()):
        if name in _PARTS:
            kind = _PARTS[name]
            raise ValueError(
                "`optimizer` must have moments that can be reset entry by entry, got "
                f"{kind}, which {_WITHOUT_ENTRIES[kind]}."
            )


def _makers(node: Any, seen: set[int]) -> Iterable[str]:
    """Names of the functions of optax that made a transformation and its parts.

    A part is what a function of the transformation has in its closure, or what an
    object of optax holds.
    """
    if id(node) in seen:
        return
    seen.add(id(node))
    parts: list[Any] = [_content(c) for c in getattr(node, "__closure__", None) or ()]
    if isinstance(node, Mapping):
        parts += node.values()
    elif isinstance(node, (tuple, list)):
        parts += node
    elif (getattr(node, "__module__", None) or "").partition(".")[0] == "optax":
        yield getattr(node, "__qualname__", "").partition(".")[0]
        parts += getattr(node, "__dict__", {}).values()
    for part in parts:
        yield from _makers(part, seen)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # of a variable that is not assigned yet
        return None
