"""Gradients of players as sums of outer products, which are kept as their factors.

The gradient of one player for a dense kernel is `left.T @ right`: of what went into the
layer and of what came back to its output, with a row for each place where the kernel
was used. Inner products, norms and weighted sums of the players need no more than that.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _tree
from neat_optax._factored import _products
from neat_optax._factored._layout import Layout
from neat_optax._factored._products import Term
from neat_optax._factored._seal import make_seal
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
    seal: Any  # [P, 1, 1], which nothing can calculate with

    @classmethod
    def of(cls, terms: tuple[Term, ...], layout: Layout, dtype: Any) -> "Factored":
        """The sum of terms."""
        return cls(terms, layout, dtype, make_seal(len(terms[0][1])))

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
            return self.layout.from_matrix(self._matrices(terms))

        return jax.vmap(of_player)(self.terms).astype(self.dtype)

    def gramian(
        self, other: "Factored", scale: jax.Array | None = None
    ) -> Float[Array, "P P"]:
        """Inner products with the gradients of another, all multiplied by `scale`."""
        mine, others = self.terms, other.terms
        if scale is not None:
            mine, others = _scaled(mine, scale), _scaled(others, scale)

        def of_group(mine: tuple[Term, ...], others: tuple[Term, ...]) -> jax.Array:
            pairs = [(a, b) for a in mine for b in others]
            return _total([_products.between(*pair, share) for pair in pairs])

        share = _products.ELEMENTS // max(self._groups(), 1)

        return self._over_groups(of_group, 1, mine, others)

    def squared_norms(self, scale: jax.Array | None = None) -> Float[Array, " P"]:
        """Of each player, multiplied by `scale`."""

        def of_group(terms: tuple[Term, ...]) -> jax.Array:
            pairs = [(a, b) for a in terms for b in terms]
            return _total([jnp.sum(_products.places(*pair)) for pair in pairs])

        longest = max(right.shape[-2] for _, right in self.terms)
        return _products.map_players(
            lambda terms: self._over_groups(of_group, 0, terms),
            self.terms if scale is None else _scaled(self.terms, scale),
            _products.ELEMENTS // max(longest**2 * self._groups(), 1),
        )

    def largest_entry(self) -> Float[Array, " P"]:
        """A bound on the magnitude of each player's entries, NaN if one is NaN."""
        bounds = _total([jnp.sum(_peaks(term), axis=-1) for term in self.terms])
        return jnp.max(bounds, axis=1, initial=0) if self.layout.groups else bounds

    def weighted_sum(
        self, weights: Float[Array, " P"], finite: Bool[Array, " P"]
    ) -> jax.Array:
        """The sum over players in float32 or wider, without those not finite."""

        def joined(term: Term) -> Term:
            left, right = term
            each = (-1, *[1] * (right.ndim - 1))
            some, weight = finite.reshape(each), weights.reshape(each)
            right = jnp.where(some, _tree.widen(right) * weight, 0)
            if not _products.is_numbers(term):
                left = jnp.where(some, left, 0)
            return self._joined(left), self._joined(right)

        total = self._matrices(tuple(map(joined, self.terms)))
        return self.layout.from_matrix(total)

    def products(self, vector: jax.Array) -> Float[Array, " P"]:
        """Inner products of each player with an array like the parameter."""
        whole = self.layout.to_matrix(_tree.widen(vector))

        def of_group(terms: tuple[Term, ...], whole: jax.Array) -> jax.Array:
            return _total([_products.with_matrix(term, whole) for term in terms])

        return jax.vmap(lambda terms: self._over_groups(of_group, 0, terms, whole))(
            self.terms
        )

    def _groups(self) -> int:
        """G, or 1."""
        return self.terms[0][1].shape[1] if self.layout.groups else 1

    def _joined(self, factor: jax.Array) -> jax.Array:
        """A factor [P, T, ...] of all players as that [P T, ...] of one."""
        groups = len(self.layout.groups) > 0
        moved = jnp.moveaxis(factor, 0, int(groups))
        return moved.reshape(
            *moved.shape[:groups],
            math.prod(moved.shape[groups : groups + 2]),
            *moved.shape[groups + 2 :],
        )

    def _matrices(self, terms: tuple[Term, ...]) -> jax.Array:
        """[K, O] or [G, K, O]: of one player, or of several whose rows are joined."""

        def of_group(terms: tuple[Term, ...]) -> jax.Array:
            return _total(
                [_products.matrix(term, self.layout.height) for term in terms]
            )

        return jax.vmap(of_group)(terms) if self.layout.groups else of_group(terms)

    def _over_groups(
        self, function: Callable[..., jax.Array], axis: int, *arguments: Any
    ) -> jax.Array:
        """A function of one group, or the sum of it over groups along that axis."""
        if not self.layout.groups:
            return function(*arguments)
        return jnp.sum(jax.vmap(function, in_axes=axis)(*arguments), axis=0)


jax.tree_util.register_dataclass(Factored, ["terms", "seal"], ["layout", "dtype"])


def _total(parts: list[jax.Array]) -> jax.Array:
    return functools.reduce(jnp.add, parts)


def _peaks(term: Term) -> jax.Array:
    """[P, T] or [P, G, T]: the largest magnitude in the outer product of every row."""
    left, right = term
    of_right = jnp.max(jnp.abs(_tree.widen(right)), axis=-1, initial=0)
    if _products.is_numbers(term):
        return of_right
    return of_right * jnp.max(jnp.abs(_tree.widen(left)), axis=-1, initial=0)


def _scaled(terms: tuple[Term, ...], scale: jax.Array) -> tuple[Term, ...]:
    """The matrices multiplied by a number, and the factors brought into range."""

    def scaled(term: Term) -> Term:
        left, right = _tree.widen(term[0]), _tree.widen(term[1])
        if _products.is_numbers(term):
            return term[0], right * scale
        peak = jnp.max(jnp.where(jnp.isfinite(left), jnp.abs(left), 0), initial=0)
        half = _power_below(jnp.sqrt(jnp.where(peak > 0, peak, 1)))
        left, right = left * (1 / half) * (1 / half), right * half * scale * half
        return left, right

    return tuple(map(scaled, terms))


def _power_below(number: jax.Array) -> jax.Array:
    """The largest power of 2 that is not above: a float without its mantissa."""
    mantissa = jnp.finfo(number.dtype).nmant
    whole = jnp.dtype(f"int{8 * number.dtype.itemsize}")
    bits = jax.lax.bitcast_convert_type(number, whole)
    kept = bits >> mantissa << mantissa
    return jax.lax.bitcast_convert_type(kept, number.dtype)
