"""Self-normalized resets: units that are silent for longer than they ever are."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._schedules import value_at, when
from neat_optax.continual import _units
from neat_optax.continual._unit_resets import Method, Scene, reset_units


class SilenceRecord(NamedTuple):
    """What is known of the silence of the units of one layer."""

    run: jax.Array  # [units] int32, steps since a unit was last active or reset
    threshold: jax.Array  # [units] float32, steps
    counts: jax.Array  # [units, longest + 1] int32, how many runs were that long


class SelfNormalizedResetsState(NamedTuple):
    """State of `self_normalized_resets`."""

    step: jax.Array  # [] int32
    records: tuple[SilenceRecord, ...]  # for each hidden layer
    inner: optax.OptState


@cites("farias2025self")
def self_normalized_resets(
    optimizer: optax.GradientTransformation,
    layers: Sequence[str] | Mapping[str, str | Sequence[str]],
    *,
    quantile: optax.ScalarOrSchedule = 0.92,
    every: int = 1000,
    longest: int = 200,
    expansion: optax.ScalarOrSchedule = 2.0,
    init: Callable[..., jax.Array] | None = None,
    key: jax.Array | int = 0,
) -> optax.GradientTransformationExtraArgs:
    r"""Resets units that are silent for longer than is usual for them: SNR.

    A unit is silent in a step if its mean absolute activation over the batch is zero.
    After :math:`a_i` silent steps in a row it is reset, as in `reset_dormant`, if

    .. math:: a_i \ge \tau_i.

    Its threshold follows from its own runs of silence. Every :math:`k` steps,

    .. math:: \tau_i \leftarrow \min(T, \tau_i'), \qquad
        \tau_i' = \begin{cases} q_i & \text{if } q_i < \tau_i \\
        c\, \tau_i & \text{otherwise} \end{cases}

    with :math:`q_i` the :math:`Q`-quantile of the lengths of the runs that ended in
    these steps, by an activation or by a reset, and of which at least one step was
    silent. Where no run ended, the threshold is 1. It starts at :math:`T`. A step whose
    activities of a layer are not finite leaves that layer alone.

    Args:
      optimizer: an optimizer, learning rate included, as in `reset_moments`.
      layers: paths of layers, as in `reset_dormant`.
      quantile: :math:`Q` in [0, 1], or a schedule: 1 less the paper's rejection
        percentile :math:`\eta`, which is 0.08 or less. In batches of a few examples
        healthy units are silent often, and each such run may end in a reset: take it
        nearer to 1.
      every: :math:`k`, steps from one estimate of the thresholds to the next.
      longest: :math:`T` at least 1, silent steps after which any unit is reset. The
        authors count examples, 20,000 in batches of 100. Under
        `optax.inject_hyperparams` it belongs in `static_args`.
      expansion: :math:`c` at least 1, or a schedule.
      init: a function (key, shape, dtype) to a kernel, as in `reset_dormant`.
      key: a random key or a seed; the step is folded into it.

    Returns:
      An optimizer that needs `params` and the extra argument `unit_activity=`, as
      `reset_dormant` does. It keeps :math:`T + 1` counts for each unit. Nothing may
      stand behind it in a chain. Activation functions must be zero where a unit is
      silent, as ReLU is: others are never reset.

    Raises:
      ValueError: as in `reset_dormant`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = self_normalized_resets(optax.sgd(0.1), ("first", "head"), longest=2)
      >>> params = {"first": {"kernel": jnp.ones((1, 2))},
      ...           "head": {"kernel": jnp.ones((2, 1))}}
      >>> still = {"first": {"kernel": jnp.zeros((1, 2))},
      ...          "head": {"kernel": jnp.zeros((2, 1))}}
      >>> activity = {"first": jnp.array([1.0, 0.0])}
      >>> state = tx.init(params)
      >>> for _ in range(2):
      ...     u, state = tx.update(still, state, params, unit_activity=activity)
      >>> optax.apply_updates(params, u)["head"]["kernel"].tolist()
      [[1.0], [0.0]]

    References:
      Farias and Jozefiak, "Self-Normalized Resets for Plasticity in Continual
      Learning", 2025, algorithm 1; the thresholds are estimated as in the authors'
      code. It counts examples, all of a batch at once, and so does this with steps.
    """
    _checks.check_number("quantile", quantile, "[0, 1]")
    _checks.check_number("expansion", expansion, "[1, inf)")
    _checks.check_integer("longest", longest, minimum=1)
    cadence = when(0, every, None)

    def judge(memory: Any, scene: Scene) -> tuple[Any, Sequence[jax.Array]]:
        given = scene.extra.get("unit_activity")
        seen = _units.read_activity(given, scene.hidden, "self_normalized_resets")
        noted = [_note(one, active) for one, active in zip(memory, seen, strict=True)]
        due = cadence.due(_tree.increment(scene.step))
        numbers = value_at(quantile, scene.step), value_at(expansion, scene.step)
        records = _estimate_if(due, tuple(record for record, _ in noted), *numbers)
        return records, [silent for _, silent in noted]

    method = Method(
        "self_normalized_resets",
        SelfNormalizedResetsState,
        functools.partial(_new_record, longest),
        judge,
    )
    return reset_units(optimizer, layers, method, init, key)


def _new_record(longest: int, units: int) -> SilenceRecord:
    return SilenceRecord(
        jnp.zeros(units, jnp.int32),
        jnp.full(units, longest, jnp.float32),
        jnp.zeros((units, longest + 1), jnp.int32),
    )


def _note(
    record: SilenceRecord, activity: jax.Array
) -> tuple[SilenceRecord, jax.Array]:
    """The record after one more step, and which units are to be reset."""
    known = jnp.all(jnp.isfinite(activity))
    active = activity > 0
    run = jnp.where(active, 0, _tree.increment(record.run))
    silent = known & (run >= record.threshold)
    # The run that an activation ends is that before this step.
    length, ended = jnp.where(active, record.run, run), known & (active | silent)
    units = jnp.arange(run.size)
    counts = record.counts.at[units, length].add(ended.astype(jnp.int32), mode="drop")
    run = jnp.where(known, jnp.where(silent, 0, run), record.run)
    return SilenceRecord(run, record.threshold, counts), silent


@jax.jit
def _estimate_if(
    due: jax.Array, records: tuple[SilenceRecord, ...], quantile: Any, expansion: Any
) -> tuple[SilenceRecord, ...]:
    """The records with thresholds from their counts, and these at zero, if due.

    A loop of one turn or none leaves the counts where they are. A branch copies them.
    """
    known, *numbers = jax.lax.stop_gradient((records, quantile, expansion))
    estimate = functools.partial(_estimate, *numbers)

    def turn(_: Any, records: tuple[SilenceRecord, ...]) -> tuple[SilenceRecord, ...]:
        return tuple(map(estimate, records))

    return jax.lax.fori_loop(0, due.astype(jnp.int32), turn, known)


def _estimate(quantile: Any, expansion: Any, record: SilenceRecord) -> SilenceRecord:
    below = jnp.cumsum(record.counts[:, 1:], axis=1)
    share = _tree.safe_divide(below.astype(jnp.float32), below[:, -1:])
    found = 1 + jnp.argmax(share >= quantile, axis=1)
    longer = jnp.minimum(expansion * record.threshold, record.counts.shape[1] - 1)
    threshold = jnp.where(found < record.threshold, found, longer)
    threshold = jnp.where(below[:, -1] > 0, threshold, 1)
    return SilenceRecord(
        record.run,
        threshold.astype(record.threshold.dtype),
        jnp.zeros_like(record.counts),
    )
