"""Continual backpropagation: the least useful units are reset, a few at a time."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._alike import map_at_once, numbers
from neat_optax._citing import cites
from neat_optax._largest import keep_largest
from neat_optax._random import check_key, key_at, lecun_normal
from neat_optax._schedules import value_at
from neat_optax.continual import _units
from neat_optax.continual._restart import restart
from neat_optax.transforms._reset import check_entries, check_optimizer

_NAME = "continual_backprop"


Observed = tuple[jax.Array, Any]
"""For the units of a layer, what each contributes, and its mean activation or ()."""


class UnitRecord(NamedTuple):
    """What is known of the units of one layer."""

    utility: jax.Array  # [units] float32
    mean: Any  # [units] float32, mean activations; () if no bias takes them over
    seen: Any  # [units] float32, how much of a full average it is; () if not debiased
    age: jax.Array  # [units] int32, steps since the unit was new
    quota: jax.Array  # [] float32, units that are still to be replaced


class ContinualBackpropState(NamedTuple):
    """State of `continual_backprop`."""

    step: jax.Array  # [] int32
    records: tuple[UnitRecord, ...]  # for each hidden layer
    inner: optax.OptState


@cites("dohare2024loss")
def continual_backprop(
    optimizer: optax.GradientTransformation,
    layers: Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    replacement_rate: optax.ScalarOrSchedule = 1e-4,
    maturity: int = 100,
    utility_decay: optax.ScalarOrSchedule = 0.99,
    debias: bool = True,
    carry_mean: bool = False,
    init: Callable[..., jax.Array] | None = None,
    key: jax.Array | int = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""Resets the least useful units of each layer, a small share at every step.

    Each unit has a contribution utility, the average over its age :math:`n` of

    .. math:: x_i = a_i \sum_k |w_{ik}|, \qquad
        u_i = \frac{(1 - \eta) \sum_{j < n} \eta^j x_i^{(t - j)}}{1 - \eta^n}

    with :math:`a` its mean absolute activation and :math:`w_{ik}` its outgoing weights
    before this step. Units older than :math:`m` steps are mature. A
    layer with :math:`n` mature units adds :math:`\rho n` to its quota. The
    :math:`\lfloor c \rfloor` mature units with the lowest utility are replaced, with
    :math:`c` the quota, and are taken off it. A replaced unit is
    reset as in `reset_dormant`, and its utility and age are zero. Everything else takes
    the optimizer's step. Among equal utilities the later units go first. A
    step whose activities are not finite leaves the averages of that layer alone.

    Args:
      optimizer: an optimizer, learning rate included, as in `reset_moments`.
      layers: paths of layers, as in `reset_dormant`.
      replacement_rate: :math:`\rho` in [0, 1], or a schedule.
      maturity: :math:`m`, steps in which a new unit is safe.
      utility_decay: :math:`\eta` in [0, 1), or a schedule.
      debias: False leaves out the denominator, as the article's equation does. With
        decay :math:`\eta` a unit of age :math:`n` then counts for
        :math:`1 - \eta^n` of its worth, so that those just replaced are replaced
        again.
      carry_mean: whether the bias of the next layer takes over what a replaced unit
        contributed on average, as in the authors' code: its average activation, taken
        like the utilities, times its outgoing weights after this step. The layers after
        it then all need a bias.
      init: a function (key, shape, dtype) to a kernel, as in `reset_dormant`.
      key: a random key or a seed; the step is folded into it.

    Returns:
      An optimizer that needs `params` and the extra argument `unit_activity=`, as
      `reset_dormant` does. With `carry_mean` it also takes `unit_mean=`, the mean
      activations themselves; without it they are those of `unit_activity`, which is
      right where no activation is negative. Nothing may stand behind it in a chain.

    Raises:
      ValueError: as in `reset_dormant`, and at init, if a bias is missing to which a
        mean is carried.

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
      this while the quota of a step stays below 1. The denominator is that of the
      authors' code and of equation 8 of the preprint. Their utility has the mean of the
      outgoing weights' sizes for the sum, which orders the units of a layer in the same
      way.
    """
    _checks.check_number("replacement_rate", replacement_rate, "[0, 1]")
    _checks.check_number("utility_decay", utility_decay, "[0, 1)")
    _checks.check_count("maturity", maturity, schedule=False)
    _checks.check_bool("debias", debias)
    _checks.check_bool("carry_mean", carry_mean)
    check_key("key", key)
    init = lecun_normal if init is None else init
    _checks.check_function("init", init)
    links = _units.check_layers(layers)
    check_optimizer(optimizer)
    optimizer = optax.with_extra_args_support(optimizer)

    def init_fn(params: optax.Params) -> ContinualBackpropState:
        _checks.check_inexact("params", params)
        new = functools.partial(_new_record, debias, carry_mean)
        records = _units.per_layer(links, params, new)
        if carry_mean and jax.tree.leaves(params):
            _units.check_biases("carry_mean", links, params)
        step, inner = jnp.zeros((), jnp.int32), optimizer.init(params)
        check_entries(optimizer, inner, params)
        return ContinualBackpropState(step, records, inner)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ContinualBackpropState]:
        _checks.check_update(updates, params, _NAME)
        hidden = _units.find_hidden(links, params)
        seen = _observe(hidden, params, extra_args, carry_mean)
        rate = value_at(replacement_rate, state.step)
        decay = value_at(utility_decay, state.step)
        layers = list(zip(state.records, seen, strict=True))
        moves = _advance(state.step, layers, decay, rate, maturity)
        units = [flags for _, flags, _ in moves]
        means = [mean for _, _, mean in moves] if carry_mean else []

        stepped = optimizer.update(updates, state.inner, params, **extra_args)
        drawn = key_at(key, state.step)
        moved, inner = restart(
            optimizer, hidden, init, units, drawn, stepped, params, means
        )
        step, records = _tree.increment(state.step), tuple(one for one, _, _ in moves)
        return moved, ContinualBackpropState(step, records, inner)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _new_record(debias: bool, carry_mean: bool, units: int) -> UnitRecord:
    nothing = jnp.zeros(units, jnp.float32)
    return UnitRecord(
        nothing,
        jnp.zeros_like(nothing) if carry_mean else (),
        jnp.zeros_like(nothing) if debias else (),
        jnp.zeros(units, jnp.int32),
        jnp.zeros((), jnp.float32),
    )


def _observe(
    hidden: Sequence[_units.Hidden],
    params: optax.Params,
    extra_args: dict[str, Any],
    carry_mean: bool,
) -> list[Observed]:
    """For each hidden layer [units]: activity times outgoing weights, and the means."""
    given = extra_args.get("unit_activity")
    activity = _units.read_activity(given, hidden, _NAME)
    weights = jax.tree.leaves(params)
    useful = [
        active * _units.outgoing_weight(weights, one)
        for one, active in zip(hidden, activity, strict=True)
    ]
    means: list[Any] = [() for _ in hidden]
    if carry_mean:
        signed = extra_args.get("unit_mean")
        means = activity
        if signed is not None:
            means = _units.read_means("unit_mean", signed, hidden, _NAME)
    return list(zip(useful, means, strict=True))


@jax.jit
def _advance(
    step: jax.Array,
    layers: Sequence[tuple[UnitRecord, Observed]],
    decay: ArrayLike,
    rate: ArrayLike,
    maturity: ArrayLike,
) -> list[tuple[UnitRecord, jax.Array, Any]]:
    """For each layer the next record, which units are replaced, and their means."""
    places = numbers(len(layers))
    advance = functools.partial(_advance_alike, decay, rate, maturity)

    def unchanged() -> list[tuple[UnitRecord, jax.Array, Any]]:
        records = [record for record, _ in layers]
        return [(one, jnp.zeros_like(one.age, bool), one.mean) for one in records]

    # The branch is always taken. It keeps the places from XLA.
    return jax.lax.cond(
        step >= 0, lambda: map_at_once(advance, layers, places), unchanged
    )


def _advance_alike(
    decay: ArrayLike,
    rate: ArrayLike,
    maturity: ArrayLike,
    layers: tuple[UnitRecord, Observed],
) -> tuple[UnitRecord, jax.Array, Any]:
    """`_advance` of layers of as many units, stacked."""
    record, observed = layers
    known = jax.vmap(functools.partial(_average, decay))(record, observed)
    age = _tree.increment(record.age)
    mature = age > maturity
    quota = record.quota + rate * jnp.sum(mature, axis=1, dtype=jnp.float32)
    # Rounding does not lose a unit: a quota that adds up to 1 may be just below it.
    whole = jnp.floor(quota * (1 + 1e-5)).astype(jnp.int32)
    replaced = _lowest_if(known.utility.astype(jnp.float32), mature, whole)
    left = jnp.maximum(quota - jnp.sum(replaced, axis=1, dtype=jnp.float32), 0)
    lasting = jax.tree.map(
        lambda x: jnp.where(replaced, 0, x), known._replace(age=age, quota=())
    )
    aged = _tree.cast_like(lasting._replace(quota=left), record)
    return aged, replaced, _tree.cast_like(known.mean, record.mean)


def _average(decay: ArrayLike, record: UnitRecord, observed: Observed) -> UnitRecord:
    """The record with its averages moved on, unless something is not finite.

    An average of which only the share `seen` is there takes in more of what is new:
    that is the division by `1 - decay**age`, for a decay that varies too.
    """
    seen, share = record.seen, 1 - jnp.asarray(decay)
    if not isinstance(seen, tuple):
        seen = decay * seen + share
        share = _tree.safe_divide(share, seen)
    utility, mean = jax.tree.map(
        lambda old, new: old + share * (new - old),
        (record.utility, record.mean),
        observed,
    )
    moved = record._replace(utility=utility, mean=mean, seen=seen)
    finite = jnp.all(jnp.isfinite(utility))
    if not isinstance(mean, tuple):
        finite &= jnp.all(jnp.isfinite(mean))
    return jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, record)


def _lowest_if(utility: jax.Array, mature: jax.Array, counts: jax.Array) -> jax.Array:
    """The mature units with the lowest utility in each row, as many as counts say."""

    def lowest(utility: jax.Array, mature: jax.Array, count: jax.Array) -> jax.Array:
        return keep_largest([-utility], [mature], count)[0]

    return jax.lax.cond(
        jnp.any(counts > 0),
        lambda: jax.vmap(lowest)(utility, mature, counts),
        lambda: jnp.zeros_like(mature),
    )
