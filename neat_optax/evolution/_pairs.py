"""Mirrored pairs of points around parameters: noise, losses, and moments of the noise.

What is drawn for a pair depends on the key, the leaf and the number of the pair only.
So noise that is not kept is drawn again, and chunks of any size see the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._random import as_key, check_key
from neat_optax.evolution import _rows
from neat_optax.evolution._shaping import Shaping

_SIGNS = 1.0, -1.0
_KEPT = 2**24
"""So many numbers of noise, 64 MiB, are kept rather than drawn twice."""


class Pairs(NamedTuple):
    """How a loss is evaluated, and what its losses count for."""

    loss: Callable[..., Any]
    num_pairs: int
    shaping: Shaping
    batch_size: int | None
    has_aux: bool

    def check(self) -> None:
        """Raises unless every field is in its range."""
        _checks.check_function("loss", self.loss)
        for name in ("num_pairs", "batch_size"):
            count = getattr(self, name)
            if count is not None or name == "num_pairs":
                _checks.check_integer(name, count, minimum=1)
        _checks.check_kind("shaping", self.shaping, Shaping)
        _checks.check_bool("has_aux", self.has_aux)


class Moments(NamedTuple):
    r"""What mirrored pairs tell of a loss around a point.

    With utilities :math:`u_k^\pm` at the points with noise :math:`\pm s_k` these are,
    as lists of leaves, float32 or wider, with a player axis if the loss has one,

    first: the mean of :math:`(u_k^+ - u_k^-) s_k / 2` over the pairs.
    second: the mean of :math:`(u_k^+ + u_k^-)(s_k^2 - 1) / 2`.
    """

    value: Any  # the mean loss of the evaluations that did not fail, with aux if any
    first: list[jax.Array]
    second: list[jax.Array]


def monitor(
    pairs: Pairs, key: Any, mean: Any, sigmas: list[Any], call: Any, *, second: bool
) -> Moments:
    """Evaluates a loss at mirrored pairs of points around `mean`.

    Args:
      pairs: which loss, and how often.
      key: a random key or a seed.
      mean: the parameters between the points of each pair.
      sigmas: for each leaf a number, or an array of the leaf's shape.
      call: the other arguments of the loss, `(args, kwargs)`.
      second: whether the second moment is asked for; empty if not.
    """
    check_key("key", key)
    leaves, treedef = jax.tree.flatten(mean)
    leaves = [jnp.asarray(leaf) for leaf in leaves]

    def draw(pair: Any) -> list[jax.Array]:
        keys = jax.random.split(jax.random.fold_in(as_key(key), pair), len(leaves))
        return [_normal(*each) for each in zip(keys, leaves, strict=True)]

    def evaluate(sign: Any, noise: list[jax.Array]) -> tuple[jax.Array, Any]:
        triples = zip(leaves, sigmas, noise, strict=True)
        point = [_moved(leaf, sign * s * e) for leaf, s, e in triples]
        return _evaluated(pairs, treedef.unflatten(point), call)

    losses, aux, sums = _everywhere(pairs, draw, evaluate)
    value = _mean_of_finite(losses)
    odd, even = _coefficients(pairs, losses)
    first, spread = sums(odd, even if second else None)
    return Moments((value, aux) if pairs.has_aux else value, first, spread)


def _normal(key: jax.Array, leaf: jax.Array) -> jax.Array:
    """Normal noise of one pair for one leaf, each part of a complex entry alike."""
    dtype = _tree.widen(leaf).dtype
    drawn = jax.random.normal(
        key,
        _rows.joined(leaf, 0).shape,
        dtype,
        out_sharding=_tree.explicit_sharding(leaf),
    )
    drawn = _rows.parted(drawn, leaf.shape)
    drawn = drawn * 2**0.5 if jnp.iscomplexobj(drawn) else drawn
    # Always the noise: the leaf stands here so that the compiler shards both alike.
    return jnp.where(True, drawn, _tree.widen(leaf))


def _moved(leaf: jax.Array, step: jax.Array) -> jax.Array:
    return (_tree.widen(leaf) + step).astype(leaf.dtype)


def _evaluated(pairs: Pairs, point: Any, call: Any) -> tuple[jax.Array, Any]:
    """The losses at one point, float32 or wider, and what comes beside them."""
    args, kwargs = call
    out = pairs.loss(point, *args, **kwargs)
    losses, aux = out if pairs.has_aux else (out, None)
    _checks.check_losses(losses)
    return _tree.widen(losses), aux


def _everywhere(pairs: Pairs, draw: Any, evaluate: Any) -> tuple[Any, Any, Any]:
    """The losses of all pairs, and a function that sums noise times coefficients.

    Noise is kept where it is needed at once or takes little memory, else drawn again.
    """
    count = pairs.num_pairs
    size = None if (pairs.batch_size or count) >= count else pairs.batch_size
    numbers = jnp.arange(count)
    drawn = sum(x.size for x in jax.eval_shape(draw, numbers[0]))
    if size is None or count * drawn <= _KEPT:
        noise = jax.vmap(draw)(numbers)
        losses, aux = _at_all(noise, evaluate, count, size)
        return losses, aux, lambda odd, even: _sums(noise, odd, even)
    mirrored = _mirrored(evaluate)
    losses, aux = _rows.mapped(lambda n: mirrored(draw(n)), size, (numbers,))
    return losses, aux, _summed_again(draw, count, size)


def _at_all(noise: list[Any], evaluate: Any, count: int, size: int | None) -> Any:
    """The losses for noise that is kept."""
    if size is None:
        return jax.vmap(_mirrored(evaluate), axis_size=count)(noise)

    def one(number: jax.Array) -> Any:
        own = [_rows.take(e, number // 2) for e in noise]
        return evaluate(jnp.array(_SIGNS)[number % 2], own)

    # Along one axis of evaluations: compiled loops over two are slower.
    out = _rows.mapped(one, 2 * size, (jnp.arange(2 * count),))
    return jax.tree.map(lambda x: x.reshape(count, 2, *x.shape[1:]), out)


def _mirrored(evaluate: Any) -> Any:
    """The losses at both points of a pair."""
    return lambda e: jax.vmap(lambda sign: evaluate(sign, e))(jnp.array(_SIGNS))


def _summed_again(draw: Any, count: int, size: int) -> Any:
    """The function that draws noise in chunks, and sums it times coefficients."""

    def chunk(start: Any, length: int, odd: Any, even: Any) -> Any:
        odd, even = (_slice(x, start, length) for x in (odd, even))
        return _sums(jax.vmap(draw)(start + jnp.arange(length)), odd, even)

    def sums(odd: Any, even: Any) -> Any:
        rest = count % size or size

        def body(index: Any, total: Any) -> Any:
            part = chunk(rest + index * size, size, odd, even)
            return jax.tree.map(jnp.add, total, part)

        total = chunk(0, rest, odd, even)
        return jax.lax.fori_loop(0, (count - rest) // size, body, total)

    return sums


def _slice(x: Any, start: Any, length: int) -> Any:
    return None if x is None else jax.lax.dynamic_slice_in_dim(x, start, length)


def _sums(noise: Any, odd: Any, even: Any) -> tuple[list[Any], list[Any]]:
    first = [_contract(odd, jnp.conj(e)) for e in noise]
    return first, [] if even is None else [_contract(even, e**2 - 1) for e in noise]


def _contract(coefficients: jax.Array, noise: jax.Array) -> jax.Array:
    """Over the pairs, without a reshape: one would gather what is sharded."""
    return jax.lax.dot_general(
        coefficients.astype(noise.dtype),
        noise,
        (((0,), (0,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
    )


def _coefficients(pairs: Pairs, losses: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Half the difference and half the sum of each pair's utilities, over the count."""
    shape = pairs.shaping.utilities
    shape = jax.vmap(shape, -1, -1) if losses.ndim > 2 else shape
    plus, minus = jnp.moveaxis(shape(losses), 1, 0)
    # A multiplication fused into the difference would leave its rounding error.
    difference = jnp.where(plus == minus, 0, plus - minus)
    return difference / (2 * len(losses)), (plus + minus) / (2 * len(losses))


def _mean_of_finite(losses: jax.Array) -> jax.Array:
    finite = jnp.isfinite(losses)
    return jnp.mean(losses, axis=(0, 1), where=finite)
