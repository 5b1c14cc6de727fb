"""Records whether the applied update conflicts with a player."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _factored, _recording, _stacked, _tree
from neat_optax._recording import MonitorState
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._gramian import Extras
from neat_optax.conflict._alignment import Alignment


class UpdateConflictRecord(NamedTuple):
    """What an applied update does to the players, to first order: float32."""

    update_conflict: jax.Array  # [1] max(0, -smallest cosine)
    harmed: jax.Array  # [1] share of the players with a negative cosine
    update_cosines: jax.Array  # [1, P] cosine of each gradient with -update


def monitor_update_conflict(
    inner: optax.GradientTransformation, *, num_players: int
) -> optax.GradientTransformationExtraArgs:
    r"""Records whether the applied update conflicts with a player's gradient.

    .. math:: \cos(g_i, -\Delta p), \qquad \max(0, -\min_i \cos(g_i, -\Delta p))

    over the whole tree, where :math:`\Delta p` is what `inner` returns. The
    direction of a non-conflicting aggregator harms no player; momentum, a
    preconditioner or decay after it may turn that into an update that does. Wrap the
    whole optimizer, from the aggregator to the learning rate.

    Args:
      inner: an optimizer whose gradients have a leading player axis. Its updates are
        returned unchanged.
      num_players: the number of players.

    Returns:
      A transformation. `diagnostics` reads `update_conflict`, `harmed` (the share of
      the players with a negative cosine) and `update_cosines` ([P]). A player that is
      absent (`present=`), or whose gradient is zero or not finite, has the cosine 0.

    Example:
      >>> import jax.numpy as jnp, optax, neat_optax as neo
      >>> from neat_optax import aggregators
      >>> tx = optax.chain(aggregators.upgrad(), optax.sgd(0.1))
      >>> tx = neo.monitor_update_conflict(tx, num_players=2)
      >>> p, g = jnp.zeros(2), jnp.array([[1.0, 1.0], [-1.0, 0.0]])
      >>> _, state = tx.update(g, tx.init(p), p)
      >>> print(neo.diagnostics(state)["update_conflict"].latest)
      0.0
    """
    _checks.check_count("num_players", num_players, minimum=1)
    inner = optax.with_extra_args_support(inner)

    def init_fn(params: optax.Params) -> MonitorState:
        one = jnp.zeros((1,), jnp.float32)
        blank = UpdateConflictRecord(one, one, jnp.zeros((1, num_players), jnp.float32))
        recorded = _recording.start(blank, one + 1)
        return MonitorState(inner.init(params), jnp.zeros((), jnp.int32), recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, MonitorState]:
        count = _checks.check_players(_factored.specs(updates), params)
        if count:
            _checks.check_num_players(num_players, count)
        applied, inner_state = inner.update(updates, state.inner, params, **extra_args)
        present = Extras.read(extra_args, updates, num_players).present
        leaves, _ = _factored.flatten(updates)
        cosines = _cosines(leaves, jax.tree.leaves(applied), present)
        latest = UpdateConflictRecord(
            update_conflict=jnp.maximum(-jnp.min(cosines, initial=0), 0)[None],
            harmed=jnp.mean(cosines < 0, dtype=jnp.float32)[None],
            update_cosines=cosines[None],
        )
        one = state.recorded.size
        recorded = _recording.advance(state.recorded, latest, one, state.step)
        return applied, MonitorState(inner_state, _tree.increment(state.step), recorded)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _cosines(
    stacks: list[jax.Array], updates: list[jax.Array], present: Bool[Array, " P"]
) -> Float[Array, " P"]:
    """Cosine of every player's gradient with the update as a descent step."""
    if not stacks:
        return jnp.zeros(present.shape, jnp.float32)
    squares = sum(_stacked.squared_norms(stack) for stack in stacks)
    pairs = zip(stacks, updates, strict=True)
    products = sum(_stacked.products(stack, update) for stack, update in pairs)
    lengths = [_tree.inner(update, update) for update in updates]
    length = functools.reduce(jnp.add, lengths)
    usable = jnp.isfinite(squares) & present
    alignment = Alignment(
        jnp.where(usable, squares, 0), jnp.where(usable, -products, 0), length
    )
    return alignment.cosine.astype(jnp.float32)
