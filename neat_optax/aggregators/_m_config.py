"""M-ConFIG: ConFIG on momentum, for one player's gradient in each step."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax.aggregators._conflict_free import conflict_free
from neat_optax.aggregators._per_player import per_player
from neat_optax.aggregators._pseudo_gradient import bias_share, divide_by_pseudo_root


class MConFIGState(NamedTuple):
    """State of `m_config`."""

    step: jax.Array  # [] int32: steps since every player has been seen
    average: Any  # an `optax.EmaState` of each player: [P] and [P, ...]
    direction: Any  # an `AggregateState`
    momentum: Any  # the last direction, biased as an average of so many steps would be
    second_moment: Any


@cites("liu2024config")
def m_config(
    decay: float = 0.9,
    second_moment_decay: float = 0.999,
    eps: float = 1e-8,
    *,
    num_players: int,
    preference: Any = None,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""M-ConFIG: ConFIG on each player's EMA, divided by Adam's second-moment root.

    .. math:: m_i \leftarrow \beta_1 m_i + (1 - \beta_1)\, g_i \quad
        \text{for fresh players}, \qquad
        d = \operatorname{ConFIG}\left(\frac{m_i}{1 - \beta_1^{t_i}}\right), \qquad
        u = \frac{d}{\sqrt{\hat v} + \epsilon}

    with :math:`t_i` the gradients seen of player `i`, and :math:`\hat v` the second
    moment of the gradient that would have moved an average to `d`; see
    `divide_by_pseudo_root`.
    Made for one backward pass in each step: gradients of all players come in, and the
    extra argument `present=` says which are fresh, so that one gradient a step is a
    one-hot `present=`. The others' rows may hold anything and their averages still
    count. The update is zero until every player has been seen. Use it like Adam,
    followed by a learning rate only. The division may make a direction without conflict
    conflict again.

    A zero gradient is averaged like any other; where all averages are zero, so is the
    update. A gradient that is not finite counts as not fresh.

    Args:
      decay: :math:`\beta_1` in [0, 1).
      second_moment_decay: :math:`\beta_2` in [0, 1).
      eps: nonnegative :math:`\epsilon`.
      num_players: `P`.
      preference: see `conflict_free`.
      scope, monitor: see `aggregate`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.m_config(num_players=2)
      >>> g, state = jnp.array([[1.0, 2.0], [2.0, 1.0]]), tx.init(jnp.zeros(2))
      >>> for fresh in jnp.eye(2, dtype=bool):
      ...     update, state = tx.update(g, state, present=fresh)
      ...     print(update.round(4))
      [0. 0.]
      [1. 1.]

    References:
      Liu, Chu and Thuerey, "ConFIG: Towards Conflict-free Training of Physics Informed
      Neural Networks", 2024, Algorithm 1. As in the authors' code, which keeps the
      averages in a list and divides the same way.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    intervals = {
        "decay": "[0, 1)",
        "second_moment_decay": "[0, 1)",
        "eps": "[0, inf)",
    }
    given = {
        "decay": decay,
        "second_moment_decay": second_moment_decay,
        "eps": eps,
    }
    _checks.check_fields(given, intervals)
    averaging = per_player(optax.ema(decay, debias=False), num_players=num_players)
    reduce = conflict_free(
        preference=preference, scope=scope, num_players=num_players, monitor=monitor
    )

    def init_fn(params: Any) -> MConFIGState:
        zeros = optax.tree.zeros_like(params)
        return MConFIGState(
            step=jnp.zeros((), jnp.int32),
            average=averaging.init(params),
            direction=reduce.init(params),
            momentum=zeros,
            second_moment=jax.tree.map(jnp.real, zeros),
        )

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ):
        average: Any
        _, average = averaging.update(updates, state.average, params, **extra_args)
        shared = {k: v for k, v in extra_args.items() if k != "present"}
        debiased = _debias(average, decay)
        combined, direction = reduce.update(debiased, state.direction, params, **shared)
        started = jnp.all(average.count > 0)
        step = jnp.where(started, _tree.increment(state.step), state.step)

        def advance(d: jax.Array, *memory: jax.Array):
            decays = (decay, second_moment_decay)
            wide, first, second = map(_tree.widen, (d, *memory))
            count = jnp.maximum(step, 1)
            new = divide_by_pseudo_root(wide, first, second, count, decays, eps)
            old = (jnp.zeros_like(d), *memory)
            pairs = zip(new, old, strict=True)
            return [jnp.where(started, n.astype(o.dtype), o) for n, o in pairs]

        leaves, treedef = jax.tree.flatten(combined)
        memories = map(jax.tree.leaves, (state.momentum, state.second_moment))
        rows = [advance(*row) for row in zip(leaves, *memories, strict=True)]
        update, momentum, second_moment = (
            treedef.unflatten([row[column] for row in rows]) for column in range(3)
        )
        return update, MConFIGState(step, average, direction, momentum, second_moment)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _debias(average: Any, decay: float) -> Any:
    """The averages of each player's gradients; zero for one that was never seen."""
    factors = _tree.safe_divide(1.0, bias_share(decay, average.count))

    def debias(leaf: jax.Array):
        rows = factors.reshape(-1, *[1] * (leaf.ndim - 1))
        return (_tree.widen(leaf) * rows).astype(leaf.dtype)

    return jax.tree.map(debias, average.ema)
