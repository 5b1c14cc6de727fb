"""The closed form of NEAT between players, for opponents that are means of players.

The opponents are never stored: each is the total of all players minus one, taken
element by element where it is needed. A total in one float would lose opponents that
nearly cancel, so it is kept as a sum of two.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _blocks, _tree
from neat_optax._typing import Array, Bool, Float, Inexact
from neat_optax.conflict._alignment import Alignment

UNROLLED = 16
"""Players that are added up in one pass over a leaf that is not cut into blocks."""


class Seats(NamedTuple):
    """Who takes part, and how an opponent is made of the total."""

    present: jax.Array  # [P] bool: takes part and is finite
    shares: jax.Array  # [P] preference; 0 for players that are absent or not finite
    own: jax.Array  # [P] share of the player that is taken out of the total
    inverse: jax.Array  # [P] 1 / (sum of the opponent's shares), 0 if there are none


class Total(NamedTuple):
    """`high + low` is the weighted sum of all players, to twice the precision."""

    high: jax.Array
    low: jax.Array


def seat(
    present: Bool[Array, " P"], shares: Float[Array, " P"], include_self: bool
) -> Seats:
    """The seats of the players: each against the others, or against all."""
    shares = jnp.where(present, shares, 0)
    own = jnp.zeros_like(shares) if include_self else shares
    count = len(shares)
    among = jnp.ones((count, count)) - (0 if include_self else jnp.eye(count))
    others = jnp.matmul(among, shares, precision="highest")
    return Seats(present, shares, own, _tree.safe_divide(1.0, others))


def sums(
    gramian: Float[Array, "P P"], norms: Float[Array, " P"], seats: Seats
) -> Float[Array, "P 2"]:
    """Inner products with all players' sum, and with the longest player's opponents'.

    They are what `alignment` needs of a Gramian.
    """
    among = jnp.where(_longest(norms, seats), seats.shares - seats.own, seats.shares)
    both = jnp.stack([seats.shares, among], axis=1)
    return jnp.matmul(gramian, both, precision="highest")


def alignment(
    norms: Float[Array, " P"], sums: Float[Array, "P 2"], seats: Seats
) -> Alignment:
    """Each player's alignment with its opponent.

    What is a player's own is taken out of the sum of all. That would cancel for the
    longest player only, whose opponents are therefore summed by themselves.
    """
    longest, own = _longest(norms, seats), seats.own
    with_sum, with_others = sums[:, 0], sums[:, 1]
    among = jnp.where(longest, seats.shares - own, seats.shares)
    total = jnp.sum(seats.shares * with_sum)
    products = jnp.where(longest, with_others, with_sum - own * norms)
    rest = total - own * (2 * with_sum - own * norms)
    squares = jnp.where(longest, jnp.sum(among * with_others), rest)
    squares = jnp.maximum(squares, 0) * seats.inverse**2
    return Alignment(norms, products * seats.inverse, squares)


def _longest(norms: Float[Array, " P"], seats: Seats) -> Bool[Array, " P"]:
    """Which player has the longest part in the sum of all."""
    lengths = seats.shares**2 * norms
    return jnp.arange(len(lengths)) == jnp.argmax(lengths)


@jax.jit
def align(
    stack: Inexact[Array, "P ..."],
    seats: Seats,
    norms: Float[Array, " P"],
    metric: Inexact[Array, " ..."] | None,
) -> tuple[Alignment, Alignment | None]:
    """Inner products with each player's opponent, plain and in the metric."""

    def products(block: jax.Array, metric_block: jax.Array | None) -> Any:
        shape = (-1, *[1] * (block.ndim - 1))
        own, inverse = (x.reshape(shape) for x in (seats.own, seats.inverse))
        g = jnp.where(seats.present.reshape(shape), _tree.widen(block), 0)
        total = Total(*(x[None] for x in _total(block, seats)))
        o = _opponent(total, g, own, inverse)
        raw = _inner(g, o), _inner(o, o)
        if metric_block is None:
            return raw, None
        metric_block = _tree.widen(metric_block)[None]
        g, o = g / metric_block, o / metric_block
        return raw, (_inner(g, g), _inner(g, o), _inner(o, o))

    raw, in_metric = _blocks.sum_over_blocks(products, stack, metric)
    return Alignment(norms, *raw), None if metric is None else Alignment(*in_metric)


@jax.jit
def combine(
    stack: Inexact[Array, "P ..."],
    seats: Seats,
    reduce: Float[Array, " P"],
    on_gradient: Float[Array, " P"],
    on_opponent: Float[Array, " P"],
) -> Inexact[Array, " ..."]:
    r"""One leaf's :math:`\sum_i r_i (g_i + a_i g_i + b_i o_i)`."""

    def corrected(block: jax.Array, _: None) -> jax.Array:
        total = _total(block, seats)

        def add(sum_: jax.Array, row: jax.Array, *scalars: jax.Array) -> jax.Array:
            present, own, inverse, share, a, b = scalars
            g = jnp.where(present, _tree.widen(row), 0)
            o = _opponent(total, g, own, inverse)
            return sum_ + share * ((1 + a) * g + b * o)

        zero = jnp.zeros_like(total.high)
        per_player = (seats.present, seats.own, seats.inverse, reduce)
        result = _over_players(add, zero, block, *per_player, on_gradient, on_opponent)
        return result.astype(block.dtype)

    return _blocks.map_over_blocks(corrected, stack)


def _total(stack: jax.Array, seats: Seats) -> Total:
    """The weighted sum of the players, twice as precise as one number."""

    def add(
        carry: tuple[jax.Array, jax.Array],
        row: jax.Array,
        share: jax.Array,
        present: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        high, low = carry
        term = jnp.where(present, share * _tree.widen(row), 0)
        high, error = _two_sum(high, term)
        return high, low + error

    zero = jnp.zeros_like(_tree.widen(stack[0]))
    return Total(*_over_players(add, (zero, zero), stack, seats.shares, seats.present))


def _opponent(
    total: Total, gradient: jax.Array, own: jax.Array, inverse: jax.Array
) -> jax.Array:
    """`(total - own * gradient) * inverse`, right although the two may be equal."""
    rest, error = _two_sum(total.high, -own * gradient)
    return (rest + (error + total.low)) * inverse


def _two_sum(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The rounded sum of two numbers, and the rounding error (Knuth's TwoSum)."""
    added = a + b
    of_b = added - a
    return added, (a - (added - of_b)) + (b - of_b)


def _over_players(
    add: Callable[..., Any], start: Any, stack: jax.Array, *per_player: jax.Array
) -> Any:
    """Folds `add` over the players.

    A block is in cache, where one player at a time is fastest; a whole leaf is passed
    over once for every `UNROLLED` players.
    """

    def body(index: jax.Array, carry: Any) -> Any:
        new = add(carry, *(x[index] for x in (stack, *per_player)))
        return _tree.cast_like(new, carry)

    count = len(stack)
    unroll = 1 if _blocks.in_blocks() else min(UNROLLED, count)
    return jax.lax.fori_loop(0, count, body, start, unroll=unroll)


def _inner(a: jax.Array, b: jax.Array) -> jax.Array:
    """Real inner products over all axes but the first."""
    products = jnp.real(a) * jnp.real(b)
    if jnp.iscomplexobj(a) or jnp.iscomplexobj(b):
        products = products + jnp.imag(a) * jnp.imag(b)
    return jnp.sum(products, axis=tuple(range(1, products.ndim)))
