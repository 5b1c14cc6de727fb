"""The contest: measure a gradient against an opponent, decide, combine.

One pass over the parameters measures inner products, `rules` turn those few numbers
into two coefficients per scope, and one more pass applies them and advances the
opponent. The functions for one leaf are jitted, so that a leaf's tracing is cached by
shape and a tree of a thousand leaves traces almost as fast as one of ten.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax.alignment import Alignment, Contest
from neat_optax.opponents import (
    History,
    Opponent,
    gradient_ema,
    previous_gradient,
    value_at,
)
from neat_optax.scopes import Scope, per_leaf


class ContestState(NamedTuple):
    """State of `contest`."""

    step: jax.Array  # [] int32
    memories: tuple[Any, ...]  # one tree like the parameters for each history
    rules: Any  # the rules' state, each array with a leading axis over scopes


class Output(NamedTuple):
    """What a contest hands on instead of the corrected gradient.

    `emit(corrected, memory, step)` returns one leaf's update from the corrected
    gradient and the new memory of `history`.
    """

    history: History
    emit: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


class _Measures(NamedTuple):
    """Sums over one leaf or one scope."""

    size: jax.Array
    raw: Alignment
    metric: Alignment | None
    history: "_HistoryMeasures | None"


class _HistoryMeasures(NamedTuple):
    gap: jax.Array  # |g - ema|^2, measured and not expanded: the expansion cancels
    ema: jax.Array  # |ema|^2
    previous: Alignment


class _Verdict(NamedTuple):
    """What `decide` tells `combine` about one scope."""

    finite: jax.Array
    on_gradient: jax.Array
    on_opponent: jax.Array


def contest(
    opponent: Opponent,
    rules: optax.GradientTransformation,
    *,
    scope: Scope = per_leaf,
    watch_decay: optax.ScalarOrSchedule | None = None,
    output: Output | None = None,
    accumulator_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Corrects a gradient by what `rules` decide about it and its opponent.

    .. math:: u = g + a\, g + b\, o

    with the coefficients :math:`a, b` chosen per scope by `rules` from
    :math:`g \cdot g`, :math:`g \cdot o` and :math:`o \cdot o`.

    Args:
      opponent: whom the gradient is compared with.
      rules: an optax transformation whose updates are `Contest` nodes; compose the
        rules with `optax.chain`.
      scope: over which parameters the inner products are summed: `per_leaf`,
        `whole_tree` or `by_label(labels)`.
      watch_decay: if set, the contest also keeps the gradient's exponential average,
        with this decay, and the previous gradient, and measures `noise` and
        `steadiness` for `adapt_alpha`. Costs up to two buffers.
      output: what to hand on instead of the corrected gradient, such as its momentum.
      accumulator_dtype: dtype of the histories; by default the parameters' own.

    Returns:
      A transformation. `update` takes the extra arguments `opponent=` (a tree like the
      updates, needed by `given()`) and `metric=` (a positive tree like the updates:
      conflict is then measured between `g / metric` and `o / metric`). The update has
      the dtype of the gradient. A scope whose gradient is zero, or whose opponent is
      zero or not finite, is handed on uncorrected. A scope whose gradient is not
      finite, or whose squared norm overflows, gives a zero update and leaves its
      histories as they were.

    Raises:
      ValueError: at trace time, for integer leaves, for a leaf whose shape is not the
        parameter's (a player axis that was not reduced, for instance), or for a
        missing or mismatched `opponent=` or `metric=`.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as no
      >>> rules = optax.chain(no.detect_conflict(), no.project_conflict(0.5))
      >>> tx = no.contest(no.given(), rules)
      >>> g, o = jnp.array([1.0, 0.0]), jnp.array([-1.0, 0.0])
      >>> update, _ = tx.update(g, tx.init(g), opponent=o)
      >>> update.tolist()
      [0.5, 0.0]
    """
    plan = _plan(opponent, watch_decay, output)
    measure = jax.jit(functools.partial(_measure, plan))
    decide = jax.jit(functools.partial(_decide, rules))
    combine = jax.jit(functools.partial(_combine, plan))

    def init_fn(params):
        _checks.check_inexact("params", params)
        zeros = functools.partial(jnp.zeros_like, dtype=accumulator_dtype)
        blank = _open(_blank_measures(watch_decay is not None), jnp.zeros((), jnp.int32))
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
        updates, state, params=None, *, opponent=None, metric=None, **extra_args
    ):
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
        verdicts, rules_state = _decide_each(
            decide, _sum_by_owner(measures, owners), state.rules, step
        )
        combined = [
            combine(*leaf, verdicts[owner], step)
            for *leaf, owner in zip(
                gradients, memories, opponents, owners, strict=True
            )
        ]
        new_updates = treedef.unflatten([update for update, _ in combined])
        new_memories = tuple(
            treedef.unflatten([memories[slot] for _, memories in combined])
            for slot in range(len(plan.histories))
        )
        new_step = optax.safe_increment(step)
        return new_updates, ContestState(new_step, new_memories, rules_state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


class _Plan(NamedTuple):
    """Which buffers a contest keeps, and who reads which of them."""

    histories: tuple[History, ...]
    look: Callable[..., jax.Array]
    opponent_slots: tuple[int, ...]
    watch_slots: tuple[int, ...]  # (gradient_ema, previous_gradient), or ()
    output_slot: int | None
    emit: Callable[..., jax.Array] | None

    def direction(self, memories, given, step):
        """The opponent's direction for one leaf, in working precision."""
        seen = tuple(_tree.widen(memories[slot]) for slot in self.opponent_slots)
        return _tree.widen(self.look(seen, given, step))

    def advance(self, slot, memory, gradient, corrected, finite, step):
        """The next memory of one leaf; the old one where the gradient is not finite."""
        history = self.histories[slot]
        old = _tree.widen(memory)
        decay = value_at(history.decay, step)
        new = history.advance(old, gradient, corrected, decay)
        return jnp.where(finite, new, old)


def _plan(opponent: Opponent, watch_decay, output: Output | None) -> _Plan:
    if watch_decay is not None:
        _checks.check_number("watch_decay", watch_decay, "[0, 1)")
    histories: list[History] = []

    def slot(history: History) -> int:
        for index, known in enumerate(histories):
            if known.same_as(history):
                return index
        histories.append(history)
        return len(histories) - 1

    watched = (
        gradient_ema(watch_decay).histories + previous_gradient().histories
        if watch_decay is not None
        else ()
    )
    opponent_slots = tuple(slot(history) for history in opponent.histories)
    watch_slots = tuple(slot(history) for history in watched)
    output_slot = None if output is None else slot(output.history)
    emit = None if output is None else output.emit
    return _Plan(
        tuple(histories), opponent.look, opponent_slots, watch_slots, output_slot, emit
    )


def _measure(plan: _Plan, gradient, memories, given, metric, step) -> _Measures:
    """All inner products of one leaf: the only pass over the parameters that reads."""
    g = _tree.widen(gradient)
    o = plan.direction(memories, given, step)
    history = None
    if plan.watch_slots:
        ema, previous = (_tree.widen(memories[slot]) for slot in plan.watch_slots)
        history = _HistoryMeasures(
            gap=_tree.inner(g - ema, g - ema),
            ema=_tree.inner(ema, ema),
            previous=Alignment(*_tree.gram(g, previous)),
        )
    return _Measures(
        size=jnp.asarray(g.size, jnp.float32),
        raw=Alignment(*_tree.gram(g, o)),
        metric=(
            None if metric is None else Alignment(*_tree.gram(g / metric, o / metric))
        ),
        history=history,
    )


def _blank_measures(watched: bool) -> _Measures:
    zero = jnp.zeros((), jnp.float32)
    blank = Alignment(zero, zero, zero)
    history = _HistoryMeasures(zero, zero, blank) if watched else None
    return _Measures(zero, blank, None, history)


def _open(measures: _Measures, step) -> Contest:
    """The contest of one scope as the rules find it: measured, nothing decided."""
    raw = measures.raw
    zero = jnp.zeros_like(raw.gg)
    noise, steadiness = _noise_and_steadiness(measures)
    return Contest(
        step=step,
        size=measures.size,
        alignment=raw if measures.metric is None else measures.metric,
        raw=raw,
        noise=noise,
        steadiness=steadiness,
        conflict=zero,
        strength=zero + 1,
        alpha=zero,
        on_gradient=zero,
        on_opponent=zero,
    )


def _noise_and_steadiness(measures: _Measures):
    if measures.history is None:
        return None, None
    gap, ema, previous = measures.history
    norms = jnp.sqrt(measures.raw.gg) + jnp.sqrt(ema)
    noise = _tree.safe_divide(jnp.sqrt(gap), norms)
    return jnp.where(norms < jnp.inf, noise, 0.0), previous.cosine


def _decide(rules, measures: _Measures, state, step) -> tuple[_Verdict, Any]:
    """Runs the rules on one scope."""
    decided, new_state = rules.update(_open(measures, step), state)
    finite = measures.raw.gg < jnp.inf
    new_state = jax.tree.map(lambda new, old: new.astype(old.dtype), new_state, state)
    verdict = _Verdict(finite, decided.on_gradient, decided.on_opponent)
    return verdict, new_state


def _decide_each(decide, measures: list[_Measures], state, step):
    """Runs the rules scope by scope; their states are rows of stacked arrays."""
    rows = [jax.tree.map(lambda x, i=i: x[i], state) for i in range(len(measures))]
    decided = [
        decide(scope_measures, row, step)
        for scope_measures, row in zip(measures, rows, strict=True)
    ]
    new_rows = [row for _, row in decided]
    if new_rows and jax.tree.leaves(state):
        state = jax.tree.map(lambda *xs: jnp.stack(xs), *new_rows)
    return [verdict for verdict, _ in decided], state


def _combine(plan: _Plan, gradient, memories, given, verdict: _Verdict, step):
    """One leaf's update and next memories: the only pass that writes.

    The output is computed first and held behind a barrier, so that each history is
    overwritten after its last reader and XLA need not copy it.
    """
    update, output_memory = _emit(plan, gradient, memories, given, verdict, step)
    pending = [i for i in range(len(memories)) if i != plan.output_slot]
    if pending:
        update, output_memory, gradient, memories = jax.lax.optimization_barrier(
            (update, output_memory, gradient, memories)
        )
    g = _tree.widen(gradient)
    corrected = _corrected(plan, gradient, memories, given, verdict, step)
    new_memories = [output_memory] * len(memories)
    for slot in pending:
        memory = memories[slot]
        new = plan.advance(slot, memory, g, corrected, verdict.finite, step)
        new_memories[slot] = new.astype(memory.dtype)
    return update, tuple(new_memories)


def _emit(plan: _Plan, gradient, memories, given, verdict: _Verdict, step):
    """The update, and the new memory that it is made from, if any."""
    corrected = _corrected(plan, gradient, memories, given, verdict, step)
    if plan.output_slot is None:
        update = jnp.where(verdict.finite, corrected, 0)
        return update.astype(gradient.dtype), None
    memory = memories[plan.output_slot]
    g = _tree.widen(gradient)
    new = plan.advance(plan.output_slot, memory, g, corrected, verdict.finite, step)
    update = jnp.where(verdict.finite, plan.emit(corrected, new, step), 0)
    return update.astype(gradient.dtype), new.astype(memory.dtype)


def _corrected(plan: _Plan, gradient, memories, given, verdict: _Verdict, step):
    g = _tree.widen(gradient)
    o = plan.direction(memories, given, step)
    idle = verdict.on_opponent == 0  # keeps a non-finite given opponent out
    return (1 + verdict.on_gradient) * g + jnp.where(idle, 0, verdict.on_opponent * o)


def _sum_by_owner(measures: list[_Measures], owners: tuple[int, ...]):
    """Sums the leaves' measures over each scope."""
    totals: dict[int, _Measures] = {}
    for owner, measured in zip(owners, measures, strict=True):
        known = totals.get(owner)
        totals[owner] = (
            measured if known is None else jax.tree.map(jnp.add, known, measured)
        )
    return [totals[owner] for owner in sorted(totals)]


def _by_leaf(memories: tuple[Any, ...], count: int) -> list[tuple[jax.Array, ...]]:
    if not memories:
        return [()] * count
    return list(zip(*(jax.tree.leaves(memory) for memory in memories), strict=True))


def _leaves_or_none(tree: Any, count: int) -> list[Any]:
    return [None] * count if tree is None else jax.tree.leaves(tree)


def _check_update(plan: _Plan, updates, state: ContestState, params, opponent, metric):
    _checks.check_inexact("updates", updates)
    if state.memories:
        _checks.check_same_structure(
            "updates", updates, "params at init", state.memories[0]
        )
    elif params is not None:
        _checks.check_same_structure("updates", updates, "params", params)
    if not plan.opponent_slots and opponent is None:
        raise ValueError(
            "`opponent` must be passed to update for given(), got None: "
            "call tx.update(updates, state, params, opponent=tree)."
        )
    for name, tree in (("opponent", opponent), ("metric", metric)):
        if tree is not None:
            _checks.check_same_structure(name, tree, "updates", updates)
