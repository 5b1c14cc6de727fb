"""The aggregators that are compared, each in front of the same optimizer, Adam.

Adam's step does not depend on the scale of the update, so that an aggregator gains
nothing by returning a longer one. Every aggregator is held against the mean, and NEAT
against itself with alpha 0.
"""

from collections.abc import Callable

import optax

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.experiments.candidates.candidate import (
    Candidate,
    Lineup,
    Setting,
    changes_gradient,
)
from neat_optax.experiments.candidates.optimizers import ADAM_RATE
from neat_optax.experiments.candidates.watch import player_measures, watch

CONTROL = "mean"


def _before_adam(make: Callable[[float, int], optax.GradientTransformation]):
    """From an aggregator, by alpha and number of players, to the whole optimizer."""

    def build(rate, setting: Setting) -> optax.GradientTransformation:
        num_players = setting.task.num_players
        if num_players is None:
            raise ValueError("`task` must have players for an aggregator, got none.")
        watched = watch(make(setting.alpha, num_players))
        return optax.chain(setting.task.aggregate(watched), optax.adam(rate))

    return build


def _candidate(make: Callable, control: str | None, about: str) -> Candidate:
    return Candidate(_before_adam(make), ADAM_RATE, control, about)


def _against_mean(factory: Callable, about: str) -> Candidate:
    return _candidate(lambda _, players: factory(num_players=players), CONTROL, about)


def _neat(alpha: float, num_players: int) -> optax.GradientTransformation:
    return neo.player_neat_correction(alpha, num_players=num_players)


_CANDIDATES = {
    CONTROL: _candidate(lambda *_: aggregators.mean(), None, "what is usually done"),
    "neat": _candidate(_neat, "control", "NEAT against the mean of the others"),
    "control": _candidate(lambda _, n: _neat(0.0, n), None, "neat with alpha 0"),
    "upgrad": _against_mean(aggregators.upgrad, "UPGrad: projections that harm nobody"),
    "dual-proj": _against_mean(aggregators.dual_proj, "the mean, projected likewise"),
    "pcgrad": _against_mean(aggregators.pcgrad, "PCGrad: projections of pairs"),
    "gradvac": _against_mean(aggregators.gradvac, "Gradient Vaccine"),
    "mgda": _against_mean(aggregators.mgda, "MGDA: shortest convex combination"),
    "cagrad": _against_mean(aggregators.cagrad, "CAGrad"),
    "nash-mtl": _against_mean(aggregators.nash_mtl, "Nash-MTL"),
    "fairgrad": _against_mean(aggregators.fairgrad, "FairGrad"),
    "imtl-g": _against_mean(aggregators.imtl_g, "IMTL-G: equal projections"),
    "config": _against_mean(aggregators.conflict_free, "ConFIG: equal cosines"),
    "aligned-mtl": _against_mean(aggregators.aligned_mtl, "Aligned-MTL"),
}
AGGREGATORS = Lineup(
    kind="aggregator",
    candidates=_CANDIDATES,
    default=("mean", "neat", "upgrad", "pcgrad"),
    unit=ADAM_RATE,
    measures=player_measures,
    did=changes_gradient,
    in_turn=True,
)
