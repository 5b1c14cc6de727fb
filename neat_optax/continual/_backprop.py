"""Continual backpropagation: the least useful units are reset, a few at a time."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._largest import keep_largest
from neat_optax._random import check_key, key_at, lecun_normal
from neat_optax._schedules import value_at
from neat_optax.continual import _units


class UnitRecord(NamedTuple):
    """What is known of the units of one layer."""

    utility: jax.Array  # [units] float32
    age: jax.Array  # [units] int32, steps since the unit was new
    quota: jax.Array  # [] float32, units that are still to be replaced


class ContinualBackpropState(NamedTuple):
    """State of `continual_backprop`."""

    step: jax.Array  # [] int32
    records: tuple[UnitRecord, ...]  # for each hidden layer
    inner: optax.OptState


def continual_backprop(
    optimizer: optax.GradientTransformation,
    layers: Sequence[str],
    *,
    replacement_rate: optax.ScalarOrSchedule = 1e-4,
    maturity: int = 100,
    utility_decay: optax.ScalarOrSchedule = 0.99,
    init: Callable[..., jax.Array] | None = None,
    key: jax.Array | int = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""Resets the least useful units of each layer, a small share at every step.

    Each unit has a contribution utility, which starts at zero,

    .. math:: u_i \leftarrow \eta\, u_i + (1 - \eta)\, a_i \sum_k |w_{ik}|

    with :math:`a` its mean absolute activation and :math:`w_{ik}` its outgoing weights
    before this step, and an age in steps. Units older than :math:`m` are mature. A
    layer with :math:`n` mature units adds :math:`\rho n` to its quota. The
    :math:`\lfloor c \rfloor` mature units with the lowest utility are replaced, with
    :math:`c` the quota, and are taken off it. A replaced unit is
    reset as in `reset_dormant`, and its utility and age are zero. Everything else takes
    the optimizer's step. Among equal utilities the later units go first. A
    step whose activities are not finite leaves the utilities of that layer alone.

    Args:
      optimizer: any optimizer, learning rate included.
      layers: paths of layers, as in `reset_dormant`.
      replacement_rate: :math:`\rho` in [0, 1], or a schedule.
      maturity: :math:`m`, steps in which a new unit is safe.
      utility_decay: :math:`\eta` in [0, 1), or a schedule.
      init: a function (key, shape, dtype) to a kernel, as in `reset_dormant`.
      key: a random key or a seed; the step is folded into it.

    Returns:
      An optimizer that needs `params` and the extra argument `unit_activity=`, as
      `reset_dormant` does. Nothing may stand behind it in a chain.

    Raises:
      ValueError: as in `reset_dormant`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = continual_backprop(
      ...     optax.sgd(0.1), ("first", "head"), replacement_rate=0.5, maturity=0)
      >>> params = {"first": {"kernel": jnp.ones((1, 2))},
      ...           "head": {"kernel": jnp.array([[1.0], [9.0]])}}
      >>> still = {"first": {"kernel": jnp.zeros((1, 2))},
      ...          "head": {"kernel": jnp.zeros((2, 1))}}
      >>> activity = {"first": jnp.array([2.0, 1.0])}
      >>> u, _ = tx.update(still, tx.init(params), params, unit_activity=activity)
      >>> optax.apply_updates(params, u)["head"]["kernel"].tolist()
      [[0.0], [9.0]]

    References:
      Dohare et al., "Loss of plasticity in deep continual learning", Nature, 2024,
      equation 1 and algorithm 1, which replaces one unit of a layer at a time; so does
      this while the quota of a step stays below 1.
    """
    _checks.check_number("replacement_rate", replacement_rate, "[0, 1]")
    _checks.check_number("utility_decay", utility_decay, "[0, 1)")
    _checks.check_count("maturity", maturity, schedule=False)
    check_key("key", key)
    init = lecun_normal if init is None else init
    _checks.check_function("init", init)
    layers = _units.check_layers(layers)
    optimizer = optax.with_extra_args_support(optimizer)

    def init_fn(params: optax.Params) -> ContinualBackpropState:
        _checks.check_inexact("params", params)
        records = _units.per_layer(layers, params, _new_record)
        step = jnp.zeros((), jnp.int32)
        return ContinualBackpropState(step, records, optimizer.init(params))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ContinualBackpropState]:
        caller = "continual_backprop"
        _checks.check_update(updates, params, caller)
        hidden = _units.find_hidden(layers, params)
        seen = _units.read_activity(extra_args.get("unit_activity"), hidden, caller)
        rate = value_at(replacement_rate, state.step)
        decay = value_at(utility_decay, state.step)
        contributions = _contributions(hidden, seen, params)
        columns = zip(state.records, contributions, strict=True)
        moves = [_advance(*column, decay, rate, maturity) for column in columns]
        units = [flags for _, flags in moves]

        stepped = optimizer.update(updates, state.inner, params, **extra_args)
        drawn = key_at(key, state.step)
        moved, inner = _units.restart(
            optimizer, hidden, init, units, drawn, stepped, params
        )
        step, records = _tree.increment(state.step), tuple(one for one, _ in moves)
        return moved, ContinualBackpropState(step, records, inner)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _new_record(units: int) -> UnitRecord:
    return UnitRecord(
        jnp.zeros(units, jnp.float32),
        jnp.zeros(units, jnp.int32),
        jnp.zeros((), jnp.float32),
    )


def _contributions(
    hidden: Sequence[_units.Hidden], seen: Sequence[jax.Array], params: optax.Params
) -> list[jax.Array]:
    """For each hidden layer [units], activity times the size of outgoing weights."""
    weights = jax.tree.leaves(params)
    return [
        active * _units.outgoing_weight(weights[one.next], one.units)
        for one, active in zip(hidden, seen, strict=True)
    ]


@jax.jit
def _advance(
    record: UnitRecord,
    contribution: jax.Array,
    decay: ArrayLike,
    rate: ArrayLike,
    maturity: ArrayLike,
) -> tuple[UnitRecord, jax.Array]:
    """The next record of a layer, and which of its units are replaced."""
    utility = decay * record.utility + (1 - decay) * contribution
    utility = jnp.where(jnp.all(jnp.isfinite(utility)), utility, record.utility)
    age = _tree.increment(record.age)
    mature = age > maturity
    quota = record.quota + rate * jnp.sum(mature, dtype=jnp.float32)
    # Rounding does not lose a unit: a quota that adds up to 1 may be just below it.
    whole = jnp.floor(quota * (1 + 1e-5)).astype(jnp.int32)
    replaced = _lowest_if(utility.astype(jnp.float32), mature, whole)
    left = jnp.maximum(quota - jnp.sum(replaced, dtype=jnp.float32), 0)
    aged = UnitRecord(
        jnp.where(replaced, 0, utility), jnp.where(replaced, 0, age), left
    )
    return _tree.cast_like(aged, record), replaced


def _lowest_if(utility: jax.Array, mature: jax.Array, count: jax.Array) -> jax.Array:
    """The mature units with the lowest utility, `count` of them."""

    def lowest() -> jax.Array:
        return keep_largest([-utility], [mature], count)[0]

    return jax.lax.cond(count > 0, lowest, lambda: jnp.zeros_like(mature))
