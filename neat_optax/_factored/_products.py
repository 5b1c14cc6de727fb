"""Products of rows: the arithmetic of sums of outer products.

A term is a pair `(left, right)`. For one player `left` is [T, K], or integers [T] of
which each stands for a row that is one at its number and 0 elsewhere, as where an
embedding is looked up; `right` is [T, O]. Its matrix is `left.T @ right`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree

ELEMENTS = 1 << 21
"""Of products between the rows of two players, how many are held at once."""

Term = tuple[jax.Array, jax.Array]


def is_numbers(term: Term) -> bool:
    """Whether the rows on the left are numbers of rows."""
    left, right = term
    return left.ndim < right.ndim


def matrix(term: Term, rows: int) -> jax.Array:
    """[K, O]: the matrix of one player, or of several whose rows are joined."""
    left, right = term
    right = _tree.widen(right)
    if is_numbers(term):
        return jnp.zeros((rows, right.shape[1]), right.dtype).at[left].add(right)
    return _matmul(_tree.widen(left).T, right)


def between(first: Term, second: Term, elements: int) -> jax.Array:
    """[P, P]: inner products between the matrices of all players of two terms.

    So many products between rows are held at once.
    """
    count, here, there = len(first[1]), first[1].shape[1], second[1].shape[1]
    if here == there == 1 and not is_numbers(first) and not is_numbers(second):
        return _rows_alone(first[0], second[0]) * _rows_alone(first[1], second[1])

    def with_all(one: Term) -> jax.Array:
        return jax.vmap(lambda other: jnp.sum(places(one, other)))(second)

    at_once = elements // max(count * here * there, 1)
    return map_players(with_all, first, at_once)


def places(first: Term, second: Term) -> jax.Array:
    """[T, S]: of every row of one player with every row of another."""
    return _left_products(first, second) * _matmul(
        _tree.widen(first[1]), _tree.widen(second[1]).T
    )


def with_matrix(term: Term, whole: jax.Array) -> jax.Array:
    """[]: the inner product of one player's matrix with another matrix [K, O]."""
    left, right = term
    moved = whole[left] if is_numbers(term) else _matmul(_tree.widen(left), whole)
    return jnp.sum(moved * _tree.widen(right))


def map_players(function: Callable[[Any], Any], rows: Any, at_once: int) -> Any:
    """The function of every player, of so many at the same time."""
    if at_once >= len(jax.tree.leaves(rows)[0]):
        return jax.vmap(function)(rows)
    return jax.lax.map(function, rows, batch_size=max(at_once, 1))


def _rows_alone(first: jax.Array, second: jax.Array) -> jax.Array:
    return _matmul(_tree.widen(first[:, 0]), _tree.widen(second[:, 0]).T)


def _left_products(first: Term, second: Term) -> jax.Array:
    here, there = first[0], second[0]
    if is_numbers(first) and is_numbers(second):
        return (here[:, None] == there[None, :]).astype(jnp.float32)
    if is_numbers(first):
        return _tree.widen(there)[:, here].T
    if is_numbers(second):
        return _tree.widen(here)[:, there]
    return _matmul(_tree.widen(here), _tree.widen(there).T)


def _matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")
