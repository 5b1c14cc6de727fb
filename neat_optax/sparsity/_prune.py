"""Pruning on a schedule, last in a chain: a pruned weight stays zero."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax._granularity import Granularity, entries
from neat_optax._leaves import Mask, Scope, per_leaf
from neat_optax._schedules import value_at, when
from neat_optax.sparsity._allocation import Allocation, uniform
from neat_optax.sparsity._decide import decide
from neat_optax.sparsity._division import Division, divide
from neat_optax.sparsity._scores import Score, Weight, as_score, magnitude
from neat_optax.sparsity._shell import Target, prune_by


@cites("zhu2017prune", "lee2023jaxpruner")
def prune_to_sparsity(
    sparsity: optax.ScalarOrSchedule,
    *,
    begin: int = 0,
    end: int | None = None,
    every: int = 1,
    score: Score | Callable = magnitude,
    scope: Scope = per_leaf,
    allocation: Allocation | Callable = uniform,
    granularity: Granularity = entries,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Prunes the weights with the lowest scores, permanently, to a sparsity schedule.

    At the steps `begin`, `begin + every`, ... up to `end`, and at `end` itself, each
    scope of :math:`n` weights keeps the

    .. math:: \max(1, \lfloor n\, (1 - s_t) \rfloor)

    with the highest scores among those that it still has, where :math:`s_t` is the
    schedule's value. In between, and afterwards, the mask holds. Scores are those of
    the parameters before the step, where the gradient was taken. Nothing revives a
    pruned weight, and a schedule that falls changes nothing.

    Put it last in the chain, after momentum, weight decay, learning rate and
    lookahead: then the parameters are sparse after every single step, in every dtype.

    Args:
      sparsity: the share to prune, in [0, 1), or a schedule; values of a schedule are
        cut to [0, 1]. `optax.polynomial_schedule(0.0, 0.9, 3, steps, begin)` is the
        cubic of Zhu and Gupta, `optax.linear_schedule` a ramp.
      begin: the first step at which the mask changes, at least 0.
      end: the last such step, or None. With the last step of a ramp, the ramp reaches
        its end whatever `every` is.
      every: steps between two changes, at least 1.
      score: what is kept: `magnitude`, `saliency`, `movement`, `snip`,
        `wanda`, `random(seed)`, or a function from an array of weights to one of
        scores. Among equal scores the later entries are kept.
      scope: what shares one count and one threshold: `per_leaf`, `whole_tree` for
        global pruning, or `by_label(...)`.
      allocation: how the sparsity is divided among arrays: `uniform`,
        `erdos_renyi_kernel`, or a function of shapes and sparsity. Within one scope
        only the total counts.
      granularity: what is kept or pruned as one: `entries`, `units(axis)`,
        `blocks(...)`. Counts are then counts of these.
      mask: which arrays are pruned, as in optax: a tree of bools or a function from the
        parameters to one; by default `kernels`, which leaves biases and scales out.

    Returns:
      A transformation that needs `params`, and `grad=` or `input_norms=` where the
      score does: `pass_gradient` around the chain passes the gradient. A parameter that
      is not finite is never pruned, since its score is NaN and counts as the highest.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = optax.chain(optax.sgd(0.1), prune_to_sparsity(0.5))
      >>> params = {"kernel": jnp.array([[3.0, -1.0], [0.5, 2.0]])}
      >>> grads = {"kernel": jnp.ones((2, 2))}
      >>> updates, state = tx.update(grads, tx.init(params), params)
      >>> optax.apply_updates(params, updates)["kernel"].tolist()
      [[2.9000000953674316, 0.0], [0.0, 1.899999976158142]]

    References:
      Zhu and Gupta, "To prune, or not to prune", 2017, section 3; Lee et al., "A
      Unified Library for Sparsity" (JaxPruner), 2023, for the decomposition.
    """
    _checks.check_number("sparsity", sparsity, "[0, 1)")
    cadence = when(begin, every, end)
    division = divide(scope, allocation, granularity, mask)

    def amount(
        highest: jax.Array, step: jax.Array, params: optax.Params, extra_args: Any
    ) -> tuple[jax.Array, Any]:
        del extra_args
        value = value_at(sparsity, step)
        share = jnp.asarray(value, jnp.float32)
        due = cadence.due(step) & (share > highest)
        return due, (share, division.amount(params, value))

    start = lambda _: jnp.zeros((), jnp.float32)  # noqa: E731
    target = Target(start, amount, partial(_decide, division))
    return prune_by("prune_to_sparsity", as_score(score), target)


def _decide(
    division: Division,
    score: Score,
    highest: jax.Array,
    mask: Any,
    measured: Sequence[Weight],
    amount: tuple[jax.Array, Any],
) -> tuple[jax.Array, Any]:
    del highest
    share, counts = amount
    return share, decide(division, score, mask, measured, counts)
