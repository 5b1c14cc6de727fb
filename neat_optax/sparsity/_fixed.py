"""Masks from the caller: fixed, or over dense weights (straight-through)."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask, chosen, kernels
from neat_optax._schedules import when
from neat_optax.sparsity._masks import all_kept, combine


class KeepMaskState(NamedTuple):
    """State of `keep_mask`."""

    mask: Any  # like the parameters, bool


def keep_mask(mask: Mask) -> optax.GradientTransformationExtraArgs:
    """Fixes weights at exactly zero where a mask is False; goes last in a chain.

    Args:
      mask: a tree of boolean arrays like the parameters, True where a weight is kept,
        or a function from the parameters to one, called once, by `init`: `nonzero`
        fine-tunes a sparse model without changing its zeros.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = optax.chain(optax.sgd(1.0, momentum=0.9), keep_mask(nonzero))
      >>> w = jnp.array([[2.0, 0.0]])
      >>> updates, _ = tx.update(jnp.ones((1, 2)), tx.init(w), w)
      >>> optax.apply_updates(w, updates).tolist()
      [[1.0, 0.0]]
    """

    def init_fn(params: optax.Params) -> KeepMaskState:
        _checks.check_inexact("params", params)
        return KeepMaskState(
            _like(params, mask(params) if _tree.is_function(mask) else mask)
        )

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, KeepMaskState]:
        del extra_args
        _checks.check_update(updates, params, "keep_mask")
        _checks.check_state("keep_mask", state.mask, params)
        given: Any = params
        return combine(updates, given, state.mask), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


class StraightThroughState(NamedTuple):
    """State of `straight_through`."""

    step: jax.Array  # [] int32
    dense: Any  # like the parameters: what they would be without a mask
    mask: Any  # like the parameters, bool


@cites("bengio2013estimating", "kusupati2020soft")
def straight_through(
    mask: Mask, *, every: int = 1
) -> optax.GradientTransformationExtraArgs:
    r"""Straight-through estimator: trains dense weights behind a mask; goes last.

    .. math:: w_{t+1} = w_t + u_t(\nabla L(p_t)), \qquad p_t = m_t(w_t) \odot w_t

    The parameters :math:`p` that the caller has, and saves, are always sparse. The
    dense weights :math:`w` are in the state. A pruned weight goes on moving there, as
    if the mask had derivative 1, and may come back. The loss function needs no change.

    Args:
      mask: a tree of boolean arrays like the parameters, or a function from the dense
        weights to one, such as `functools.partial(make_mask, sparsity=0.9)` or
        `functools.partial(n_of_m_mask, n=2, m=4)`.
      every: steps between two calls of the function, at least 1.

    Returns:
      A transformation that needs `params`. It costs one copy of them and, where `mask`
      is a function, one call of it in every `every` steps.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> largest = lambda w: jnp.abs(w) >= jnp.max(jnp.abs(w))
      >>> tx = optax.chain(optax.sgd(1.0), straight_through(largest))
      >>> w = jnp.array([1.0, 2.0])
      >>> updates, state = tx.update(jnp.array([-0.5, 0.0]), tx.init(w), w)
      >>> w = optax.apply_updates(w, updates)
      >>> updates, state = tx.update(jnp.array([-1.0, 0.0]), state, w)
      >>> w.tolist(), optax.apply_updates(w, updates).tolist()
      ([0.0, 2.0], [2.5, 0.0])

    References:
      Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through
      Stochastic Neurons", 2013, section 3; Kusupati et al., "Soft Threshold Weight
      Reparameterization", 2020, for pruning by it.
    """
    cadence = when(0, every, None)

    def init_fn(params: optax.Params) -> StraightThroughState:
        _checks.check_inexact("params", params)
        kept = all_kept(params) if _tree.is_function(mask) else _like(params, mask)
        dense = jax.tree.map(jnp.array, params)
        return StraightThroughState(jnp.zeros((), jnp.int32), dense, kept)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, StraightThroughState]:
        del extra_args
        _checks.check_update(updates, params, "straight_through")
        _checks.check_state("straight_through", state.dense, params)
        given: Any = params
        dense = optax.apply_updates(state.dense, updates)
        kept = state.mask
        if _tree.is_function(mask):
            kept = _decide_if(mask, cadence.due(state.step), kept, dense)
        moved = jax.tree.map(jnp.subtract, dense, given)
        updates = combine(moved, given, kept)
        step = _tree.increment(state.step)
        return updates, StraightThroughState(step, dense, kept)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def nonzero(params: optax.Params, *, mask: Mask | None = None) -> Any:
    """The mask of the weights that are not zero.

    Args:
      params: a tree of arrays.
      mask: in which arrays zeros count, by default in `kernels`: a bias that is zero
        has not been pruned.
    """
    leaves, treedef = jax.tree.flatten(all_kept(params))
    values = jax.tree.leaves(params)
    for number in chosen(params, mask, kernels):
        leaves[number] &= values[number] != 0
    return treedef.unflatten(leaves)


def _like(params: optax.Params, mask: Any) -> Any:
    """A mask that fits the parameters, in arrays that are sharded like them."""
    if _tree.leaf_names(mask) == _tree.leaf_names(params):  # a dictionary, for a state
        mask = jax.tree.unflatten(jax.tree.structure(params), jax.tree.leaves(mask))
    _checks.check_mask("mask", mask, "params", params)
    return jax.tree.map(
        lambda p, m: jnp.ones_like(p, dtype=bool) & jnp.asarray(m), params, mask
    )


@functools.partial(jax.jit, static_argnames="mask")
def _decide_if(mask: Callable, due: jax.Array, kept: Any, params: optax.Params) -> Any:
    return jax.lax.cond(due, lambda: _like(params, mask(params)), lambda: kept)
