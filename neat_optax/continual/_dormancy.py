"""Dormant-neuron statistics and ReDo resets."""

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
from neat_optax._schedules import value_at, when
from neat_optax.continual import _units
from neat_optax.continual._unit_resets import Method, Scene, reset_units


class ResetDormantState(NamedTuple):
    """State of `reset_dormant`."""

    step: jax.Array  # [] int32
    activity: tuple[jax.Array, ...]  # for each hidden layer [units], summed up so far
    inner: optax.OptState


def dormant_units(activity: Any, threshold: ArrayLike = 0.025) -> Any:
    r"""Which units are dormant: hardly active compared with others of their layer.

    .. math:: \frac{a_i}{\frac{1}{n} \sum_j a_j} \le \tau

    In a layer without any activity all are. In one with activities that are not finite
    none is.

    Args:
      activity: the mean absolute activation of each unit, an array [units] or a tree of
        them, one for each layer.
      threshold: :math:`\tau` at least 0.

    Returns:
      Booleans of the same structure.

    Example:
      >>> import jax.numpy as jnp
      >>> dormant_units(jnp.array([3.0, 0.01, 0.0]), 0.025).tolist()
      [False, True, True]

    References:
      Sokar, Agarwal, Castro and Evci, "The Dormant Neuron Phenomenon in Deep
      Reinforcement Learning", 2023, definition 3.1 and equation 1.
    """
    _checks.check_number("threshold", threshold, "[0, inf)")

    def one_layer(active: jax.Array) -> jax.Array:
        active = jnp.abs(_tree.widen(active))
        mean = jnp.mean(active)
        dormant = _tree.safe_divide(active, mean) <= threshold
        return dormant & jnp.isfinite(mean)

    return jax.tree.map(one_layer, activity)


def dormant_fraction(activity: Any, threshold: ArrayLike = 0.025) -> jax.Array:
    """The share of dormant units in all layers together, 0 where there is no unit.

    A fresh network has some after its first task: compare with that, and with the loss.

    Args:
      activity: as in `dormant_units`.
      threshold: as there. Above 0 it counts weak units too, which still fire.

    Example:
      >>> import jax.numpy as jnp
      >>> activity = {"first": jnp.array([3.0, 0.0]), "second": jnp.ones(2)}
      >>> print(dormant_fraction(activity))
      0.25

    References:
      Sokar et al., 2023, section 3.
    """
    flags = jax.tree.leaves(dormant_units(activity, threshold))
    count = sum((jnp.sum(flag, dtype=jnp.float32) for flag in flags), jnp.float32(0))
    return count / max(sum(flag.size for flag in flags), 1)


@cites("sokar2023dormant")
def reset_dormant(
    optimizer: optax.GradientTransformation,
    layers: Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    threshold: optax.ScalarOrSchedule = 0.025,
    every: int = 1000,
    init: Callable[..., jax.Array] | None = None,
    key: jax.Array | int = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""Resets dormant units every so many steps: ReDo.

    The activities of the last :math:`k` steps are summed up. After every :math:`k`-th
    step a unit is dormant whose share in the sum,

    .. math:: \frac{\sum_t a_{ti}}{\frac{1}{n} \sum_j \sum_t a_{tj}},

    is at most :math:`\tau`. Its incoming weights are drawn anew, its bias and its
    outgoing weights are set to zero, and the optimizer's moments of all of them are
    reset by `reset_moments`. Everything else takes the optimizer's step. A weight
    between two dormant units is zero. A period with an activity that is not finite
    resets nothing in that layer.

    Args:
      optimizer: an optimizer, learning rate included, as in `reset_moments`.
      layers: paths of Dense and Conv layers in the order in which they feed one
        another, such as `("trunk/first", "trunk/second", "head")`: each must have a
        `kernel` [..., in, out], and may have a `bias` [out]. The last one is not reset.
        A Conv may feed a Dense layer through a flatten, channels last. Other parameters
        between them, such as those of normalization layers, stay as they are. With
        `()` nothing is reset. Where units feed several layers, a mapping from the path
        of each hidden layer to those that it feeds, such as
        `{"trunk": ("actor", "critic")}`. All inputs of a layer must be units of one
        layer: what is concatenated or added up has no path here.
      threshold: :math:`\tau` at least 0, or a schedule.
      every: :math:`k`, steps from one reset to the next: a task or less, where tasks
        have an end.
      init: a function (key, shape, dtype) to a kernel, as in `jax.nn.initializers`; by
        default LeCun normal, as in Flax. Under `optax.inject_hyperparams` it belongs
        in `static_args`.
      key: a random key or a seed; the step is folded into it.

    Returns:
      An optimizer that needs `params` and the extra argument `unit_activity=`: a
      mapping from the path of each layer but the last to an array [units], the mean
      absolute activation over the batch, as `read_activities` and `layer_activity` give
      it. Nothing may stand behind it in a chain.

    Raises:
      ValueError: at init, if a layer has no kernel, or two of them do not fit; at
        update, if `unit_activity` does not have a layer, or not its units; and for
        optimizers as in `reset_moments`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = reset_dormant(optax.sgd(0.1), ("first", "head"), every=1)
      >>> params = {"first": {"kernel": jnp.ones((1, 2))},
      ...           "head": {"kernel": jnp.ones((2, 1))}}
      >>> still = {"first": {"kernel": jnp.zeros((1, 2))},
      ...          "head": {"kernel": jnp.zeros((2, 1))}}
      >>> activity = {"first": jnp.array([1.0, 0.0])}
      >>> u, _ = tx.update(still, tx.init(params), params, unit_activity=activity)
      >>> optax.apply_updates(params, u)["head"]["kernel"].tolist()
      [[1.0], [0.0]]

    References:
      Sokar et al., 2023, algorithm 1.
    """
    _checks.check_number("threshold", threshold, "[0, inf)")
    cadence = when(0, every, None)

    def judge(memory: Any, scene: Scene) -> tuple[Any, Sequence[jax.Array]]:
        given = scene.extra.get("unit_activity")
        seen = _units.read_activity(given, scene.hidden, "reset_dormant")
        sums = _tree.cast_like(
            tuple(a + b for a, b in zip(memory, seen, strict=True)), memory
        )
        due = cadence.due(_tree.increment(scene.step))
        units = dormant_if(due, sums, value_at(threshold, scene.step))
        return tuple(jnp.where(due, 0, one) for one in sums), units

    method = Method(
        "reset_dormant",
        ResetDormantState,
        lambda units: jnp.zeros(units, jnp.float32),
        judge,
    )
    return reset_units(optimizer, layers, method, init, key)


@jax.jit
def dormant_if(
    due: jax.Array, sums: Sequence[jax.Array], threshold: ArrayLike
) -> Sequence[jax.Array]:
    """The dormant units of each layer, none where nothing is due."""
    places = numbers(len(sums))
    judge = jax.vmap(functools.partial(dormant_units, threshold=threshold))

    def judged() -> list[jax.Array]:
        return map_at_once(judge, sums, places)

    def none() -> list[jax.Array]:
        return [jnp.zeros_like(one, dtype=bool) for one in sums]

    return jax.lax.cond(due, judged, none)
