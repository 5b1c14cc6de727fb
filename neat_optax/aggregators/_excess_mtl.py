"""ExcessMTL: multiplicative weights on estimated excess risks."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Scope, whole_tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregate import aggregate
from neat_optax.aggregators._excess_risk import LARGEST, blank_roots, measure_risks
from neat_optax.aggregators._gramian import Extras
from neat_optax.aggregators._losses import masked_softmax
from neat_optax.aggregators._per_player import find_finite, select_players
from neat_optax.aggregators._weighting import Players, Weighting, as_decision


class ExcessState(NamedTuple):
    """What the weights are made of, all [P]."""

    logits: jax.Array  # the largest is 0
    unit: jax.Array  # the risk that counts as 1; 0 where not known
    steps: jax.Array  # int32, of which the unit is a mean


class ExcessMTLState(NamedTuple):
    """State of `excess_mtl`."""

    roots: Any  # [P, ...] root of the sum of squared gradients, float32 or wider
    aggregate: Any  # an `AggregateState`


def excess_mtl_weights(
    risks: Float[Array, " P"],
    logits: Float[Array, " P"] | None = None,
    step_size: float | jax.Array = 1.0,
    present: Bool[Array, " P"] | None = None,
) -> Float[Array, " P"]:
    r"""Weights of ExcessMTL: one exponentiated step.

    .. math:: w = \operatorname{softmax}(\xi + \eta E)

    Args:
      risks: [P] excess risks `E`.
      logits: [P] :math:`\xi`, logarithms of the weights before; equal by default.
      step_size: positive :math:`\eta`.
      present: [P] bool.

    Returns:
      [P] weights of the gradients, which sum to 1.

    Example:
      >>> import jax.numpy as jnp
      >>> print(excess_mtl_weights(jnp.log(jnp.array([1.0, 3.0]))).round(4))
      [0.25 0.75]
    """
    logits = jnp.zeros_like(risks) if logits is None else logits
    mask = jnp.ones(len(risks), bool) if present is None else present
    return masked_softmax(logits + step_size * risks, mask)


@cites("he2024robust")
def excess_mtl(
    step_size: float = 1.0,
    warmup_steps: int = 0,
    *,
    num_players: int,
    scope: Scope = whole_tree,
    monitor: bool = False,
) -> optax.GradientTransformationExtraArgs:
    r"""ExcessMTL: multiplicative weights on each player's excess risk.

    .. math:: u = \sum_i w_i\, g_i, \qquad w_i \propto w_i\, e^{\eta E_i / E_i^0},
        \qquad E_i = \sum_n \frac{g_{in}^2}{\sqrt{\sum_t g_{in}^2}}

    with the inner sum over all steps so far. May conflict with players. The unit
    :math:`E^0` is the mean risk of the warm-up, in which all weights are equal; without
    a warm-up it is the first risk, which itself counts as it is. So without a warm-up
    the first weights depend on the lengths of the gradients, and those of a large model
    are all but one-hot for good: a warm-up is advised. The state holds one array like
    each player's gradient. A zero gradient has no risk; a unit of zero waits for the
    first risk that is not. An absent player is left out and keeps its state.

    Args:
      step_size: positive :math:`\eta`.
      warmup_steps: at least 0; the authors advise three epochs.
      num_players: `P`.
      scope, monitor: see `aggregate`. Risks are summed over all
        parameters whatever the scope.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> tx = aggregators.excess_mtl(num_players=2)
      >>> lengths = jnp.log(jnp.array([2.0, 6.0]))
      >>> update, _ = tx.update(jnp.diag(lengths), tx.init(jnp.zeros(2)))
      >>> print((update / lengths).round(4))
      [0.25 0.75]

    References:
      He et al., "Robust Multi-Task Learning with Excess Risks", 2024, eq. 6, 7 and 9.
      The authors' code, and TorchJD, add 1e-7 to the sum of squares and to the unit,
      which loses gradients that are short; here nothing is added, and zeros are left
      out of the divisions. The root is kept in place of the sum of squares, so that
      squares neither overflow nor vanish.
    """
    _checks.check_count("num_players", num_players, minimum=1)
    intervals = {"step_size": "(0, inf)"}
    _checks.check_fields({"step_size": step_size}, intervals)
    _checks.check_count("warmup_steps", warmup_steps)
    weighting = _weighting(step_size, warmup_steps, num_players)
    reduce = aggregate(weighting, scope=scope, num_players=num_players, monitor=monitor)

    def init_fn(params: Any) -> ExcessMTLState:
        return ExcessMTLState(blank_roots(params, num_players), reduce.init(params))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ):
        count = _checks.check_players(updates, params)
        if not count:
            return updates, state
        _checks.check_num_players(num_players, count)
        keep = Extras.read(extra_args, updates, count).present & find_finite(updates)
        roots, risks = measure_risks(updates, state.roots)
        given = {**extra_args, "losses": jnp.where(keep, risks, 0)}
        combined, own = reduce.update(updates, state.aggregate, params, **given)
        return combined, ExcessMTLState(select_players(keep, roots, state.roots), own)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _weighting(step_size: float, warmup_steps: int, num_players: int) -> Weighting:
    def init(_: Any):
        zeros = jnp.zeros((num_players,), jnp.float32)
        return ExcessState(zeros, zeros, jnp.zeros((num_players,), jnp.int32))

    def decide(players: Players, state: ExcessState):
        assert players.losses is not None, "the factory passes the risks as losses"
        risks, present = players.losses, players.present
        warming = players.step < warmup_steps
        relative = risks / jnp.where(state.unit > 0, state.unit, 1)
        relative = jnp.minimum(relative, LARGEST)
        relative = jnp.where(present & ~warming, relative, 0)
        weights = excess_mtl_weights(relative, state.logits, step_size, present)
        logits = state.logits + step_size * relative
        new = _unit(state, risks, present, warming)
        return as_decision(weights), new._replace(logits=logits - jnp.max(logits))

    return Weighting("excess_mtl", init, decide, needs_gramian=False, needs_losses=True)


def _unit(
    state: ExcessState,
    risks: Float[Array, " P"],
    present: Bool[Array, " P"],
    warming: Bool[Array, ""],
) -> ExcessState:
    """The mean risk of the warm-up, else the first that is not zero."""
    mean = _tree.running_mean(state.unit, risks, state.steps)
    late = jnp.where(state.unit > 0, state.unit, risks)
    unit = jnp.where(present, jnp.where(warming, mean, late), state.unit)
    steps = _tree.add_counts(state.steps, present & warming)
    return state._replace(unit=unit, steps=steps)
