"""Selective weight reinitialization: the least useful weights are drawn anew."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._alike import map_alike, numbers
from neat_optax._citing import cites
from neat_optax._largest import keep_largest
from neat_optax._leaves import Mask, as_mask, chosen, zeros
from neat_optax._random import check_key, key_at
from neat_optax._schedules import value_at, when
from neat_optax.sparsity import _scores

_NAME = "swr"


class SwrState(NamedTuple):
    """State of `swr`."""

    step: jax.Array  # [] int32
    start: jax.Array  # [leaves, 2] float32 or wider: mean and spread at init
    utility: Any  # like the parameters, float32: averages from zero; () without one
    memory: Any  # of the score


@cites("hernandezgarcia2025reinitializing")
def swr(
    fraction: optax.ScalarOrSchedule | None = None,
    *,
    threshold: optax.ScalarOrSchedule | None = None,
    every: int,
    score: Any = _scores.magnitude,
    decay: float = 0.0,
    key: jax.Array | int = 0,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Draws the least useful weights of each array anew, every so many steps: SWR.

    Every :math:`k` steps, among the :math:`n` new weights :math:`z = w + u` of an array
    with utilities :math:`U`, these are drawn from the distribution at the start:

    .. math:: \text{the } \lfloor \rho n \rfloor + B \text{ with the lowest } U,
        \quad B \sim \operatorname{Bernoulli}(\rho n - \lfloor \rho n \rfloor),
        \qquad \text{or those with } U \le \tau \bar U

    The utility is the score, or its average
    :math:`U \leftarrow \beta U + (1 - \beta) \text{score}`, which starts at zero again
    each time. The distribution is normal with the mean and the standard deviation that
    the array had at the start, so that a bias that starts at zero goes back to zero,
    and a scale to one. A weight that is not finite is never drawn anew.

    Args:
      fraction: :math:`\rho` in [0, 1], or a schedule; this or `threshold`.
      threshold: :math:`\tau` at least 0, or a schedule.
      every: :math:`k`, steps from one time to the next.
      score: a score of `sparsity`, or a function of the weights alone: `magnitude`;
        `saliency`, which is the authors' gradient utility and needs `grad=`, as
        `pass_gradient` passes it; or `random(seed)`.
      decay: :math:`\beta` in [0, 1), a plain number. With 0 nothing is kept. Under
        `optax.inject_hyperparams` it belongs in `static_args`.
      key: a random key or a seed; the step is folded into it.
      mask: which parameters take part, as in `l2_to_init`.

    Returns:
      A transformation that needs `params` and goes last in a chain. The moments of the
      optimizer go on, as in the authors' code.

    Raises:
      ValueError: unless one of `fraction` and `threshold` is given; at update, if what
        the score needs is missing, or for a fraction of more than 2^31 - 1 weights.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = swr(0.5, every=1)
      >>> w = jnp.array([3.0, 0.0, 0.1, -2.0])
      >>> u, _ = tx.update(jnp.zeros(4), tx.init(w), w)
      >>> (u == 0).tolist()
      [True, False, False, True]

    References:
      Hernandez-Garcia, Dohare, Luo and Sutton, "Reinitializing weights vs units for
      maintaining plasticity in neural networks", 2025. The authors' code
      is told the distribution, normal or uniform.
    """
    rule, level = _rule(fraction, threshold)
    _checks.check_fields({"decay": decay}, {"decay": "[0, 1)"})
    check_key("key", key)
    score = _scores.as_score(score)
    cadence = when(0, every, None)

    def init_fn(params: optax.Params) -> SwrState:
        _checks.check_inexact("params", params)
        utility = zeros(params, as_mask(mask), real=True) if decay else ()
        memory = _scores.start_memory(score, params)
        return SwrState(jnp.zeros((), jnp.int32), _start(params), utility, memory)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, SwrState]:
        _checks.check_update(updates, params, _NAME)
        step = _tree.increment(state.step)
        due, drawn = cadence.due(step), key_at(key, state.step)
        new = jax.tree.map(lambda w, u: _tree.widen(w) + u, params, updates)
        measured, memory = _scores.measure(
            score, new, state.memory, state.step, extra_args
        )
        numbers = tuple(chosen(params, mask))
        rated = [_scores.rate(score, measured[n]) for n in numbers]
        rated, utility = _remember(decay, numbers, due, rated, state.utility, params)
        amount = jnp.asarray(value_at(level, state.step), jnp.float32)
        moved = _redrawn_if(
            (rule, numbers), due, drawn, (state.start, amount), rated, updates, params
        )
        return moved, SwrState(step, state.start, utility, memory)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _rule(fraction: Any, threshold: Any) -> tuple[Callable[..., jax.Array], Any]:
    """Which weights of an array are drawn anew, and the number that says it."""
    if (fraction is None) == (threshold is None):
        raise ValueError(
            "`fraction` must be given, or `threshold` in its place, got "
            f"{fraction} and {threshold}."
        )
    if threshold is None:
        _checks.check_number("fraction", fraction, "[0, 1]")
        return _lowest, fraction
    _checks.check_number("threshold", threshold, "[0, inf)")
    return _below_mean, threshold


def _lowest(fraction: jax.Array, key: jax.Array, utility: jax.Array) -> jax.Array:
    """A share of the entries, its odd part by chance; among equals the earlier ones."""
    _checks.check_total("params", "weights in each array", utility.size)
    share = fraction * utility.size
    more = jax.random.bernoulli(key, share - jnp.floor(share))
    count = jnp.floor(share).astype(jnp.int32) + more
    everywhere = jnp.ones_like(utility, dtype=bool)
    (kept,) = keep_largest([utility], [everywhere], utility.size - count)
    return ~kept & ~jnp.isnan(utility)


def _below_mean(threshold: jax.Array, key: jax.Array, utility: jax.Array) -> jax.Array:
    """The entries of at most a multiple of the mean."""
    del key
    known = ~jnp.isnan(utility)
    count = jnp.maximum(jnp.sum(known, dtype=utility.dtype), 1)
    mean = jnp.sum(jnp.where(known, utility, 0)) / count
    return utility <= threshold * mean


def _remember(
    decay: float,
    chosen_numbers: Sequence[int],
    due: jax.Array,
    rated: list[jax.Array],
    utility: Any,
    params: optax.Params,
) -> tuple[list[jax.Array], Any]:
    """The utilities of this step, and what is kept of them."""
    if not decay:
        return rated, utility
    treedef = jax.tree.structure(params)
    kept, used = treedef.flatten_up_to(utility), []
    for n, score in zip(chosen_numbers, rated, strict=True):
        new = decay * kept[n] + (1 - decay) * score
        average = jnp.where(jnp.isfinite(new), new, kept[n])
        used.append(jnp.where(jnp.isnan(score), score, average))
        kept[n] = jnp.where(due, 0, average).astype(kept[n].dtype)
    return used, treedef.unflatten(kept)


def _start(params: optax.Params) -> jax.Array:
    """`[leaves, 2]`: mean and standard deviation of each array; 0 for an empty one."""
    leaves = list(map(_tree.widen, jax.tree.leaves(params)))
    rows = [
        jnp.stack([jnp.real(jnp.mean(leaf)), jnp.std(leaf)])
        if leaf.size
        else jnp.zeros(2, jnp.float32)
        for leaf in leaves
    ]
    return jnp.stack(rows) if rows else jnp.zeros((0, 2), jnp.float32)


@functools.partial(jax.jit, static_argnums=0)
def _redrawn_if(
    choice: tuple[Callable[..., jax.Array], tuple[int, ...]],
    due: jax.Array,
    key: jax.Array,
    level: tuple[jax.Array, jax.Array],
    utility: list[jax.Array],
    updates: optax.Updates,
    params: optax.Params,
) -> optax.Updates:
    """Jitted, so that a step outside of `jit` does not compile its branches again."""
    (rule, chosen_numbers), (start, amount) = choice, level
    weights, treedef = jax.tree.flatten(params)
    names = numbers(len(weights))

    def redrawn() -> optax.Updates:
        draw = functools.partial(_redraw, rule, amount, key, start)
        moves = treedef.flatten_up_to(updates)
        parts = [
            (names[n], one, weights[n], moves[n])
            for n, one in zip(chosen_numbers, utility, strict=True)
        ]
        for n, move in zip(chosen_numbers, map_alike(draw, parts, names), strict=True):
            moves[n] = move
        return treedef.unflatten(moves)

    return jax.lax.cond(due, redrawn, lambda: updates)


def _redraw(
    rule: Callable[..., jax.Array],
    amount: jax.Array,
    key: jax.Array,
    start: jax.Array,
    part: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
) -> jax.Array:
    """The update of one array, which leads to new weights where a rule wants them."""
    number, utility, weight, update = part
    odd, drawn = jax.random.split(jax.random.fold_in(key, number))
    mean, spread = start[number]
    wide = _tree.widen(weight)
    noise = jax.random.normal(drawn, weight.shape, wide.dtype)
    fresh = (mean + spread * noise).astype(wide.dtype)
    way = (fresh - wide).astype(update.dtype)
    return jnp.where(rule(amount, odd, utility), way, update)
