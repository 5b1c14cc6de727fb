"""Optimizers of others beside which NEAT is held, from optax where it has them.

None of them decays weights, so that a difference is none of decay.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax.contrib import MuonDimensionNumbers, ScheduleFreeState

from neat_optax._schedules import value_at
from neat_optax.experiments.candidates.candidate import Candidate, Setting

BETA = 0.9
ADAM_RATE = 3e-3
LION_RATE = 3e-4
HEAVY_BALL_RATE = 0.02
FREE_RATE = 0.6  # what is averaged takes longer steps
_AS_ADAM = 0.2  # root mean square of Muon's updates, that of Adam's in practice
_WARMUP = 0.05  # of the run


def cautious(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    r"""Leaves out the entries of an update that do not descend on this gradient.

    .. math:: u_i \, [u_i g_i < 0] \, \frac{n}{1 + \sum_j [u_j g_j < 0]}

    with :math:`u` the update and :math:`n` the entries of a leaf.

    Args:
      inner: a whole optimizer without weight decay, learning rate included.

    References:
      Liang et al., "Cautious Optimizers: Improving Training with One Line of Code",
      2024, Algorithm 1.
    """
    inner = optax.with_extra_args_support(inner)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any):
        moved, state = inner.update(updates, state, params, **extra)
        return jax.tree.map(_descending, moved, updates), state

    return optax.GradientTransformationExtraArgs(inner.init, update)


def averaged(opt_state: Any, params: Any) -> Any:
    """The parameters that a schedule-free optimizer is judged by.

    Args:
      opt_state: with the state of one such optimizer in it.
      params: those that gradients are taken at.
    """

    def is_state(x: Any) -> bool:
        return isinstance(x, ScheduleFreeState)

    found = filter(is_state, jax.tree.leaves(opt_state, is_leaf=is_state))
    return optax.contrib.schedule_free_eval_params(next(found), params)


def _descending(update: jax.Array, gradient: jax.Array) -> jax.Array:
    kept = update * gradient < 0
    return jnp.where(kept, update, 0) * (update.size / (1 + jnp.sum(kept)))


def sgd(rate: optax.ScalarOrSchedule):
    """Heavy ball."""
    return optax.sgd(rate, momentum=BETA)


def _muon(rate: optax.ScalarOrSchedule):
    return optax.contrib.muon(
        rate, muon_weight_dimension_numbers=matrices, consistent_rms=_AS_ADAM
    )


def matrices(params: optax.Params) -> Any:
    """Which kernels are matrices, by what goes in and comes out: the hidden ones."""

    def numbers(path: Any, x: jax.Array) -> MuonDimensionNumbers | None:
        *above, name = [str(getattr(key, "key", key)) for key in path] or [""]
        if name != "kernel" or above[:1] in (["last"], ["heads"]):
            return None
        of_heads = x.ndim == 3 and above[-1] != "out"  # comes out of attention's heads
        split = 1 if of_heads else x.ndim - 1
        return MuonDimensionNumbers(tuple(range(split)), tuple(range(split, x.ndim)))

    return jax.tree_util.tree_map_with_path(numbers, params)


def _lion(rate: optax.ScalarOrSchedule):
    return optax.lion(rate, weight_decay=0.0)


def _schedule_free(build: Callable) -> Callable:
    """Of what has no momentum, with a rate that rises at first, as the authors advise.

    Defazio et al., "The Road Less Scheduled", 2024.
    """

    def schedule_free(rate: optax.ScalarOrSchedule, setting: Setting):
        steps = max(1, round(_WARMUP * setting.steps))

        def warm(step: Any) -> Any:
            return value_at(rate, step) * jnp.minimum(1, (step + 1) / steps)

        return optax.contrib.schedule_free(build(warm), warm)

    return schedule_free


def _without_setting(build: Callable) -> Callable:
    return lambda rate, _: build(rate)


def _did(what: str) -> Callable[[dict[str, Any]], str]:
    return lambda _: what


CANDIDATES = {
    "plain-lion": Candidate(
        _without_setting(_lion),
        LION_RATE,
        None,
        "Lion as it is: signs of two averages",
        ("adam",),
        _did("keeps signs alone"),
    ),
    "muon": Candidate(
        _without_setting(_muon),
        ADAM_RATE,
        None,
        "Muon, and Adam for what is no hidden matrix",
        ("adam",),
        _did("makes updates of matrices orthogonal"),
    ),
    "cautious-sgd": Candidate(
        _without_setting(lambda rate: cautious(sgd(rate))),
        HEAVY_BALL_RATE,
        "sgd",
        "heavy-ball SGD without entries that oppose the gradient",
        did=_did("leaves out entries that oppose the gradient"),
    ),
    "cautious-adam": Candidate(
        _without_setting(lambda rate: cautious(optax.adam(rate))),
        ADAM_RATE,
        "adam",
        "Adam without entries that oppose the gradient",
        did=_did("leaves out entries that oppose the gradient"),
    ),
    "schedule-free-sgd": Candidate(
        _schedule_free(optax.sgd),
        FREE_RATE,
        None,
        "SGD, its weights averaged in place of a schedule",
        ("sgd",),
        _did("averages its weights"),
        served=averaged,
    ),
    "schedule-free-adam": Candidate(
        _schedule_free(lambda rate: optax.adam(rate, b1=0.0)),
        ADAM_RATE,
        None,
        "Adam, its weights averaged in place of its momentum",
        ("adam",),
        _did("averages its weights"),
        served=averaged,
    ),
}
"""Watched by `optimizers` like all others."""
