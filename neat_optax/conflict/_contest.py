"""The contest: measure a gradient against an opponent, decide, combine.

One pass over the parameters measures inner products, `rules` turn those few numbers
into two coefficients per scope, and one more pass applies them and advances the
opponent. The functions for one leaf are jitted, so that a leaf's tracing is cached by
shape and a tree of a thousand leaves traces almost as fast as one of ten.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from neat_optax import _checks, _tree
from neat_optax._leaves import Scope, per_leaf, sum_by_owner
from neat_optax.conflict import _decide, _passes
from neat_optax.conflict._opponents import Opponent
from neat_optax.conflict._passes import Measured, Verdict
from neat_optax.conflict._plan import Output, Plan, make_plan


class ContestState(NamedTuple):
    """State of `contest`."""

    step: jax.Array  # [] int32
    memories: tuple[optax.Params, ...]  # one tree like the parameters for each history
    rules: optax.OptState  # each array with a leading axis over scopes


def contest(
    opponent: Opponent,
    rules: optax.GradientTransformation,
    *,
    scope: Scope = per_leaf,
    watch_decay: optax.ScalarOrSchedule | None = None,
    output: Output | None = None,
    accumulator_dtype: DTypeLike | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Corrects a gradient by what `rules` decide about it and its opponent.

    .. math:: u = g + a\, g + b\, o

    with the coefficients :math:`a, b` chosen per scope by `rules` from
    :math:`g \cdot g`, :math:`g \cdot o` and :math:`o \cdot o`.

    Args:
      opponent: what the gradient is compared with.
      rules: an optax transformation whose updates are `Contest` nodes; compose the
        rules with `optax.chain`.
      scope: over which parameters the inner products are summed: `per_leaf`,
        `whole_tree` or `by_label(labels)`.
      watch_decay: if set, the contest also keeps the gradient's exponential average,
        with this decay, and the previous gradient, and measures `noise` and
        `steadiness` for `adapt_alpha`. Costs up to two buffers.
      output: what to return instead of the corrected gradient, such as its momentum.
      accumulator_dtype: dtype of the histories; by default the parameters' own.

    Returns:
      A transformation. `update` takes the extra arguments `opponent=` (a tree like the
      updates, needed by `given()`) and `metric=` (a positive tree like the updates:
      conflict is then measured between `g / metric` and `o / metric`). The update has
      the dtype of the gradient. A scope whose gradient is zero, or whose opponent is
      zero or not finite, is not corrected. A scope whose gradient is not
      finite, or whose squared norm overflows, gives a zero update and leaves its
      histories as they were.

    Raises:
      ValueError: at trace time, for integer leaves, for a leaf whose shape is not the
        parameter's (a player axis that was not reduced, for instance), or for a
        missing or mismatched `opponent=` or `metric=`.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> rules = optax.chain(neo.detect_conflict(), neo.project_conflict(0.5))
      >>> tx = neo.contest(neo.opponents.given(), rules)
      >>> g, o = jnp.array([1.0, 0.0]), jnp.array([-1.0, 0.0])
      >>> update, _ = tx.update(g, tx.init(g), opponent=o)
      >>> update.tolist()
      [0.5, 0.0]
    """
    _checks.check_kind("opponent", opponent, Opponent)
    _checks.check_kind("rules", rules, optax.GradientTransformation)
    _checks.check_kind("scope", scope, Scope)
    _checks.check_dtype("accumulator_dtype", accumulator_dtype)
    plan = make_plan(opponent, watch_decay, output)
    measure = jax.jit(functools.partial(_passes.measure, plan))
    decide = jax.jit(jax.vmap(functools.partial(_decide_scope, rules), (0, 0, None)))
    combine = jax.jit(functools.partial(_passes.combine, plan))

    def init_fn(params: optax.Params) -> ContestState:
        _checks.check_inexact("params", params)
        zeros = functools.partial(jnp.zeros_like, dtype=accumulator_dtype)
        measures = _passes.blank(watch_decay is not None)
        blank: Any = _decide.open_contest(measures, jnp.zeros((), jnp.int32))
        count = scope.count(params)
        return ContestState(
            step=jnp.zeros((), jnp.int32),
            memories=tuple(jax.tree.map(zeros, params) for _ in plan.histories),
            rules=jax.tree.map(
                lambda x: jnp.broadcast_to(x, (count, *jnp.shape(x))),
                rules.init(blank),
            ),
        )

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        *,
        opponent: optax.Updates | None = None,
        metric: optax.Updates | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ContestState]:
        del extra_args
        _check_update(plan, updates, state, params, opponent, metric)
        gradients, treedef = jax.tree.flatten(updates)
        memories = _by_leaf(state.memories, len(gradients))
        opponents = _leaves_or_none(opponent, len(gradients))
        metrics = _leaves_or_none(metric, len(gradients))
        step = state.step

        measures = [
            measure(*leaf, step)
            for leaf in zip(gradients, memories, opponents, metrics, strict=True)
        ]
        owners = scope.owners(updates)
        verdicts, rules_state = _decide.decide_each(
            decide, sum_by_owner(measures, owners), state.rules, step
        )
        combined = [
            combine(*leaf, verdicts[owner], step)
            for *leaf, owner in zip(gradients, memories, opponents, owners, strict=True)
        ]
        new_updates = treedef.unflatten([update for update, _ in combined])
        new_memories = tuple(
            treedef.unflatten([memories[slot] for _, memories in combined])
            for slot in range(len(plan.histories))
        )
        new_step = _tree.increment(step)
        return new_updates, ContestState(new_step, new_memories, rules_state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _decide_scope(
    rules: optax.GradientTransformation,
    measures: Measured,
    state: optax.OptState,
    step: jax.Array,
) -> tuple[Verdict, optax.OptState]:
    """Runs the rules on one scope."""
    decided, new_state = _decide.decide(rules, measures, state, step)
    finite = measures.raw.gg < jnp.inf
    return Verdict(finite, decided.on_gradient, decided.on_opponent), new_state


def _by_leaf(
    memories: tuple[optax.Params, ...], count: int
) -> list[tuple[jax.Array, ...]]:
    if not memories:
        return [()] * count
    return list(zip(*(jax.tree.leaves(memory) for memory in memories), strict=True))


def _leaves_or_none(tree: optax.Updates | None, count: int) -> list[Any]:
    return [None] * count if tree is None else jax.tree.leaves(tree)


def _check_update(
    plan: Plan,
    updates: optax.Updates,
    state: ContestState,
    params: optax.Params | None,
    opponent: optax.Updates | None,
    metric: optax.Updates | None,
) -> None:
    _checks.check_inexact("updates", updates)
    if state.memories:
        _checks.check_same_structure(
            "updates", updates, "params at init", state.memories[0]
        )
    elif params is not None:
        _checks.check_same_structure("updates", updates, "params", params)
    if plan.needs_given and opponent is None:
        raise ValueError(
            "`opponent` must be passed to update for given(), got None: "
            "call tx.update(updates, state, params, opponent=tree)."
        )
    for name, tree in (("opponent", opponent), ("metric", metric)):
        if tree is not None:
            _checks.check_same_structure(name, tree, "updates", updates)
