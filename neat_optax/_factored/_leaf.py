"""Gradients of players as sums of outer products, which are kept as their factors.

The gradient of one player for a dense kernel is `left.T @ right`: of what went into the
layer and of what came back to its output, with a row for each place where the kernel
was used. Inner products, norms and weighted sums of the players need no more than that.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._factored import _products
from neat_optax._factored._layout import Layout
from neat_optax._factored._products import Term
from neat_optax._typing import Array, Bool, Float


@dataclasses.dataclass(frozen=True)
class Factored:
    r"""The gradients [P, ...] of one leaf, each a sum of outer products.

    .. math:: g_i = \sum_k L_{ki}^\top R_{ki}

    A node of a tree to JAX, and a leaf to those who ask by `is_factored`.
    """

    terms: tuple[Term, ...]  # left [P, T, K] or integers [P, T], right [P, T, O]
    layout: Layout
    dtype: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """As if it were an array."""
        return (len(self), *self.layout.shape)

    @property
    def ndim(self) -> int:
        """As if it were an array."""
        return 1 + len(self.layout.shape)

    @property
    def size(self) -> int:
        """As if it were an array."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.terms[0][1].shape[0]

    def of_one(self) -> jax.ShapeDtypeStruct:
        """What the gradient of one player is like."""
        return jax.ShapeDtypeStruct(self.layout.shape, self.dtype)

    def explicit(self) -> jax.Array:
        """[P, ...]: the gradients themselves."""

        def of_player(terms: tuple[Term, ...]) -> jax.Array:
            found = [_products.matrix(term, self.layout.height) for term in terms]
            return self.layout.from_matrix(_total(found))

        return jax.vmap(of_player)(self.terms).astype(self.dtype)

    def gramian(
        self, other: "Factored", scale: jax.Array | None = None
    ) -> Float[Array, "P P"]:
        """Inner products with the gradients of another, all multiplied by `scale`."""
        mine, others = self.terms, other.terms
        if scale is not None:
            mine, others = _scaled(mine, scale), _scaled(others, scale)
        return _total([_products.between(a, b) for a in mine for b in others])

    def squared_norms(self) -> Float[Array, " P"]:
        """Of each player."""

        def of_player(terms: tuple[Term, ...]) -> jax.Array:
            pairs = [(a, b) for a in terms for b in terms]
            return _total([jnp.sum(_products.places(*pair)) for pair in pairs])

        longest = max(right.shape[1] for _, right in self.terms)
        at_once = _products.ELEMENTS // max(longest**2, 1)
        return _products.map_players(of_player, self.terms, at_once)

    def largest_entry(self) -> Float[Array, " P"]:
        """A bound on the magnitude of each player's entries, NaN if one is NaN."""
        return _total([jnp.sum(_peaks(term), axis=1) for term in self.terms])

    def weighted_sum(
        self, weights: Float[Array, " P"], finite: Bool[Array, " P"]
    ) -> jax.Array:
        """The sum over players in float32 or wider, without those not finite."""

        def of_term(term: Term) -> jax.Array:
            left, right = term
            weighted = _tree.widen(right) * weights[:, None, None]
            right = jnp.where(finite[:, None, None], weighted, 0)
            if not _products.is_numbers(term):
                left = jnp.where(finite[:, None, None], left, 0)
            joined = (
                left.reshape(-1, *left.shape[2:]),
                right.reshape(-1, right.shape[2]),
            )
            return _products.matrix(joined, self.layout.height)

        total = _total([of_term(term) for term in self.terms])
        return self.layout.from_matrix(total)

    def products(self, vector: jax.Array) -> Float[Array, " P"]:
        """Inner products of each player with an array like the parameter."""
        whole = self.layout.to_matrix(_tree.widen(vector))

        def of_player(terms: tuple[Term, ...]) -> jax.Array:
            return _total([_products.with_matrix(term, whole) for term in terms])

        return jax.vmap(of_player)(self.terms)


jax.tree_util.register_dataclass(Factored, ["terms"], ["layout", "dtype"])


def _total(parts: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, parts)


def _peaks(term: Term) -> jax.Array:
    """[P, T]: the largest magnitude in the outer product of every row."""
    left, right = term
    of_right = jnp.max(jnp.abs(_tree.widen(right)), axis=2, initial=0)
    if _products.is_numbers(term):
        return of_right
    return of_right * jnp.max(jnp.abs(_tree.widen(left)), axis=2, initial=0)


def _scaled(terms: tuple[Term, ...], scale: jax.Array) -> tuple[Term, ...]:
    """The matrices multiplied by a number, and the factors brought into range."""

    def scaled(term: Term) -> Term:
        left, right = _tree.widen(term[0]), _tree.widen(term[1])
        if _products.is_numbers(term):
            return term[0], right * scale
        peak = jnp.max(jnp.where(jnp.isfinite(left), jnp.abs(left), 0), initial=0)
        exponent = jnp.where(peak > 0, jnp.frexp(peak)[1], 0)
        lower, upper = exponent // 2, exponent - exponent // 2
        left = jnp.ldexp(jnp.ldexp(left, -lower), -upper)
        right = jnp.ldexp(jnp.ldexp(right, lower) * scale, upper)
        return left, right

    return tuple(map(scaled, terms))


def is_factored(node: Any) -> TypeGuard[Factored]:
    """Whether a node of a tree stands for the gradients of one leaf."""
    return isinstance(node, Factored)


def flatten(tree: Any) -> tuple[list[Any], Any]:
    """`jax.tree.flatten`, to arrays and factored leaves."""
    return jax.tree.flatten(tree, is_leaf=is_factored)


def tree_map(function: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """`jax.tree.map`, over arrays and factored leaves."""
    return jax.tree.map(function, tree, *rest, is_leaf=is_factored)


def specs(tree: Any) -> Any:
    """The tree with the shape and dtype [P, ...] in place of every factored leaf."""
    return tree_map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if is_factored(x) else x, tree
    )


def explicit(tree: Any) -> Any:
    """The tree with an array [P, ...] for every factored leaf."""
    return tree_map(lambda x: x.explicit() if is_factored(x) else x, tree)
