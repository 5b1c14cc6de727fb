"""N:M sparsity: of every m weights in a row, n are kept."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask, as_mask, chosen, kernels
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._decide import values
from neat_optax.sparsity._masks import all_kept
from neat_optax.sparsity._scores import Score, Weight, as_score, magnitude
from neat_optax.sparsity._shell import Target, prune_by


@cites("zhou2021learning")
def n_of_m(
    n: int = 2,
    m: int = 4,
    *,
    axis: int = -2,
    begin: int = 0,
    score: Score | Callable = magnitude,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    """N:M sparsity: keeps the n highest scores of every m neighbors along an axis.

    Goes last in a chain. Sparse tensor cores multiply matrices with 2 of 4 kept along
    the axis that is summed over, which is the default: the inputs of a Flax kernel.

    Args:
      n: how many are kept, from 1 to m.
      m: how many neighbors make a group; must divide that axis of every array.
      axis: along which they are neighbors.
      begin: the step at which the mask is chosen, at least 0; from then on it holds.
      score: what is kept, as in `prune_to_sparsity`. Among equals the later ones are.
      mask: which arrays are pruned; by default `kernels`.

    Returns:
      A transformation that needs `params`. For masks that go on changing see
      `straight_through` with `n_of_m_mask`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = optax.chain(optax.sgd(0.0), n_of_m(2, 4))
      >>> w = jnp.array([[4.0], [1.0], [3.0], [2.0]])
      >>> updates, _ = tx.update(w, tx.init(w), w)
      >>> optax.apply_updates(w, updates)[:, 0].tolist()
      [4.0, 0.0, 3.0, 0.0]

    References:
      Zhou et al., "Learning N:M Fine-grained Structured Sparse Neural Networks From
      Scratch", 2021.
    """
    _checks.check_interval(begin, 1, None)
    rows = _rows(n, m, axis, mask)

    def amount(
        state: tuple[()], step: jax.Array, params: optax.Params, extra_args: Any
    ) -> tuple[jax.Array, None]:
        del state, extra_args
        rows.check(params)
        return step == begin, None

    target = Target(lambda _: (), amount, functools.partial(_decide, rows))
    return prune_by("n_of_m", as_score(score), target)


def n_of_m_mask(
    params: optax.Params,
    n: int = 2,
    m: int = 4,
    *,
    axis: int = -2,
    score: Score | Callable = magnitude,
    mask: Mask | None = None,
    **extra_args: Any,
) -> Any:
    """The mask of `n_of_m`, in one call.

    Args:
      params: a tree of arrays.
      n: how many are kept, from 1 to m.
      m: how many neighbors make a group.
      axis: along which they are neighbors.
      score: what is kept; those with a memory see one step.
      mask: which arrays are pruned; by default `kernels`.
      **extra_args: `grad=` or `input_norms=`, where the score needs it.

    Returns:
      A tree like `params` of boolean arrays, True where a weight is kept.
    """
    _checks.check_inexact("params", params)
    rows = _rows(n, m, axis, mask)
    rows.check(params)
    score = as_score(score)
    memory = scoring.start_memory(score, params)
    measured, _ = scoring.measure(score, params, memory, jnp.int32(0), extra_args)
    return _decide_rows(rows, score, all_kept(params), measured)


class _Rows(NamedTuple):
    """n of every m along an axis of the arrays that are pruned."""

    n: int
    m: int
    axis: int
    mask: Mask

    def pruned(self, tree: Any) -> list[int]:
        return chosen(tree, self.mask)

    def check(self, params: optax.Params) -> None:
        paths, leaves = _tree.leaf_names(params), jax.tree.leaves(params)
        for number in self.pruned(params):
            shape = jnp.shape(leaves[number])
            with _checks.naming(paths[number], "mask"):
                _checks.check_axis("axis", self.axis, shape)
                if shape[self.axis] % self.m:
                    raise ValueError(
                        f"`m` must divide axis {self.axis} of every array, got "
                        f"{self.m} for an array of shape {shape}."
                    )


def _rows(n: int, m: int, axis: int, mask: Mask | None) -> _Rows:
    _checks.check_count("m", m, minimum=1)
    _checks.check_number("n", n, f"[1, {m}]")
    _checks.check_count("n", n, minimum=1)
    _checks.check_integer("axis", axis)
    return _Rows(n, m, axis, as_mask(mask, kernels))


def _decide(
    rows: _Rows,
    score: Score,
    state: tuple[()],
    mask: Any,
    measured: Sequence[Weight],
    amount: None,
) -> tuple[tuple[()], Any]:
    del amount
    return state, _decide_rows(rows, score, mask, measured)


@functools.partial(jax.jit, static_argnames=("rows", "score"))
def _decide_rows(
    rows: _Rows, score: Score, mask: Any, measured: Sequence[Weight]
) -> Any:
    leaves, treedef = jax.tree.flatten(mask)
    for number in rows.pruned(values(mask, measured)):
        leaves[number] &= _best_in_rows(scoring.rate(score, measured[number]), rows)
    return treedef.unflatten(leaves)


def _best_in_rows(scores: jax.Array, rows: _Rows) -> jax.Array:
    """Where fewer than n others of the row come before an entry."""
    axis = rows.axis % scores.ndim
    ordered = jnp.where(jnp.isnan(scores), jnp.inf, scores)
    shape = scores.shape
    cut = (*shape[:axis], shape[axis] // rows.m, rows.m, *shape[axis + 1 :])
    grouped = jnp.moveaxis(_tree.unsharded(ordered).reshape(cut), axis + 1, -1)
    one, other = grouped[..., :, None], grouped[..., None, :]
    later = jnp.arange(rows.m)[None, :] > jnp.arange(rows.m)[:, None]
    later = later.reshape((1,) * (grouped.ndim - 1) + later.shape)
    before = jnp.sum((other > one) | ((other == one) & later), axis=-1)
    return jnp.moveaxis(before < rows.n, -1, axis + 1).reshape(shape)
