"""Gradients of units, and ReGraMa resets."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._schedules import value_at, when
from neat_optax.continual import _units
from neat_optax.continual._dormancy import dormant_if
from neat_optax.continual._unit_resets import Method, Scene, reset_units


class RegramaState(NamedTuple):
    """State of `regrama`."""

    step: jax.Array  # [] int32
    gradients: tuple[jax.Array, ...]  # for each hidden layer [units] float32, summed up
    inner: optax.OptState


def gradient_activity(
    grads: Any, layers: Sequence[str] | Mapping[str, str | Sequence[str]]
) -> dict[str, jax.Array]:
    r"""The mean size of the gradients of each unit's incoming weights: GraMa.

    .. math:: g_j = \frac1K \sum_k \Bigl|\frac{\partial L}{\partial W_{kj}}\Bigr|

    over all :math:`K` incoming weights of unit :math:`j`, those of all places of a
    convolution together. Divided by its mean over the layer it is the GraMa score, and
    units at or below a threshold are inactive: `dormant_units` and `dormant_fraction`
    of these numbers tell them.

    Args:
      grads: gradients, a tree like the parameters.
      layers: as in `reset_dormant`; there is no entry for layers that feed none.

    Returns:
      By the path of each hidden layer [units], in float32 or wider.

    Raises:
      ValueError: as in `reset_dormant`.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax.continual import dormant_fraction
      >>> grads = {"first": {"kernel": jnp.array([[1.0, 0.0], [-3.0, 0.0]])},
      ...          "head": {"kernel": jnp.ones((2, 1))}}
      >>> activity = gradient_activity(grads, ("first", "head"))
      >>> activity["first"].tolist(), float(dormant_fraction(activity, 0.01))
      ([2.0, 0.0], 0.5)

    References:
      Liu et al., "Measure Gradients, Not Activations! Enhancing Neuronal Activity in
      Deep Reinforcement Learning", 2025, as the authors' code has it.
    """
    _checks.check_inexact("grads", grads)
    hidden = _units.find_hidden(_units.check_layers(layers), grads)
    found = unit_gradients(grads, hidden)
    return {one.layer: sizes for one, sizes in zip(hidden, found, strict=True)}


def unit_gradients(grads: Any, hidden: Sequence[_units.Hidden]) -> list[jax.Array]:
    """For each hidden layer [units], the mean size of the gradients coming in."""
    leaves = jax.tree.leaves(grads)
    return [_mean_size(leaves[one.own.kernel]) for one in hidden]


def _mean_size(kernel: jax.Array) -> jax.Array:
    sizes = jnp.abs(_tree.widen(jax.lax.stop_gradient(kernel)))
    return _tree.unsharded(jnp.mean(sizes, axis=tuple(range(kernel.ndim - 1))))


@cites("liu2025measure")
def regrama(
    optimizer: optax.GradientTransformation,
    layers: Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    threshold: optax.ScalarOrSchedule = 0.01,
    every: int = 1000,
    decay: optax.ScalarOrSchedule = 0.0,
    init: Callable[..., jax.Array] | None = None,
    key: jax.Array | int = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""Resets units whose weights hardly have gradients: ReGraMa.

    After every :math:`k`-th step a unit is reset whose score

    .. math:: \frac{s_j}{\frac1n \sum_i s_i} \le \tau, \qquad
        s_j \leftarrow \beta s_j + g_j, \qquad
        g_j = \frac1K \sum_k \Bigl|\frac{\partial L}{\partial W_{kj}}\Bigr|

    with :math:`W_{kj}` its :math:`K` incoming weights, as in `gradient_activity`, and
    :math:`s_j` zero at the start of each period of :math:`k` steps. It is reset as in
    `reset_dormant`; no activity is needed. In a layer without any gradient all units
    are reset. A step whose gradients of a layer are not finite leaves its sums alone
    and resets none of its units.

    Args:
      optimizer: an optimizer, learning rate included, as in `reset_moments`.
      layers: paths of layers, as in `reset_dormant`.
      threshold: :math:`\tau` at least 0, or a schedule.
      every: :math:`k`, steps from one reset to the next.
      decay: :math:`\beta` in [0, 1], or a schedule. 0 judges by the gradient of one
        step, as the authors' code does; 1 by the mean of the whole period. With small
        batches a unit may be silent in one of them: take 1.
      init: a function (key, shape, dtype) to a kernel, as in `reset_dormant`.
      key: a random key or a seed; the step is folded into it.

    Returns:
      An optimizer that needs `params` and takes gradients of the loss. Nothing may
      stand behind it in a chain.

    Raises:
      ValueError: as in `reset_dormant`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = regrama(optax.sgd(0.1), ("first", "head"), every=1)
      >>> params = {"first": {"kernel": jnp.ones((1, 2))},
      ...           "head": {"kernel": jnp.ones((2, 1))}}
      >>> grads = {"first": {"kernel": jnp.array([[1.0, 0.0]])},
      ...          "head": {"kernel": jnp.zeros((2, 1))}}
      >>> u, _ = tx.update(grads, tx.init(params), params)
      >>> optax.apply_updates(params, u)["head"]["kernel"].tolist()
      [[1.0], [0.0]]

    References:
      Liu et al., "Measure Gradients, Not Activations! Enhancing Neuronal Activity in
      Deep Reinforcement Learning", 2025. Their code adds 1e-9 to the denominator, and
      leaves outgoing weights and moments as they are; here both are reset, as in ReDo.
    """
    _checks.check_number("threshold", threshold, "[0, inf)")
    _checks.check_number("decay", decay, "[0, 1]")
    cadence = when(0, every, None)

    def judge(memory: Any, scene: Scene) -> tuple[Any, Sequence[jax.Array]]:
        share = value_at(decay, scene.step)
        pairs = [
            _add_up(share, old, new)
            for old, new in zip(
                memory, unit_gradients(scene.gradients, scene.hidden), strict=True
            )
        ]
        sums = tuple(total for total, _ in pairs)
        due = cadence.due(_tree.increment(scene.step))
        units = dormant_if(due, sums, value_at(threshold, scene.step))
        units = [one & known for one, (_, known) in zip(units, pairs, strict=True)]
        return tuple(jnp.where(due, 0, total) for total in sums), units

    method = Method(
        "regrama", RegramaState, lambda units: jnp.zeros(units, jnp.float32), judge
    )
    return reset_units(optimizer, layers, method, init, key)


def _add_up(
    decay: Any, total: jax.Array, new: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The sum moved on, unless something is not finite, and whether nothing was."""
    known = jnp.all(jnp.isfinite(new))
    moved = (decay * total + new).astype(total.dtype)
    return jnp.where(known, moved, total), known
