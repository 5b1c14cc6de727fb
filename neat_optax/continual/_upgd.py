"""Utility-based perturbed gradient descent: useful weights are held, others shaken."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._alike import alike
from neat_optax._citing import cites
from neat_optax._leaves import Mask, as_mask, chosen, zeros
from neat_optax._random import check_key, key_at
from neat_optax._schedules import value_at
from neat_optax.continual import _utilities

_NAME = "scale_by_upgd"


class ScaleByUpgdState(NamedTuple):
    """State of `scale_by_upgd`."""

    step: jax.Array  # [] int32
    utility: Any  # like the parameters, float32: averages from zero
    seen: jax.Array  # [] float32, how much of a full average they are
    inner: optax.OptState


@cites("elsayed2024addressing")
def scale_by_upgd(
    inner: optax.GradientTransformation | None = None,
    *,
    noise: optax.ScalarOrSchedule = 1e-3,
    utility_decay: optax.ScalarOrSchedule = 0.999,
    local: bool = False,
    protect: bool = True,
    second_order: bool = False,
    key: jax.Array | int = 0,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Perturbs updates, and holds back those of useful weights: UPGD.

    .. math:: U \leftarrow \beta U + (1 - \beta) (\tfrac12 h w^2 - g w), \qquad
        s = \sigma\Bigl(\frac{U / (1 - \beta^t)}{\max U}\Bigr), \qquad
        u \leftarrow (d + \eta \xi) (1 - s)

    with :math:`g` the gradient, :math:`w` a weight before this step, :math:`\xi` normal
    noise, :math:`\sigma` the logistic function, and :math:`d` what `inner` makes of the
    gradient. The maximum is over all weights of the network. It is not debiased, as in
    the paper's algorithm and in the authors' code, so that in the first steps most
    gates are 0 or 1; and where no utility is positive, the least useful weight
    is held most. Where all utilities are zero, every gate is 1/2.

    Args:
      inner: a scaling without a learning rate, such as `optax.scale_by_adam()`, with
        which this is the authors' AdaptiveUPGD; by default none.
      noise: :math:`\eta` at least 0, or a schedule, in the unit of :math:`d`.
      utility_decay: :math:`\beta` in [0, 1), or a schedule.
      local: whether utilities are divided by their norm over the weights that come into
        a unit instead of by the maximum: the local utility. For a bias the norm is over
        the layer. In a convolution the authors' code takes the norm along a row of the
        filter, and this over the whole filter.
      protect: False leaves :math:`d` alone and holds back the noise only: the variant
        that does not protect.
      second_order: whether the utility has the term with :math:`h`, the diagonal of the
        loss's Hessian, which the extra argument `curvature=` then gives: a tree like
        the parameters.
      key: a random key or a seed; the step is folded into it.
      mask: which parameters are perturbed and held, as in `l2_to_init`; the others get
        :math:`d`.

    Returns:
      A transformation that needs `params` and goes before the learning rate. It costs a
      float32 copy of the parameters. An entry of the utility that is not finite leaves
      its average alone.

    Raises:
      ValueError: at update, if `curvature` is missing or does not fit.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = scale_by_upgd(noise=0.0, utility_decay=0.0)
      >>> w = jnp.array([1.0, -1.0, 0.0])
      >>> u, _ = tx.update(jnp.array([-1.0, -1.0, -1.0]), tx.init(w), w)
      >>> [round(x, 4) for x in u.tolist()]
      [-0.2689, -0.7311, -0.5]

    References:
      Elsayed and Mahmood, "Addressing Loss of Plasticity and Catastrophic Forgetting in
      Continual Learning", 2024, algorithm 1; the local utility and the variant without
      protection are those of the authors' code.
    """
    _checks.check_number("noise", noise, "[0, inf)")
    _checks.check_number("utility_decay", utility_decay, "[0, 1)")
    _checks.check_bool("local", local)
    _checks.check_bool("protect", protect)
    _checks.check_bool("second_order", second_order)
    check_key("key", key)
    inner = optax.with_extra_args_support(optax.identity() if inner is None else inner)
    scale = _utilities.by_unit if local else _utilities.by_maximum

    def init_fn(params: optax.Params) -> ScaleByUpgdState:
        _checks.check_inexact("params", params)
        utility = zeros(params, as_mask(mask), real=True)
        step, seen = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.float32)
        return ScaleByUpgdState(step, utility, seen, inner.init(params))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ScaleByUpgdState]:
        _checks.check_update(updates, params, _NAME)
        numbers = chosen(params, mask)
        curvature = _curvature(second_order, params, extra_args)
        decay, step = value_at(utility_decay, state.step), _tree.increment(state.step)
        utility = _remember(numbers, decay, state.utility, updates, params, curvature)
        seen = (decay * state.seen + (1 - decay)).astype(state.seen.dtype)

        directed, rest = inner.update(updates, state.inner, params, **extra_args)
        treedef = jax.tree.structure(params)
        kept, moves = map(treedef.flatten_up_to, (utility, directed))
        scaled = scale(params, [kept[n] for n in numbers], numbers, seen)
        size, drawn = value_at(noise, state.step), key_at(key, state.step)
        shaken = _shaken(size, drawn, [(n, moves[n]) for n in numbers])
        for n, one, noises in zip(numbers, scaled, shaken, strict=True):
            moves[n] = _held(moves[n], noises, jax.nn.sigmoid(one), protect)
        return treedef.unflatten(moves), ScaleByUpgdState(step, utility, seen, rest)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


@cites("elsayed2024addressing")
def upgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    noise: optax.ScalarOrSchedule = 1e-3,
    utility_decay: optax.ScalarOrSchedule = 0.999,
    weight_decay: optax.ScalarOrSchedule = 1e-3,
    local: bool = False,
    protect: bool = True,
    key: jax.Array | int = 0,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Utility-based perturbed gradient descent with weight decay, as an optimizer.

    .. math:: w \leftarrow (1 - \alpha \lambda) w - \alpha (g + \eta \xi) (1 - s)

    It is `optax.chain(scale_by_upgd(...), optax.add_decayed_weights(weight_decay),
    optax.scale_by_learning_rate(learning_rate))`. The decay is not held back.

    Args:
      learning_rate: :math:`\alpha`, a number or a schedule.
      noise: as in `scale_by_upgd`.
      utility_decay: as there.
      weight_decay: :math:`\lambda` at least 0, or a schedule.
      local: as in `scale_by_upgd`.
      protect: as there.
      key: as there.
      mask: as there; the decay is of all parameters.

    Returns:
      An optimizer that needs `params`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = upgd(0.1, noise=0.0, weight_decay=0.0)
      >>> w = jnp.array([1.0, 0.0])
      >>> u, _ = tx.update(jnp.array([-1.0, -1.0]), tx.init(w), w)
      >>> [round(x, 4) for x in u.tolist()]
      [0.0, 0.05]

    References:
      Elsayed and Mahmood, 2024, algorithm 1. The defaults are those of the authors'
      later experiments on long streams.
    """
    _checks.check_number("weight_decay", weight_decay, "[0, inf)")
    scaling = scale_by_upgd(
        noise=noise,
        utility_decay=utility_decay,
        local=local,
        protect=protect,
        key=key,
        mask=mask,
    )
    return optax.chain(
        scaling,
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(learning_rate),
    )


def _curvature(
    second_order: bool, params: optax.Params, extra_args: dict[str, Any]
) -> list[Any]:
    """The leaves of the extra argument; None for each where it is not needed."""
    if not second_order:
        return [None] * len(jax.tree.leaves(params))
    given = extra_args.get("curvature")
    _checks.check_given("curvature", given, _NAME)
    _checks.check_same_structure("curvature", given, "params", params)
    return jax.tree.leaves(given)


def _remember(
    numbers: list[int],
    decay: Any,
    utility: Any,
    updates: optax.Updates,
    params: optax.Params,
    curvature: list[Any],
) -> Any:
    """The next averages of the arrays that take part."""
    treedef = jax.tree.structure(params)
    memory, weights = treedef.flatten_up_to(utility), jax.tree.leaves(params)
    gradients = jax.tree.leaves(updates)
    for n in numbers:
        memory[n] = _utilities.averaged(
            memory[n], gradients[n], weights[n], curvature[n], decay
        )
    return treedef.unflatten(memory)


def _shaken(
    size: Any, key: jax.Array, arrays: list[tuple[int, jax.Array]]
) -> list[ArrayLike]:
    """Noise of a size for each numbered array; nothing is drawn for a plain zero."""
    if not isinstance(size, jax.Array) and size == 0:
        return [0.0] * len(arrays)
    shaken: list[ArrayLike] = [0.0] * len(arrays)
    for group in alike([array for _, array in arrays]):
        like = arrays[group[0]][1]
        draw = functools.partial(_drawn, key, like.shape, _tree.widen(like).dtype)
        drawn = jax.lax.map(draw, jnp.array([arrays[g][0] for g in group]))
        for place, g in enumerate(group):
            shaken[g] = size * drawn[place]
    return shaken


def _drawn(
    key: jax.Array, shape: tuple[int, ...], dtype: Any, number: jax.Array
) -> jax.Array:
    return jax.random.normal(jax.random.fold_in(key, number), shape, dtype)


def _held(
    move: jax.Array, shaken: ArrayLike, gate: jax.Array, protect: bool
) -> jax.Array:
    kept = 1 - gate
    moved = (move + shaken) * kept if protect else move + shaken * kept
    return moved.astype(move.dtype)
