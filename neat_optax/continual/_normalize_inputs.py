"""Inputs normalized by their running mean and variance."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._citing import cites

Axes = tuple[int, ...]


class Moments(NamedTuple):
    """Of one array."""

    weight: jax.Array  # [] float32, how many examples it counts for
    mean: jax.Array  # without the axes of the examples
    variance: jax.Array  # of the same shape, real


class InputNormalizer(NamedTuple):
    """What `normalize_inputs` returns: functions without a state of their own.

    Attributes:
      init: from inputs, of which only shapes and dtypes count, to a state.
      update: from a state and inputs to the next state.
      apply: from a state and inputs to normalized inputs.
      merge: from two states to that of both together.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any], Any]
    apply: Callable[[Any, Any], Any]
    merge: Callable[[Any, Any], Any]


@cites("chan1979updating")
def normalize_inputs(
    *,
    decay: ArrayLike = 1.0,
    axis: int | Axes = 0,
    axis_name: Any = None,
    epsilon: ArrayLike = 0.0,
    clip: float | jax.Array | None = None,
) -> InputNormalizer:
    r"""Running mean and variance of inputs, and inputs normalized by them.

    .. math:: w = \beta w_1 + w_2, \qquad
        m = m_1 + \frac{w_2}{w} (m_2 - m_1), \qquad
        v = \frac{\beta w_1 v_1 + w_2 v_2}{w}
            + \frac{\beta w_1 w_2}{w^2} (m_2 - m_1)^2

    for what was seen, :math:`w_1, m_1, v_1`, and the number, mean and variance of the
    new examples. With :math:`\beta = 1` these are the mean and the variance of
    all examples, whatever the batches; else newer ones count more, with no bias at the
    start. An input becomes :math:`(x - m) / \sqrt{v + \epsilon}`. One that was the same
    in all examples, to within rounding, has no scale: it is :math:`x - m`.

    It stands in front of a model: update with a batch, then apply to it. A batch may
    have one example. On data that change it is worth more than many a method for
    continual learning: compare with it.

    Args:
      decay: :math:`\beta` in (0, 1], of the past at each update.
      axis: which axes number the examples; `()` where inputs are one example.
      axis_name: of a `shard_map` or `vmap` over parts of a batch of one size, whose
        moments are taken together.
      epsilon: :math:`\epsilon` at least 0, in the units of the squared input.
      clip: the largest size of what comes out, above 0, or None.

    Returns:
      An `InputNormalizer`. Inputs are arrays or trees of them, of integers too, which
      are counted in float32 or wider. The result has the dtype of a floating input. A
      state is a tree like the inputs, of `Moments`; one number and two arrays of an
      example's size each. A batch in which something is not finite leaves the
      moments of that array alone. No derivative goes through moments.

    Raises:
      ValueError: for numbers out of range, and for inputs without the axes.

    Example:
      >>> import jax.numpy as jnp
      >>> normalizer = normalize_inputs()
      >>> x = jnp.array([[0.0, 1.0], [4.0, 1.0]])
      >>> state = normalizer.update(normalizer.init(x), x)
      >>> normalizer.apply(state, x).tolist()
      [[-1.0, 0.0], [1.0, 0.0]]

    References:
      Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
      Sample Variances", 1979, equation 2.1.
    """
    _checks.check_number("decay", decay, "(0, 1]")
    _checks.check_number("epsilon", epsilon, "[0, inf)")
    if clip is not None:
        _checks.check_number("clip", clip, "(0, inf)")
    axes = axis if isinstance(axis, tuple) else (axis,)
    for one in axes:
        _checks.check_integer("axis", one)

    def init(inputs: Any) -> Any:
        return jax.tree.map(functools.partial(_new, axes), inputs)

    def update(state: Any, inputs: Any) -> Any:
        measure = functools.partial(_moments, axes=axes, axis_name=axis_name)
        return _map(lambda x, old: _merged(old, measure(x), decay), axes, inputs, state)

    def apply(state: Any, inputs: Any) -> Any:
        use = functools.partial(_normalized, axes=axes, epsilon=epsilon, clip=clip)
        return _map(use, axes, inputs, state)

    def merge(state: Any, other: Any) -> Any:
        return jax.tree.map(_merged, state, other, is_leaf=_is_moments)

    return InputNormalizer(init, update, apply, merge)


def _is_moments(node: Any) -> bool:
    return isinstance(node, Moments)


def _map(function: Callable[..., Any], axes: Axes, inputs: Any, state: Any) -> Any:
    """Of each array of inputs and its moments."""
    treedef = jax.tree.structure(inputs)
    known = jax.tree.leaves(state, is_leaf=_is_moments)
    place = functools.partial(jax.tree.map, lambda _: 0, is_leaf=_is_moments)
    _checks.check_same_structure("inputs", place(inputs), "state", place(state))
    arrays = list(map(jnp.asarray, jax.tree.leaves(inputs)))
    for x, one in zip(arrays, known, strict=True):
        _check_example(_example(x.shape, axes), one.mean.shape)
    found = [function(x, one) for x, one in zip(arrays, known, strict=True)]
    return treedef.unflatten(found)


def _check_example(found: tuple[int, ...], known: tuple[int, ...]) -> None:
    if found != known:
        raise ValueError(
            f"`inputs` must have examples of the shape {known} that the state is of, "
            f"got {found}."
        )


def _example(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    """The shape of one example."""
    if any(not -len(shape) <= axis < len(shape) for axis in axes):
        raise ValueError(
            f"`inputs` must have the axes {axes} of examples, got shape {shape}."
        )
    kept = {axis % len(shape) for axis in axes} if shape else set()
    return tuple(size for n, size in enumerate(shape) if n not in kept)


def _new(axes: Axes, x: Any) -> Moments:
    shape, dtype = jnp.shape(x), jnp.result_type(jnp.float32, jnp.result_type(x))
    mean = jnp.zeros(_example(shape, axes), dtype)
    return Moments(jnp.zeros((), jnp.float32), mean, jnp.zeros_like(mean.real))


def _moments(x: jax.Array, axes: Axes, axis_name: Any) -> Moments:
    """Of a batch; of parts of one, if they have a name."""
    wide = _tree.widen(jax.lax.stop_gradient(x))
    count = math.prod(x.shape[axis] for axis in axes)
    if not count:
        return _new(axes, x)
    center = jnp.mean(wide, axis=axes, keepdims=True)
    center = center + jnp.mean(wide - center, axis=axes, keepdims=True)
    variance = jnp.mean(_square(wide - center), axis=axes)
    mean = jnp.squeeze(center, axes)
    weight = jnp.full((), count, jnp.float32)
    if axis_name is None:
        return Moments(weight, mean, variance)
    whole = jax.lax.pmean(mean, axis_name)
    variance = jax.lax.pmean(variance + _square(mean - whole), axis_name)
    return Moments(jax.lax.psum(weight, axis_name), whole, variance)


def _square(x: jax.Array) -> jax.Array:
    return jnp.real(x * jnp.conj(x))


def _merged(old: Moments, new: Moments, decay: ArrayLike = 1.0) -> Moments:
    """Both together, if what is new is finite."""
    past = decay * old.weight
    weight = jnp.asarray(past + new.weight)
    share = _tree.safe_divide(new.weight, weight)
    away = new.mean - old.mean
    between = (share * away) * jnp.conj((1 - share) * away)
    variance = (1 - share) * old.variance + share * new.variance + jnp.real(between)
    merged = Moments(weight, old.mean + share * away, variance)
    finite = jnp.all(jnp.isfinite(merged.mean) & jnp.isfinite(variance))
    kept = jax.tree.map(lambda a, b: jnp.where(finite, a, b), merged, old)
    return _tree.cast_like(kept, old)


def _normalized(
    x: jax.Array,
    moments: Moments,
    axes: Axes,
    epsilon: ArrayLike,
    clip: float | jax.Array | None,
) -> jax.Array:
    mean, variance = (
        jnp.expand_dims(part, axes) for part in (moments.mean, moments.variance)
    )
    rounding = 8 * jnp.finfo(variance.dtype).eps * jnp.abs(mean)
    varies = variance > jnp.square(rounding)
    scale = jnp.where(varies, jnp.sqrt(variance + epsilon), 1)
    found = (_tree.widen(x) - mean) / scale
    if clip is not None:
        found = jnp.clip(found, -clip, clip)
    inexact = jnp.issubdtype(x.dtype, jnp.inexact)
    return found.astype(x.dtype) if inexact else found
