"""Accumulation over micro-batches, for each player by itself."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _factored, _tree
from neat_optax.aggregators._gramian import Extras
from neat_optax.aggregators._per_player import find_finite


class AccumulateState(NamedTuple):
    """State of `accumulate_players`."""

    mini_step: jax.Array  # [] int32: micro-batches since the last update
    counts: jax.Array  # [P] int32: in how many of them each player was
    gradients: Any  # [P, ...] float32 or wider: sums over those
    losses: jax.Array  # [P] float32: sums over those
    inner: Any


def accumulate_players(
    inner: optax.GradientTransformation, every: int, *, num_players: int
) -> optax.GradientTransformationExtraArgs:
    r"""Means of each player's gradients over micro-batches, before one aggregation.

    .. math:: \bar g_i = \frac{1}{n_i} \sum_{m \,:\, i \text{ present}} g_i^{(m)}

    What `optax.MultiSteps` is for one gradient. That cannot stand around an aggregator,
    and an aggregation of every micro-batch is another method: it sees the noise of each
    as conflict. A player counts where it is present and finite, and is absent from the
    update if it was in no micro-batch.

    Args:
      inner: an aggregator with what follows it, which keeps its own state.
      every: micro-batches in each update, at least 1.
      num_players: `P`.

    Returns:
      A transformation from gradients with a leading player axis to an update, which is
      zero but after every `every`-th micro-batch; only then does `inner` run. `inner`
      is passed `present=`, the means of `losses=`, and other extra arguments as the
      last micro-batch has them. Memory: `P` times the parameters.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> tx = optax.chain(neo.aggregators.sum(), optax.sgd(1.0))
      >>> tx = accumulate_players(tx, every=2, num_players=2)
      >>> p, g = jnp.array([0.0]), jnp.array([[1.0], [2.0]])
      >>> first, state = tx.update(g, tx.init(p), p)
      >>> second, state = tx.update(3 * g, state, p)
      >>> print(first, second)
      [0.] [-6.]
    """
    _checks.check_kind("inner", inner, optax.GradientTransformation)
    _checks.check_count("every", every, minimum=1)
    _checks.check_count("num_players", num_players, minimum=1)
    inner = optax.with_extra_args_support(inner)

    def init_fn(params: optax.Params) -> AccumulateState:
        def stack(leaf: Any) -> jax.Array:
            dtype = jnp.result_type(jnp.float32, leaf.dtype)
            return jnp.zeros((num_players, *leaf.shape), dtype)

        return AccumulateState(
            jnp.zeros((), jnp.int32),
            jnp.zeros((num_players,), jnp.int32),
            jax.tree.map(stack, params),
            jnp.zeros((num_players,), jnp.float32),
            inner.init(params),
        )

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, AccumulateState]:
        updates = _factored.explicit(updates)
        count = _checks.check_players(updates, params)
        if not count:
            return updates, state
        _checks.check_num_players(num_players, count)
        extras = Extras.read(extra_args, updates, count)
        held = _add(state, updates, extras)

        def emit() -> tuple[optax.Updates, optax.OptState]:
            given = {**extra_args, "present": held.counts > 0}
            if extras.losses is not None:
                given["losses"] = _mean(held.losses, held.counts)
            means = jax.tree.map(
                lambda total, g: _mean(total, held.counts).astype(g.dtype),
                held.gradients,
                updates,
            )
            update, new = inner.update(means, state.inner, params, **given)
            return update, _tree.cast_like(new, state.inner)

        def wait() -> tuple[optax.Updates, optax.OptState]:
            update, _ = jax.eval_shape(emit)
            return optax.tree.zeros_like(update), state.inner

        update, own = jax.lax.cond(held.mini_step == 0, emit, wait)
        return update, held._replace(inner=own)

    def _add(state: AccumulateState, updates: Any, extras: Extras) -> AccumulateState:
        """The sums with a micro-batch more; the first after an update starts anew."""
        keep = extras.present & find_finite(updates)

        def add(total: jax.Array, new: jax.Array) -> jax.Array:
            kept = jnp.where(_rows(keep, new), new, 0).astype(total.dtype)
            return jnp.where(state.mini_step == 0, 0, total) + kept

        losses = state.losses if extras.losses is None else extras.losses
        return AccumulateState(
            (state.mini_step + 1) % every,
            add(state.counts, jnp.ones_like(state.counts)),
            jax.tree.map(add, state.gradients, updates),
            add(state.losses, losses),
            state.inner,
        )

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _mean(total: jax.Array, counts: jax.Array) -> jax.Array:
    return total / _rows(jnp.maximum(counts, 1), total)


def _rows(values: jax.Array, stack: jax.Array) -> jax.Array:
    """`[P]` values that broadcast over an array [P, ...]."""
    return values.reshape(-1, *[1] * (stack.ndim - 1))
