"""Shrink and perturb: parameters are scaled down and get noise."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._alike import map_alike, numbers
from neat_optax._citing import cites
from neat_optax._leaves import Mask, chosen, kernels
from neat_optax._random import check_key, key_at
from neat_optax._schedules import value_at, when


class ShrinkAndPerturbState(NamedTuple):
    """State of `shrink_and_perturb`."""

    step: jax.Array  # [] int32
    spread: jax.Array  # [leaves] float32: the standard deviation of each leaf at init


@cites("ash2020warm")
def shrink_and_perturb(
    shrink: optax.ScalarOrSchedule,
    noise: optax.ScalarOrSchedule,
    *,
    every: int,
    init: Callable[..., jax.Array] | None = None,
    key: jax.Array | int = 0,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Shrinks the new parameters and perturbs them, every so many steps.

    .. math:: z = p + u, \qquad
        p + u \leftarrow \begin{cases} \lambda z + \sigma \xi & \text{if } t \text{ is a
        multiple of } k \\ z & \text{otherwise} \end{cases}

    with :math:`t` the number of steps, this one included, and :math:`\xi` what a fresh
    network would hold: normal noise with mean 0 and, for each leaf, the standard
    deviation of its entries at the start. So what starts as a constant, such as a bias,
    is shrunk and gets no noise. With `init` it is a fresh initialization instead. With
    `every=1`, :math:`\lambda` just below 1 and a small :math:`\sigma` it is the
    continuous version, an L2 penalty with noise.

    Args:
      shrink: :math:`\lambda` in [0, 1], or a schedule.
      noise: :math:`\sigma` at least 0, or a schedule; `1 - shrink` interpolates
        between the network and a fresh one.
      every: :math:`k`, steps from one time to the next.
      init: a function (key, shape, dtype) to an array, as in `jax.nn.initializers`, for
        kernels, as `sparsity.kernels` tells them; others get no noise. Under
        `optax.inject_hyperparams` it belongs in `static_args`.
      key: a random key or a seed; the step is folded into it.
      mask: which parameters are changed, as in `l2_to_init`; leave out the scales of
        normalization layers, which start at one.

    Returns:
      A transformation that needs `params` and goes last in a chain. The moments of the
      optimizer go on.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = shrink_and_perturb(0.5, 0.0, every=2)
      >>> w = jnp.array([4.0, 8.0])
      >>> state = tx.init(w)
      >>> for _ in range(2):
      ...     u, state = tx.update(jnp.zeros(2), state, w)
      ...     w = optax.apply_updates(w, u)
      >>> w.tolist()
      [2.0, 4.0]

    References:
      Ash and Adams, "On Warm-Starting Neural Network Training", 2020, section 4.
    """
    _checks.check_number("shrink", shrink, "[0, 1]")
    _checks.check_number("noise", noise, "[0, inf)")
    check_key("key", key)
    if init is not None:
        _checks.check_function("init", init)
    cadence = when(0, every, None)

    def init_fn(params: optax.Params) -> ShrinkAndPerturbState:
        _checks.check_inexact("params", params)
        return ShrinkAndPerturbState(jnp.zeros((), jnp.int32), _spreads(params))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ShrinkAndPerturbState]:
        del extra_args
        _checks.check_update(updates, params, "shrink_and_perturb")
        step = _tree.increment(state.step)
        factors = value_at(shrink, state.step), value_at(noise, state.step)
        due, drawn = cadence.due(step), key_at(key, state.step)
        updates = _perturb_if(init, due, drawn, state.spread, factors, updates, params)
        return updates, ShrinkAndPerturbState(step, state.spread)

    tx = optax.GradientTransformationExtraArgs(init_fn, update_fn)
    if mask is None:
        return tx
    return optax.with_extra_args_support(optax.masked(tx, mask))


def _spreads(params: optax.Params) -> jax.Array:
    """The standard deviation of the entries of each leaf; 0 for an empty one."""
    spreads = [
        jnp.std(leaf).astype(jnp.float32) if leaf.size else jnp.zeros((), jnp.float32)
        for leaf in map(_tree.widen, jax.tree.leaves(params))
    ]
    return jnp.stack(spreads) if spreads else jnp.zeros(0, jnp.float32)


@functools.partial(jax.jit, static_argnames="init")
def _perturb_if(
    init: Callable[..., jax.Array] | None,
    due: jax.Array,
    key: jax.Array,
    spreads: jax.Array,
    factors: tuple[ArrayLike, ArrayLike],
    updates: optax.Updates,
    params: optax.Params,
) -> optax.Updates:
    """Jitted, so that a step outside of `jit` does not compile its branches again."""
    leaves, treedef = jax.tree.flatten(params)
    names = numbers(len(leaves))
    drawn = chosen(params, None if init is None else kernels)

    def perturbed() -> optax.Updates:
        draw = functools.partial(_fresh, init, key, spreads)
        parts = [(names[n], leaves[n]) for n in drawn]
        fresh = map_alike(draw, parts, names)
        noise: dict[int, ArrayLike] = dict(zip(drawn, fresh, strict=True))
        moves = treedef.flatten_up_to(updates)
        new = [
            _moved(factors, leaves[n], moves[n], noise.get(n, 0.0))
            for n in range(len(leaves))
        ]
        return treedef.unflatten(new)

    return jax.lax.cond(due, perturbed, lambda: updates)


def _moved(
    factors: tuple[ArrayLike, ArrayLike],
    weight: jax.Array,
    update: jax.Array,
    fresh: ArrayLike,
) -> jax.Array:
    """The update to a shrunk weight with noise."""
    shrink, noise = factors
    target = shrink * (_tree.widen(weight) + update) + noise * fresh
    return jnp.asarray(target - weight, update.dtype)


def _fresh(
    init: Callable[..., jax.Array] | None,
    key: jax.Array,
    spreads: jax.Array,
    part: tuple[jax.Array, jax.Array],
) -> jax.Array:
    """What a fresh network would hold in place of an array."""
    number, weight = part
    key, dtype = jax.random.fold_in(key, number), _tree.widen(weight).dtype
    if init is None:
        return spreads[number] * jax.random.normal(key, weight.shape, dtype)
    return init(key, weight.shape, dtype)
