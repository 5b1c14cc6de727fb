"""What stacked trees must be: of players, or of the individuals of a population."""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax._checks.arrays import (
    ONE_PLAYER,
    check_differentiated,
    check_same_structure,
)


def check_players(updates: Any, params: Any = None) -> int:
    """The number of players: the size of the leading axis that every leaf must have."""
    check_differentiated("updates", updates)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(updates)]
    counts = {shape[:1] for shape in shapes}
    if len(counts) > 1 or () in counts or (0,) in counts:
        raise ValueError(
            "`updates` must have a leading player axis of one size on every leaf, got "
            f"shapes {', '.join(map(str, shapes))}."
        )
    if params is not None and counts:
        one = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), updates
        )
        check_same_structure(ONE_PLAYER, one, "params", params)
    return counts.pop()[0] if counts else 0


def check_population(params: Any, fitness: Any) -> int:
    """The number of individuals: the size of the leading axis of every leaf."""
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
    counts = {shape[:1] for shape in shapes}
    if len(counts) != 1 or () in counts or (0,) in counts:
        raise ValueError(
            "`params` must have a leading axis of individuals, of one size on every "
            f"leaf, got shapes {', '.join(map(str, shapes)) or 'of no leaf'}."
        )
    count = counts.pop()[0]
    if jnp.shape(fitness) != (count,):
        raise ValueError(
            f"`fitness` must have one entry for each of the {count} individuals, got "
            f"shape {jnp.shape(fitness)}."
        )
    return count


def check_fitness(scores: Any, count: int) -> None:
    """Raises unless an evaluation gave one real number for each individual."""
    rule = f"`evaluate` must return one real number for each of the {count} individuals"
    if not jax.tree_util.all_leaves([scores]):
        raise ValueError(f"{rule}, got a {type(scores).__name__}.")
    shape, dtype = jnp.shape(scores), jnp.result_type(scores)
    if shape != (count,) or jnp.issubdtype(dtype, jnp.complexfloating):
        raise ValueError(f"{rule}, got {dtype} of shape {shape} for all of them.")


def check_per_child(shape: tuple[int, ...], count: int) -> None:
    """Raises unless so many parents are named for each child."""
    if len(shape) != 2 or shape[1] != count:
        raise ValueError(
            f"`parents` must name {count} for each child, in shape (children, {count}),"
            f" got shape {shape}."
        )


def check_per_player(name: str, value: Any, num_players: int) -> None:
    """Raises unless `value` has one entry for each player."""
    if jnp.shape(value) != (num_players,):
        raise ValueError(
            f"`{name}` must have one entry for each of the {num_players} players, got "
            f"shape {jnp.shape(value)}."
        )


def check_num_players(expected: int | None, count: int) -> None:
    """Raises if the updates have another number of players than was announced."""
    if expected is not None and expected != count:
        raise ValueError(
            f"`updates` must have {expected} players, as `num_players` says, got "
            f"{count}."
        )
