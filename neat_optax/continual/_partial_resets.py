"""Calibrated partial resets: units are pulled back by how little they learn."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._alike import map_alike, numbers
from neat_optax._citing import cites
from neat_optax._random import check_key, key_at, lecun_normal
from neat_optax._schedules import value_at, when
from neat_optax.continual import _units
from neat_optax.continual._regrama import unit_gradients
from neat_optax.continual._restart import along, draw, exact, inputs


def _sigmoid(x: jax.Array) -> jax.Array:
    return jnp.minimum(2 * jax.nn.sigmoid(-x), 1)


def _exp(x: jax.Array) -> jax.Array:
    return jnp.minimum(jnp.exp(-x), 1)


def _softplus(x: jax.Array) -> jax.Array:
    return jnp.minimum(jax.nn.softplus(-x) / jnp.log(2.0), 1)


def _linear(x: jax.Array) -> jax.Array:
    return jnp.clip(1 - x, 0, 1)


_CURVES = {
    "sigmoid": _sigmoid,
    "exp": _exp,
    "softplus": _softplus,
    "linear": _linear,
}


class CalibratedPartialResetsState(NamedTuple):
    """State of `calibrated_partial_resets`."""

    step: jax.Array  # [] int32
    utility: tuple[jax.Array, ...]  # for each hidden layer [units] float32
    inner: optax.OptState


@cites("mccutcheon2026calibrated")
def calibrated_partial_resets(
    optimizer: optax.GradientTransformation,
    layers: Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    rate: optax.ScalarOrSchedule = 0.015,
    sharpness: optax.ScalarOrSchedule = 16.0,
    threshold: optax.ScalarOrSchedule = 1.0,
    curve: str = "sigmoid",
    every: int = 1000,
    utility_decay: optax.ScalarOrSchedule = 0.99,
    init: Callable[..., jax.Array] | None = None,
    key: jax.Array | int = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""Moves units a part of the way to a fresh start, by their utility: CPR.

    The utility of a unit is an average of the size of its gradients, as a share of that
    of its layer,

    .. math:: u_j \leftarrow \eta u_j + (1 - \eta)
        \frac{g_j}{\frac1n \sum_i g_i}

    with :math:`g_j` as in `gradient_activity`. After every :math:`k`-th step

    .. math:: W_{\cdot j} \leftarrow (1 - r_j) W_{\cdot j} + r_j W'_{\cdot j}, \qquad
        V_{j \cdot} \leftarrow (1 - r_j) V_{j \cdot}, \qquad
        r_j = \rho \, f\bigl(s (u_j - \theta)\bigr)

    for its incoming weights, with :math:`W'` fresh ones, and its outgoing weights, and
    all utilities start again at 1. Biases and the optimizer's memories go on. A weight
    between two units first shrinks with the unit that it comes from. In a layer without
    any gradient the shares are 0; a step whose gradients of a layer are not finite
    leaves its utilities alone. The curve :math:`f` is at most 1:

    ========  ======================
    curve     :math:`f(x)`
    ========  ======================
    sigmoid   :math:`2 / (1 + e^x)`
    exp       :math:`e^{-x}`
    softplus  :math:`\log_2(1 + e^{-x})`
    linear    :math:`1 - x`, at least 0
    ========  ======================

    Args:
      optimizer: an optimizer, learning rate included.
      layers: paths of layers, as in `reset_dormant`.
      rate: :math:`\rho` in [0, 1], the most that a unit moves at a time, or a schedule.
      sharpness: :math:`s` at least 0, or a schedule.
      threshold: :math:`\theta` at least 0, at which a unit moves the most, or a
        schedule.
      curve: :math:`f`.
      every: :math:`k`, steps from one time to the next.
      utility_decay: :math:`\eta` in [0, 1), or a schedule.
      init: a function (key, shape, dtype) to a kernel, as in `reset_dormant`.
      key: a random key or a seed; the step is folded into it.

    Returns:
      An optimizer that needs `params` and takes gradients of the loss. Nothing may
      stand behind it in a chain.

    Raises:
      ValueError: as in `reset_dormant`, and for other curves.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = calibrated_partial_resets(
      ...     optax.sgd(0.1), ("first", "head"), rate=0.5, every=1, utility_decay=0.0)
      >>> params = {"first": {"kernel": jnp.ones((1, 2))},
      ...           "head": {"kernel": jnp.ones((2, 1))}}
      >>> grads = {"first": {"kernel": jnp.array([[9.0, 0.0]])},
      ...          "head": {"kernel": jnp.zeros((2, 1))}}
      >>> u, _ = tx.update(grads, tx.init(params), params)
      >>> optax.apply_updates(params, u)["head"]["kernel"].round(3).tolist()
      [[1.0], [0.5]]

    References:
      McCutcheon, Chatzaroulas and Fallah, "Calibrated Partial Resets: Preventing Policy
      Collapse in Continual Reinforcement Learning", 2026, as the authors' code has it,
      which adds 1e-8 to the denominator. Its earlier name is Continuous Continual
      Backpropagation, CCBP.
    """
    _checks.check_number("rate", rate, "[0, 1]")
    _checks.check_number("sharpness", sharpness, "[0, inf)")
    _checks.check_number("threshold", threshold, "[0, inf)")
    _checks.check_number("utility_decay", utility_decay, "[0, 1)")
    _checks.check_choice("curve", curve, tuple(_CURVES))
    check_key("key", key)
    init = lecun_normal if init is None else init
    _checks.check_function("init", init)
    links, cadence = _units.check_layers(layers), when(0, every, None)
    optimizer = optax.with_extra_args_support(optimizer)

    def init_fn(params: optax.Params) -> CalibratedPartialResetsState:
        _checks.check_inexact("params", params)
        utility = _units.per_layer(links, params, lambda n: jnp.ones(n, jnp.float32))
        step = jnp.zeros((), jnp.int32)
        return CalibratedPartialResetsState(step, utility, optimizer.init(params))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, CalibratedPartialResetsState]:
        _checks.check_update(updates, params, "calibrated_partial_resets")
        hidden, step = _units.find_hidden(links, params), _tree.increment(state.step)
        rho, steep, theta = (
            value_at(one, state.step) for one in (rate, sharpness, threshold)
        )
        due, decay = cadence.due(step), value_at(utility_decay, state.step)
        found = unit_gradients(updates, hidden)
        average = functools.partial(_average, decay)
        utility = tuple(map(average, state.utility, found))
        parts = [rho * _CURVES[curve](steep * (one - theta)) for one in utility]

        moves, inner = optimizer.update(updates, state.inner, params, **extra_args)
        drawn = key_at(key, state.step)
        moves = _pull_if(hidden, init, due, parts, drawn, moves, params)
        utility = tuple(jnp.where(due, 1, one) for one in utility)
        return moves, CalibratedPartialResetsState(step, utility, inner)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _average(decay: ArrayLike, utility: jax.Array, sizes: jax.Array) -> jax.Array:
    """Moved on by shares of the mean size, unless that is not finite."""
    mean = jnp.mean(sizes)
    new = decay * utility + (1 - jnp.asarray(decay)) * _tree.safe_divide(sizes, mean)
    return jnp.where(jnp.isfinite(mean), new, utility).astype(utility.dtype)


@functools.partial(jax.jit, static_argnames=("hidden", "init"))
def _pull_if(
    hidden: tuple[_units.Hidden, ...],
    init: Callable[..., jax.Array],
    due: jax.Array,
    parts: Sequence[jax.Array],
    key: jax.Array,
    updates: optax.Updates,
    params: optax.Params,
) -> optax.Updates:
    """Updates to weights that are moved a part of the way."""
    weights, treedef = jax.tree.flatten(params)
    moves = treedef.flatten_up_to(updates)
    names = numbers(len(weights))
    touched = sorted({n for one in hidden for n in _kernels(one)})

    def pulled() -> list[jax.Array]:
        own = {one.own.kernel: p for one, p in zip(hidden, parts, strict=True)}
        chosen = [(names[n], weights[n]) for n in own]
        found = map_alike(functools.partial(draw, init, key), chosen, names)
        fresh = dict(zip(own, found, strict=True))
        shrunk = _shares_in(hidden, parts, weights)
        return [
            _move(weights[n], moves[n], shrunk.get(n), own.get(n), fresh.get(n))
            for n in touched
        ]

    def as_they_are() -> list[jax.Array]:
        return [moves[n].astype(exact(moves[n], weights[n])) for n in touched]

    chosen = jax.lax.cond(due, pulled, as_they_are)
    for number, move in zip(touched, chosen, strict=True):
        moves[number] = move
    return treedef.unflatten(moves)


def _kernels(hidden: _units.Hidden) -> list[int]:
    return [hidden.own.kernel, *(after.kernel for after in hidden.next)]


def _shares_in(
    hidden: Sequence[_units.Hidden],
    parts: Sequence[jax.Array],
    weights: Sequence[jax.Array],
) -> dict[int, jax.Array]:
    """For each kernel that units feed, how much each of its inputs shrinks."""
    return {
        after.kernel: inputs(part, one, weights[after.kernel])
        for one, part in zip(hidden, parts, strict=True)
        for after in one.next
    }


def _move(
    weight: jax.Array,
    move: jax.Array,
    shrunk: jax.Array | None,
    part: jax.Array | None,
    fresh: jax.Array | None,
) -> jax.Array:
    """The update to a kernel whose inputs shrink and whose outputs are pulled."""
    new = _tree.widen(weight) + move
    if shrunk is not None:
        new = (1 - along(shrunk, new, -2)) * new
    if part is not None and fresh is not None:
        share = along(part, new, -1)
        new = (1 - share) * new + share * fresh
    return (new - weight).astype(exact(move, weight))
