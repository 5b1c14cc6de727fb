"""What methods for networks that keep learning add to an optimizer, by name."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

import neat_optax as neo
from neat_optax.experiments.candidates import changed_tasks
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.candidates.dash_restarts import dash
from neat_optax.experiments.data.tasks import Task

FLAX_RANGE = 2.27
"""Flax's initializer of kernels draws from within that over the root of the fan in."""
RANK_STRENGTH = 1e-3

Make = Callable[[Setting], optax.GradientTransformation]
Around = Callable[[Any, Setting], optax.GradientTransformation]


class Part(NamedTuple):
    """What a method adds to an optimizer, at the places where it stands."""

    about: str
    before: Make | None = None  # in front of the scaling: a penalty in the loss
    scaling: Around | None = None  # around the scaling, without a learning rate
    beside: Make | None = None  # behind the scaling: a decay that it does not see
    around: Around | None = None  # around the optimizer with its learning rate
    last: Make | None = None  # behind the learning rate
    adapt: Callable[[Task], Task] | None = None


def every(setting: Setting, usual: int) -> int:
    """Steps from one change of units to the next; a short run has ten of them."""
    return max(1, min(usual, setting.steps // 10))


def layers(setting: Setting) -> tuple[str, ...]:
    """The chain of layers whose units can be reset."""
    if not setting.task.layers:
        raise ValueError(
            "`optimizer` must not reset units where a network is no chain of dense "
            "layers, got one that does."
        )
    return setting.task.layers


def _task_steps(setting: Setting) -> int:
    if setting.task_steps is None:
        raise ValueError("`stream` must be given for what is done at a new task.")
    return setting.task_steps


def _redo(whole: Any, setting: Setting):
    return neo.continual.reset_dormant(
        whole, layers(setting), every=every(setting, 100), key=setting.key
    )


def _backprop(whole: Any, setting: Setting):
    return neo.continual.continual_backprop(whole, layers(setting), key=setting.key)


def _regrama(whole: Any, setting: Setting):
    return neo.continual.regrama(
        whole,
        layers(setting),
        every=every(setting, 100),
        decay=1.0,
        key=setting.key,
    )


def _snr(whole: Any, setting: Setting):
    return neo.continual.self_normalized_resets(
        whole,
        layers(setting),
        every=every(setting, 1000),
        longest=1000,
        key=setting.key,
    )


def _cpr(whole: Any, setting: Setting):
    return neo.continual.calibrated_partial_resets(
        whole, layers(setting), every=every(setting, 1000), key=setting.key
    )


def _dash(whole: Any, setting: Setting):
    steps = _task_steps(setting)
    return dash(whole, steps, max(1, steps // 50))


def _gates(scaled: Any, setting: Setting):
    return neo.continual.scale_by_upgd(scaled, key=setting.key)


def _quiet_gates(scaled: Any, setting: Setting):
    return neo.continual.scale_by_upgd(scaled, noise=0.0, key=setting.key)


def _noise(scaled: Any, setting: Setting):
    return optax.chain(scaled, optax.add_noise(1e-3**2, 0.0, setting.key))


def _shrink_and_perturb(setting: Setting):
    return neo.continual.shrink_and_perturb(
        1 - 1e-2, 1e-2, every=every(setting, 100), key=setting.key
    )


def _swr(setting: Setting):
    return neo.continual.swr(
        0.01,
        every=every(setting, 100),
        score=neo.sparsity.saliency,
        key=setting.key,
    )


def _spectral(setting: Setting):
    return neo.continual.spectral_regularization(1e-3, key=setting.key)


def _isometry(setting: Setting):
    del setting
    return neo.continual.isometry_regularization(1e-3)


def _decay(setting: Setting):
    del setting
    return optax.add_decayed_weights(1e-3)


def _beside_decay(setting: Setting):
    del setting
    return optax.add_decayed_weights(1e-2)


def _l2_to_init(setting: Setting):
    del setting
    return neo.continual.l2_to_init(1e-2)


def _clipping(setting: Setting):
    del setting
    return neo.continual.weight_clipping(FLAX_RANGE)


def _projection(setting: Setting):
    del setting
    return neo.continual.project_to_initial_norm()


def _fire(setting: Setting):
    return neo.continual.fire(_task_steps(setting))


def _tortoise(setting: Setting):
    return neo.continual.hare_and_tortoise(_task_steps(setting))


def _keeping_rank(task: Task) -> Task:
    return changed_tasks.keeping_rank(task, RANK_STRENGTH)


PARTS = {
    "l2": Part("L2 regularization, 1e-3", before=_decay),
    "decay": Part("weights decayed beside it, 1e-2", beside=_beside_decay),
    "l2-to-init": Part("pulled to where it started, 1e-2", before=_l2_to_init),
    "shrink-and-perturb": Part("shrunk and perturbed", last=_shrink_and_perturb),
    "reset-dormant": Part("dormant units reset: ReDo", around=_redo),
    "continual-backprop": Part("the least useful units replaced", around=_backprop),
    "regrama": Part("units without gradients reset: ReGraMa", around=_regrama),
    "snr": Part("units reset that are silent for unusually long: SNR", around=_snr),
    "cpr": Part("units moved a part of the way to fresh ones: CPR", around=_cpr),
    "upgd": Part(
        "useful weights held, others shaken: UPGD", scaling=_gates, beside=_decay
    ),
    "upgd-quiet": Part("upgd without noise", scaling=_quiet_gates, beside=_decay),
    "perturbed": Part("upgd without gates", scaling=_noise, beside=_decay),
    "weight-clipping": Part("weights in their initializer's range", last=_clipping),
    "normalize-and-project": Part("kernels of their first norm", last=_projection),
    "spectral": Part("largest singular values pulled to one", before=_spectral),
    "isometry": Part("singular values pulled to one, in the loss", before=_isometry),
    "adamo": Part("singular values pulled to one, beside it", beside=_isometry),
    "swr": Part("the least useful weights drawn anew: SWR", last=_swr),
    "fire": Part("isometries at each new task: FIRE", last=_fire),
    "dash": Part("shrunk against the gradient at each new task: DASH", around=_dash),
    "hare-and-tortoise": Part(
        "set back to an average at each new task", last=_tortoise
    ),
    "normalize-inputs": Part(
        "inputs with a running mean and variance", adapt=changed_tasks.normalized
    ),
    "l2-er": Part(
        "features of a high rank, and weight decay",
        before=_decay,
        adapt=_keeping_rank,
    ),
}
"""By name; a recipe of several is written with plus signs."""
