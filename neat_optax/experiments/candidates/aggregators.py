"""The aggregators that are compared, each in front of the same optimizer, Adam.

Adam's step does not depend on the scale of the update, so that an aggregator gains
nothing by returning a longer one. Every aggregator is held against the mean, and NEAT
against itself with alpha 0. They are called as in `neat_optax.aggregators`, with dashes
for underscores.
"""

import functools
from collections.abc import Callable
from typing import Any

import optax

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.experiments.candidates.candidate import (
    Candidate,
    Lineup,
    Setting,
)
from neat_optax.experiments.candidates.optimizers import ADAM_RATE
from neat_optax.experiments.candidates.watching import next_to_mean, player_measures

CONTROL = "mean"


def _before_adam(make: Callable[[Setting, int], optax.GradientTransformation]):
    """From an aggregator, by setting and number of players, to the whole optimizer."""

    def build(
        rate: optax.ScalarOrSchedule, setting: Setting
    ) -> optax.GradientTransformation:
        num_players = setting.task.num_players
        if num_players is None:
            raise ValueError("`task` must have players for an aggregator, got none.")
        own = make(setting, num_players)
        if setting.watched:
            own = next_to_mean(own, num_players)
        return optax.chain(setting.task.aggregate(own), setting.optimizer(rate))

    return build


def _turns(report: dict[str, Any]) -> str:
    """What an aggregator did, as the predicate of a sentence."""
    turn = report["mean_over_run"]["correction_ratio"]
    if turn == 0:
        return "goes where the mean goes"
    return f"turns {turn:.2g} from the mean on average"


def _candidate(make: Callable, control: str | None, about: str) -> Candidate:
    return Candidate(_before_adam(make), ADAM_RATE, control, about)


def _against_mean(factory: Callable, about: str) -> Candidate:
    return _candidate(lambda _, players: factory(num_players=players), CONTROL, about)


def _random(factory: Callable, about: str) -> Candidate:
    return _candidate(lambda setting, _: factory(key=setting.key), CONTROL, about)


def _krum(num_players: int) -> optax.GradientTransformation:
    return aggregators.krum(1, num_players=num_players)


def _multi_krum(num_players: int) -> optax.GradientTransformation:
    return aggregators.multi_krum(1, num_players // 2, num_players=num_players)


def _clip(num_players: int) -> optax.GradientTransformation:
    return aggregators.clip_example_norms(1.0, num_players=num_players)


def _cr_mogm(num_players: int) -> optax.GradientTransformation:
    return aggregators.cr_mogm(aggregators.mgda_weights, num_players=num_players)


def _neat(alpha: float, num_players: int) -> optax.GradientTransformation:
    return neo.player_neat_correction(alpha, num_players=num_players)


_CANDIDATES = {
    CONTROL: _candidate(lambda *_: aggregators.mean(), None, "what is usually done"),
    "neat": _candidate(
        lambda setting, n: _neat(setting.alpha, n),
        "control",
        "NEAT against the mean of the others",
    ),
    "control": _candidate(lambda _, n: _neat(0.0, n), None, "neat with alpha 0"),
    "upgrad": _against_mean(aggregators.upgrad, "UPGrad: projections that harm nobody"),
    "dual-proj": _against_mean(aggregators.dual_proj, "the mean, projected likewise"),
    "pcgrad": _random(aggregators.pcgrad, "PCGrad: projections of pairs"),
    "gradvac": _candidate(
        lambda setting, n: aggregators.gradvac(num_players=n, key=setting.key),
        CONTROL,
        "Gradient Vaccine",
    ),
    "mgda": _against_mean(aggregators.mgda, "MGDA: shortest convex combination"),
    "cagrad": _against_mean(aggregators.cagrad, "CAGrad"),
    "nash-mtl": _against_mean(aggregators.nash_mtl, "Nash-MTL"),
    "fairgrad": _against_mean(aggregators.fairgrad, "FairGrad"),
    "imtl-g": _against_mean(aggregators.imtl_g, "IMTL-G: equal projections"),
    "conflict-free": _against_mean(aggregators.conflict_free, "ConFIG: equal cosines"),
    "m-config": _against_mean(aggregators.m_config, "ConFIG on averages, as Adam's"),
    "aligned-mtl": _against_mean(aggregators.aligned_mtl, "Aligned-MTL"),
    "cr-mogm": _against_mean(_cr_mogm, "CR-MOGM: averaged weights of MGDA"),
    "moco": _against_mean(aggregators.moco, "MoCo: MGDA on averages"),
    "modo": _against_mean(aggregators.modo, "MoDo: MGDA by double sampling"),
    "sdmgrad": _against_mean(aggregators.sdmgrad, "SDMGrad: MGDA near the mean"),
    "pcd": _against_mean(aggregators.pcd, "PCD: the first player, if none loses"),
    "db-mtl": _against_mean(aggregators.db_mtl, "DB-MTL: logarithms, equal norms"),
    "dwa": _against_mean(aggregators.dwa, "DWA: more for slow losses"),
    "excess-mtl": _against_mean(aggregators.excess_mtl, "ExcessMTL: excess risks"),
    "famo": _against_mean(aggregators.famo, "FAMO: equal rates of log-losses"),
    "gls": _against_mean(aggregators.gls, "GLS: geometric mean of the losses"),
    "gradnorm": _against_mean(aggregators.gradnorm, "GradNorm: equal training rates"),
    "imtl-l": _against_mean(aggregators.imtl_l, "IMTL-L: scaled losses of 1"),
    "stch": _against_mean(aggregators.stch, "STCH: smooth maximum of the losses"),
    "cosmos": _against_mean(aggregators.cosmos, "COSMOS: losses near a direction"),
    "pbi": _against_mean(aggregators.pbi, "PBI: losses on a direction"),
    "epo": _against_mean(aggregators.epo, "EPO: equal losses, then descent"),
    "pmgda": _against_mean(aggregators.pmgda, "PMGDA: MGDA on a direction"),
    "softadapt": _against_mean(aggregators.softadapt, "SoftAdapt: by slopes of losses"),
    "softadapt-normalized": _against_mean(
        functools.partial(aggregators.softadapt, normalized=True),
        "SoftAdapt: by slopes over their sum",
    ),
    "softadapt-loss-weighted": _against_mean(
        functools.partial(aggregators.softadapt, loss_weighted=True),
        "SoftAdapt: by slopes and losses",
    ),
    "relobralo": _candidate(
        lambda setting, n: aggregators.relobralo(num_players=n, key=setting.key),
        CONTROL,
        "ReLoBRaLo: averages of ratios of losses",
    ),
    "grad-norm-balancing": _against_mean(
        aggregators.grad_norm_balancing, "equal norms, on average"
    ),
    "dcgd": _against_mean(aggregators.dcgd, "DCGD: the sum, held in the dual cone"),
    "sven": _against_mean(aggregators.sven, "Sven: pseudo-inverse times the losses"),
    "auto-lambda": _against_mean(aggregators.auto_lambda, "Auto-Lambda, first order"),
    "go4align": _against_mean(aggregators.go4align, "GO4Align: weights of groups"),
    "uncertainty": _against_mean(aggregators.uncertainty, "learned variances"),
    "krum": _against_mean(_krum, "Krum, one player not trusted"),
    "multi-krum": _against_mean(_multi_krum, "Multi-Krum, half of the players"),
    "geometric-median": _against_mean(aggregators.geometric_median, "robust center"),
    "trimmed-mean": _candidate(
        lambda *_: aggregators.trimmed_mean(1), CONTROL, "without the extremes"
    ),
    "clip-example-norms": _against_mean(_clip, "gradients no longer than 1"),
    "graddrop": _random(aggregators.graddrop, "GradDrop: one sign by chance"),
    "random": _random(aggregators.random, "random weights at each step"),
    "sum": _against_mean(aggregators.sum, "the mean, longer, which Adam does not see"),
}
AGGREGATORS = Lineup(
    kind="aggregator",
    candidates=_CANDIDATES,
    default=("mean", "neat", "upgrad", "pcgrad"),
    measures=player_measures,
    did=_turns,
    in_turn=True,
)
