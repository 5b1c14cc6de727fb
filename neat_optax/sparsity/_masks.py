"""Masks: made in one call, and applied."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._granularity import Granularity, entries
from neat_optax._leaves import Mask, Scope, per_leaf
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._allocation import Allocation, uniform
from neat_optax.sparsity._decide import decide
from neat_optax.sparsity._division import divide
from neat_optax.sparsity._scores import Score, as_score, magnitude


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
