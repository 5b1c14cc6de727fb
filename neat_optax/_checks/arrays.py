"""What trees must be: their structures, and the shapes and dtypes of their leaves."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

ONE_PLAYER = "updates of one player"


@contextlib.contextmanager
def naming(path: str, out_by: str) -> Iterator[None]:
    """Adds to an error about an array which one it is, and how to leave it out."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f"{str(error).removesuffix('.')} at {path or 'the root'}; `{out_by}` "
            "leaves arrays out."
        ) from error


def check_axis(name: str, axis: int, shape: tuple[int, ...]) -> None:
    """Raises unless an array of that shape has the axis."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(
            f"`{name}` must be an axis of every array, got {axis} for an array "
            f"of shape {shape}."
        )


def check_same_structure(
    name: str, tree: Any, like_name: str, like: Any, *, dtypes: bool = False
) -> None:
    """Raises unless two trees have the same structure and the same leaf shapes.

    With `dtypes` these must be the same too. The first difference is named by its path.
    """
    if jax.tree.structure(tree) != jax.tree.structure(like):
        raise ValueError(
            f"`{name}` must have the tree structure of `{like_name}`, got "
            f"{_first_difference(tree, like)}.{_module_hint(like)}"
        )
    pairs = zip(jax.tree.leaves_with_path(tree), jax.tree.leaves(like), strict=True)
    for (path, leaf), other in pairs:
        if jnp.shape(leaf) != jnp.shape(other):
            raise ValueError(
                f"`{name}` must have the shapes of `{like_name}`, got "
                f"{jnp.shape(leaf)} for {jnp.shape(other)} at "
                f"{jax.tree_util.keystr(path) or 'the root'}."
                f"{_player_hint(name, leaf, other)}"
            )
        if dtypes and jnp.result_type(leaf) != jnp.result_type(other):
            raise ValueError(
                f"`{name}` must have the dtypes of `{like_name}`, got "
                f"{jnp.result_type(leaf)} for {jnp.result_type(other)} at "
                f"{jax.tree_util.keystr(path) or 'the root'}."
            )


def _first_difference(tree: Any, like: Any) -> str:
    """What a tree lacks of another, or has beyond it."""
    found = [path for path, _ in jax.tree.leaves_with_path(tree)]
    wanted = [path for path, _ in jax.tree.leaves_with_path(like)]
    for path in wanted:
        if path not in found:
            return f"no array at {jax.tree_util.keystr(path) or 'the root'}"
    for path in found:
        if path not in wanted:
            return f"another array at {jax.tree_util.keystr(path) or 'the root'}"
    return f"{jax.tree.structure(tree)} for {jax.tree.structure(like)}"


def check_state(caller: str, remembered: Any, params: Any) -> None:
    """Raises unless what a state holds for each parameter fits the parameters."""
    check_same_structure(f"state of {caller}", remembered, "params", params)


def check_tree_like(name: str, tree: Any, like_name: str, like: Any) -> None:
    """Raises unless a tree has something at the place of each leaf of another."""
    expected = jax.tree.structure(like)
    try:
        expected.flatten_up_to(tree)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must have the tree structure of `{like_name}`, got "
            f"{_first_difference(tree, like)}."
        ) from error


def check_scores(scores: Any, shape: tuple[int, ...], name: str) -> None:
    """Raises unless scores are real, one for each weight."""
    if jnp.iscomplexobj(scores) or scores.shape != shape:
        raise ValueError(
            f"`score` must give real numbers of the weights' shape {shape}, got "
            f"{scores.dtype} of shape {scores.shape} from {name}."
        )


def check_one_each(name: str, values: Any, what: str, count: int) -> None:
    """Raises unless a function returned one value for each of so many things."""
    if len(values) != count:
        raise ValueError(
            f"`{name}` must give one number for each {what}, {count}, got "
            f"{len(values)}."
        )


def check_inexact(
    name: str, tree: Any, hint: str = "leave other leaves out with optax.masked"
) -> None:
    """Raises unless every leaf is a floating or complex array."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        dtype = jnp.result_type(leaf) if hasattr(leaf, "dtype") else type(leaf)
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise ValueError(
                f"`{name}` must have floating or complex leaves, got {dtype} at "
                f"{jax.tree_util.keystr(path) or 'the root'}; {hint}."
            )


def check_differentiated(name: str, tree: Any) -> None:
    """Raises unless a loss can be differentiated by every leaf."""
    check_inexact(name, tree, "leave other leaves out of what is differentiated")


def check_loss_params(params: Any) -> None:
    """Raises unless noise can be added to every leaf that a loss is a function of."""
    hint = "pass other leaves as another argument of the loss"
    check_inexact("params", params, hint)


def check_losses(losses: Any) -> None:
    """Raises unless a loss gave a real float, or one for each player."""
    if hasattr(losses, "dtype"):
        real = jnp.issubdtype(losses.dtype, jnp.floating) and losses.ndim < 2
        got = f"{losses.dtype} of shape {losses.shape}"
    else:
        real, got = isinstance(losses, float), f"a {type(losses).__name__}"
    if not real:
        raise ValueError(
            "`loss` must return a real float of shape [], or [P] for players, got "
            f"{got}."
        )


def check_leaf_value(name: str, value: Any, leaf: Any) -> None:
    """Raises unless `value` is one number for a leaf, or one for each entry of it."""
    if jnp.shape(value) not in ((), jnp.shape(leaf)):
        raise ValueError(
            f"`{name}` must be a number or an array of the leaf's shape, "
            f"{jnp.shape(leaf)}, got shape {jnp.shape(value)}."
        )


def check_mask(name: str, mask: Any, like_name: str, like: Any) -> None:
    """Raises unless `mask` is boolean, with the structure and shapes of `like`."""
    check_same_structure(name, mask, like_name, like)
    for path, leaf in jax.tree.leaves_with_path(mask):
        dtype = jnp.result_type(leaf)
        if dtype != jnp.bool_:
            raise ValueError(
                f"`{name}` must have boolean leaves, got {dtype} at "
                f"{jax.tree_util.keystr(path) or 'the root'}."
            )


def check_real(name: str, dtype: Any) -> None:
    """Raises if an array is complex where an order is needed."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"`{name}` must have real leaves, got {dtype}.")


def check_params(params: Any, caller: str) -> None:
    """Raises when a transformation that needs the parameters was not given them."""
    if params is None:
        raise ValueError(
            f"`params` must be passed to update for {caller}, got None: "
            "call tx.update(updates, state, params)."
        )


def check_update(updates: Any, params: Any, caller: str) -> None:
    """Raises unless updates fit the parameters that a last transformation needs."""
    check_params(params, caller)
    check_inexact("updates", updates)
    check_same_structure("updates", updates, "params", params)


def check_given(name: str, value: Any, user: str) -> None:
    """Raises if an extra argument of `update` is missing that something needs."""
    if value is None:
        hint = "; wrap the chain in pass_gradient." if name == "grad" else "."
        raise ValueError(
            f"`{name}` must be passed to update for {user}, got None{hint}"
        )


def check_chosen(name: str, chosen: Any, paths: Any) -> None:
    """Raises if a rule of the caller's chooses none of the arrays that there are."""
    if paths and not chosen:
        listed = ", ".join(path or "the root" for path in paths)
        raise ValueError(
            f"`{name}` must choose at least one array, got none of {listed}."
        )


def _module_hint(like: Any) -> str:
    nnx = sys.modules.get("flax.nnx")  # there is no module where it was not imported
    if nnx is None or not isinstance(like, nnx.Module):
        return ""
    return " Of an NNX module pass its parameters: nnx.state(model, nnx.Param)."


def _player_hint(name: str, leaf: Any, like: Any) -> str:
    if name == ONE_PLAYER:
        return " A leading player axis must come before the parameter's own."
    if jnp.shape(leaf)[1:] != jnp.shape(like):
        return ""
    return (
        " A leading player axis must be reduced first, for instance with "
        "neat_optax.aggregators.mean()."
    )
