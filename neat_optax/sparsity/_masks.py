"""From scores to masks: how many weights each scope keeps, and which ones."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import _checks, _tree
from neat_optax._granularity import Granularity, entries
from neat_optax._largest import keep_largest
from neat_optax._leaves import Mask, Scope, as_mask, chosen, kernels, per_leaf
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._allocation import Allocation, as_allocation, uniform
from neat_optax.sparsity._scores import Score, Weight, as_score, magnitude


class Division(NamedTuple):
    """Which arrays are pruned, what counts together, and what is kept as one."""

    scope: Scope
    allocation: Allocation
    granularity: Granularity
    mask: Mask

    def pruned(self, params: optax.Params) -> list[int]:
        """The numbers of the leaves that are pruned."""
        return chosen(params, self.mask)

    def scopes(self, params: optax.Params) -> list[list[int]]:
        """The pruned leaves of each scope."""
        owners = self.scope.owners(params)
        found: dict[int, list[int]] = {}
        for number in self.pruned(params):
            found.setdefault(owners[number], []).append(number)
        return list(found.values())

    def biases(self, params: optax.Params, number: int) -> list[int]:
        """The vectors that go with a kernel whose outputs are pruned as one."""
        if not self.granularity.of_outputs:
            return []
        parents = [path.rpartition("/")[0] for path in _tree.leaf_names(params)]
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
        wanted = parents[number], shapes[number][-1:]
        pairs = zip(parents, shapes, strict=True)
        return [n for n, pair in enumerate(pairs) if pair == wanted and n != number]

    def amount(self, params: optax.Params, sparsity: Any) -> Any:
        """The argument of `counts`: a traced sparsity, or the counts of a known one.

        Known counts are exact. Traced ones cost a few operations for each scope, which
        are left to the steps at which the mask changes.
        """
        counts = self.counts(params, 0.0 if _traced(sparsity) else sparsity)
        return sparsity if _traced(sparsity) else counts

    def counts(self, params: optax.Params, amount: Any) -> list[Any]:
        """How many groups each scope keeps: at least 1, and at most its share.

        Args:
          params: the parameters.
          amount: a sparsity, clipped to [0, 1]; or a list of the counts themselves.
        """
        if isinstance(amount, list):
            return amount
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
        pruned = self.pruned(params)
        given = self.allocation.sparsities([shapes[n] for n in pruned], amount)
        _checks.check_one_each("allocation", given, "pruned array", len(pruned))
        for share in given:
            _checks.check_number("allocation", share, "[0, 1]")
        shares = dict(zip(pruned, given, strict=True))
        sizes = self._groups(params, pruned)
        return [
            count_kept([sizes[n] for n in scope], [shares[n] for n in scope])
            for scope in self.scopes(params)
        ]

    def _groups(self, params: optax.Params, pruned: list[int]) -> dict[int, int]:
        """How many groups each of the pruned leaves has."""
        paths, leaves = _tree.leaf_names(params), jax.tree.leaves(params)
        sizes = {}
        for n in pruned:
            with _checks.naming(paths[n], "mask"):
                sizes[n] = self.granularity.groups(jnp.shape(leaves[n]))
        return sizes


def _traced(number: Any) -> bool:
    """Whether a number is not one of Python's, which are exact."""
    return not isinstance(number, (int, float))


def divide(scope: Any, allocation: Any, granularity: Any, mask: Any) -> Division:
    """A `Division`, its parts checked."""
    _checks.check_kind("scope", scope, Scope)
    _checks.check_kind("granularity", granularity, Granularity)
    mask = as_mask(mask, kernels)
    return Division(scope, as_allocation(allocation), granularity, mask)


def count_kept(sizes: Sequence[int], sparsities: Sequence[Any]) -> Any:
    """The largest count that leaves at least the given sparsity; at least 1.

    The product is rounded: 10 * (1 - 0.8) is below 2 in every floating format, and
    counts as 2. Numbers are counted in float64, traced ones in their own precision.
    Arrays with equal sparsity are counted together, so rounding does not accumulate.
    """
    known = not any(map(_traced, sparsities))
    xp: Any = np if known else jnp
    exact = np.float64 if known else jnp.result_type(jnp.float32, *sparsities)
    shares = [1 - xp.clip(xp.asarray(s, exact), 0, 1) for s in sparsities]
    pairs = zip(sizes, shares, strict=True)
    kept = sum(sizes) * shares[0] + sum(n * (share - shares[0]) for n, share in pairs)
    rounding = sum(sizes) * float(jnp.finfo(exact).eps)
    return xp.maximum(xp.floor(kept + rounding), 1).astype(np.int32)


@functools.partial(jax.jit, static_argnames=("division", "score"))
def decide(
    division: Division,
    score: Score,
    mask: Any,
    measured: Sequence[Weight],
    amount: Any,
) -> Any:
    """The mask of the highest scores among the weights that `mask` keeps.

    Args:
      division: what is pruned, and together with what.
      score: what is kept.
      mask: a tree of boolean arrays. Leaves that are not pruned come back as they are.
      measured: the input of the score for each leaf.
      amount: the sparsity, or how many groups each scope keeps.
    """
    leaves, treedef = jax.tree.flatten(mask)
    params = values(mask, measured)
    counts = division.counts(params, amount)
    pool, spread = division.granularity.pool, division.granularity.spread
    for scope, count in zip(division.scopes(params), counts, strict=True):
        rated = [pool(scoring.rate(score, measured[n])) for n in scope]
        dtype = jnp.result_type(jnp.float32, *rated)
        rated = [scores.astype(dtype) for scores in rated]
        alive = [pool(leaves[n].astype(jnp.float32)) > 0 for n in scope]
        for n, kept in zip(scope, keep_largest(rated, alive, count), strict=True):
            leaves[n] = leaves[n] & spread(kept, leaves[n])
            for bias in division.biases(params, n):
                leaves[bias] = leaves[bias] & kept.reshape(leaves[bias].shape)
    return treedef.unflatten(leaves)


def values(mask: Any, measured: Sequence[Weight]) -> Any:
    """The parameters, as the tree that they came from."""
    return jax.tree.structure(mask).unflatten([weight.value for weight in measured])


def all_kept(params: optax.Params) -> Any:
    """The mask that keeps everything, sharded like the parameters."""
    return jax.tree.map(lambda p: jnp.ones_like(p, dtype=bool), params)


def make_mask(
    params: optax.Params,
    sparsity: float | jax.Array,
    *,
    score: Score | Callable = magnitude,
    scope: Scope = per_leaf,
    allocation: Allocation | Callable = uniform,
    granularity: Granularity = entries,
    mask: Mask | None = None,
    **extra_args: Any,
) -> Any:
    """The mask that keeps the weights with the highest scores.

    Args:
      params: a tree of arrays.
      sparsity: the share to prune, in [0, 1); see `prune_to_sparsity` for it and for
        the options.
      score: what is kept; those with a memory see one step.
      scope: what shares one threshold.
      allocation: how the sparsity is divided among the arrays.
      granularity: what is kept or pruned as one.
      mask: which arrays are pruned; by default `kernels`.
      **extra_args: `grad=` or `input_norms=`, where the score needs it.

    Returns:
      A tree like `params` of boolean arrays, True where a weight is kept.

    Example:
      >>> import jax.numpy as jnp
      >>> params = {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]]), "bias": jnp.ones(2)}
      >>> mask = make_mask(params, 0.5)
      >>> apply_mask(params, mask)["kernel"].tolist()
      [[3.0, 0.0], [0.0, 2.0]]
    """
    _checks.check_fields({"sparsity": sparsity}, {"sparsity": "[0, 1)"})
    _checks.check_inexact("params", params)
    division = divide(scope, allocation, granularity, mask)
    amount = division.amount(params, sparsity)
    score = as_score(score)
    memory = scoring.start_memory(score, params)
    measured, _ = scoring.measure(score, params, memory, jnp.int32(0), extra_args)
    return decide(division, score, all_kept(params), measured, amount)


def apply_mask(tree: Any, mask: Any) -> Any:
    """Sets entries to exactly zero where the mask is False, whatever their value.

    Args:
      tree: parameters, or gradients like them.
      mask: a tree of boolean arrays with the structure and the shapes of `tree`.
    """
    _checks.check_mask("mask", mask, "tree", tree)
    return jax.tree.map(lambda x, m: jnp.where(m, x, jnp.zeros_like(x)), tree, mask)


def combine(updates: optax.Updates, params: optax.Params, mask: Any) -> Any:
    """Updates after which the parameters are exactly zero where the mask is False."""

    def leaf(update: jax.Array, weight: jax.Array, keep: jax.Array) -> jax.Array:
        dtype = jnp.result_type(update, weight)  # in which -weight is exact
        return jnp.where(keep, update.astype(dtype), -weight.astype(dtype))

    return jax.tree.map(leaf, updates, params, mask)
