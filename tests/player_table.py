"""Every public factory that takes gradients with a player axis, listed once."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import aggregators

COUNT = 4
ADAM = optax.adam(0.1, eps_root=1e-30)  # which has a derivative at zero
PARAMS = {
    "w": np.array([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]], np.float32),
    "b": np.array([1.0, -2.0], np.float32),
}
LOSSES = np.array([0.5, 2.0, 1.0, 0.25], np.float32)
TRACES = np.array([4.0, 0.5, 2.0, 8.0], np.float32)


class Entry(NamedTuple):
    """A factory, its arguments, and those that `inject_hyperparams` must not touch."""

    factory: Callable[..., Any]
    kwargs: dict[str, Any]
    static: tuple[str, ...] = ()

    def build(self) -> optax.GradientTransformationExtraArgs:
        return self.factory(**self.kwargs)

    @property
    def extra(self) -> dict[str, Any]:
        """Extra arguments of `update`: losses or traces, for those that need them."""
        if self.factory is aggregators.ntk:
            return {"traces": TRACES}
        return {"losses": LOSSES} if self.factory in WITH_LOSSES else {}

    def stepper(self):
        """`(gradients, state, params) -> (update, state)`, extra arguments included."""
        tx = self.build()

        def step(gradients, state, params):
            return tx.update(gradients, state, params, **self.extra)

        return tx, step


WITH_LOSSES = (
    aggregators.go4align,
    aggregators.stch,
    aggregators.famo,
    aggregators.uncertainty,
    aggregators.imtl_l,
    aggregators.dwa,
    aggregators.gls,
    aggregators.gradnorm,
    aggregators.db_mtl,
    aggregators.cosmos,
    aggregators.pbi,
    aggregators.epo,
    aggregators.pmgda,
    aggregators.softadapt,
    aggregators.sven,
    aggregators.relobralo,
)
RULES = optax.chain(
    neo.detect_conflict(0.05),
    neo.project_conflict(0.5),
    neo.adapt_correction(),
    neo.clip_correction(0.4),
)
P = {"num_players": COUNT}
MEASURED = {**P, "monitor": True}
N = ("num_players",)
OPTIMIZER = optax.chain(aggregators.upgrad(), ADAM)

TABLE = {
    "mean": Entry(aggregators.mean, {}),
    "sum": Entry(aggregators.sum, {}),
    "constant": Entry(aggregators.constant, {"weights": (0.5, -1.0, 2.0, 0.25)}),
    "random": Entry(aggregators.random, {}, ("key",)),
    "upgrad": Entry(aggregators.upgrad, {}),
    "imtl_g measured": Entry(
        aggregators.imtl_g, {**MEASURED, "scope": neo.per_leaf}, N
    ),
    "dual_proj": Entry(aggregators.dual_proj, {}),
    "dcgd": Entry(aggregators.dcgd, {}),
    "dcgd average": Entry(aggregators.dcgd, {"variant": "average"}),
    "mgda": Entry(aggregators.mgda, {}),
    "pcgrad": Entry(aggregators.pcgrad, {}, ("key",)),
    "pcgrad fixed": Entry(aggregators.pcgrad, {"key": None}),
    "gradvac": Entry(aggregators.gradvac, {**P, "decay": 0.5}, (*N, "key")),
    "cagrad": Entry(aggregators.cagrad, {"c": 0.5}),
    "fairgrad": Entry(aggregators.fairgrad, {"alpha": 2.0}),
    "pivrg": Entry(aggregators.pivrg, {"bound": 2.0}, ("min_temperature",)),
    "nash_mtl": Entry(aggregators.nash_mtl, {}),
    "imtl_g": Entry(aggregators.imtl_g, {}),
    "config": Entry(aggregators.conflict_free, {}),
    "aligned_mtl": Entry(aggregators.aligned_mtl, {}),
    "krum": Entry(aggregators.krum, {"num_byzantine": 1}, ("num_byzantine",)),
    "multi_krum": Entry(
        aggregators.multi_krum,
        {"num_byzantine": 1, "num_selected": 2},
        ("num_byzantine", "num_selected"),
    ),
    "geometric_median": Entry(aggregators.geometric_median, {}),
    "clip_example_norms": Entry(aggregators.clip_example_norms, {"max_norm": 1.5}),
    "cr_mogm": Entry(
        aggregators.cr_mogm,
        {"weighting": aggregators.pcgrad_weighting(), **P, "decay": 0.5},
        ("weighting", *N),
    ),
    "modo": Entry(aggregators.modo, {**P, "step_size": 0.1, "decay": 0.1}, N),
    # With the usual steps of length 10, a last digit of the Gramian turns the weights.
    "sdmgrad": Entry(aggregators.sdmgrad, {**P, "step_size": 1.0}, (*N, "num_steps")),
    "pcd": Entry(aggregators.pcd, {**P, "tau": 0.1, "decay": 0.9}, N),
    "aggregate": Entry(
        aggregators.aggregate, {"weighting": aggregators.imtl_g_weights}, ("weighting",)
    ),
    "stch": Entry(aggregators.stch, {"mu": 0.5}),
    "stch tracked": Entry(aggregators.stch, {"mu": 0.5, "ideal": None, **P}, N),
    "famo": Entry(
        aggregators.famo, {**P, "learning_rate": 0.025}, (*N, "weight_decay", "ideal")
    ),
    "uncertainty": Entry(aggregators.uncertainty, P, N),
    "imtl_l": Entry(aggregators.imtl_l, P, N),
    "dwa": Entry(aggregators.dwa, {**P, "temperature": 2.0}, (*N, "period")),
    "gls": Entry(aggregators.gls, {}),
    "cosmos": Entry(aggregators.cosmos, {"penalty": 0.5}),
    "pbi": Entry(aggregators.pbi, {"theta": 5.0}, ("ideal",)),
    "epo": Entry(aggregators.epo, {}),
    "pmgda": Entry(
        aggregators.pmgda, {"sigma": 0.5}, ("tolerance", "ideal", "tangent")
    ),
    "softadapt": Entry(
        aggregators.softadapt,
        {**P, "beta": 0.5, "normalized": True, "loss_weighted": True},
        (*N, "order", "normalized", "loss_weighted"),
    ),
    "go4align": Entry(
        aggregators.go4align, {**P, "step_size": 0.5}, (*N, "num_groups")
    ),
    "relobralo": Entry(
        aggregators.relobralo,
        {**P, "temperature": 2.0, "decay": 0.5},
        (*N, "key", "rho"),
    ),
    "sven": Entry(aggregators.sven, {"rtol": 0.1, "kappa": 1.0}, ("rank",)),
    "auto_lambda": Entry(
        aggregators.auto_lambda, {**P, "step_size": 0.1, "optimizer": ADAM}, N
    ),
    "pike": Entry(aggregators.pike, {**P, "zeta1": 0.05, "zeta2": 0.1}, (*N, "every")),
    "gradnorm": Entry(aggregators.gradnorm, {**P, "alpha": 1.5}, N),
    "grad_norm_balancing": Entry(
        aggregators.grad_norm_balancing,
        {**P, "decay": 0.1, "every": 1},
        (*N, "every"),
    ),
    "ntk": Entry(aggregators.ntk, {**P, "decay": 0.5, "every": 1}, (*N, "every")),
    "graddrop": Entry(aggregators.graddrop, {"leak": 0.25}, ("key",)),
    "trimmed_mean": Entry(
        aggregators.trimmed_mean, {"num_trimmed": 1}, ("num_trimmed",)
    ),
    "moco": Entry(
        aggregators.moco,
        {**P, "step_size": 0.1, "decay": 0.1},
        (*N, "rate", "rate_decay"),
    ),
    "db_mtl": Entry(aggregators.db_mtl, P, (*N, "decay")),
    "m_config": Entry(
        aggregators.m_config, P, (*N, "decay", "second_moment_decay", "eps")
    ),
    "excess_mtl": Entry(
        aggregators.excess_mtl,
        {**P, "warmup_steps": 1},
        (*N, "warmup_steps", "step_size"),
    ),
    "player_neat": Entry(neo.player_neat_correction, {"alpha": 0.5}),
    "player_neat adaptive": Entry(
        neo.player_neat_correction,
        {
            **MEASURED,
            "opponent": neo.opponents.batch_mean(),
            "rules": neo.neat_rules(0.5, correction_range=(1.0, 2.0)),
            "scope": neo.whole_tree,
        },
        N,
    ),
    "player_neat pairwise": Entry(
        neo.player_neat_correction, {"alpha": 0.5, "opponent": neo.opponents.pairwise()}
    ),
    "player_contest": Entry(
        neo.player_contest, {"opponent": neo.opponents.others_mean(), "rules": RULES}
    ),
    "monitor_update_conflict": Entry(
        neo.monitor_update_conflict, {"inner": OPTIMIZER, **P}, N
    ),
    "accumulate_players": Entry(
        neo.accumulate_players, {"inner": OPTIMIZER, "every": 1, **P}, (*N, "every")
    ),
    "hold_absent": Entry(
        neo.hold_absent,
        {
            "inner": OPTIMIZER,
            "players": {"w": np.ones(COUNT, bool), "b": np.arange(COUNT) < 2},
        },
    ),
    "aggregate_shared": Entry(
        neo.aggregate_shared,
        {"aggregator": aggregators.mgda(), "shared": {"w": True, "b": False}},
        ("shared",),
    ),
    "chained": Entry(
        lambda max_norm: optax.chain(
            aggregators.per_player(
                optax.clip_by_global_norm(max_norm), num_players=COUNT
            ),
            aggregators.cagrad(0.5),
            ADAM,
        ),
        {"max_norm": 1.0},
    ),
}

NOT_REDUCING = ("per_player", "divide_by_losses")
"""Public, but gradients keep their player axis; they stand in chains."""

NO_NUMBER = tuple(
    name
    for name, entry in TABLE.items()
    if not any(
        isinstance(value, float)
        for key, value in entry.kwargs.items()
        if key not in entry.static
    )
)
"""Without a number that `inject_hyperparams` could take over."""

KEEPS_PLAYERS = ("accumulate_players", "moco", "db_mtl", "m_config", "excess_mtl")
"""Their states hold arrays `[P, ...]`, one for each player."""

SHELLS = (
    "mean",
    "pcgrad",
    "graddrop",
    "moco",
    "m_config",
    "excess_mtl",
    "player_neat",
    "player_neat pairwise",
)
"""One of each way to read and combine gradients. What is behind it, a rule on inner
products, sees arrays that are alike on all devices."""

ASKED = (*SHELLS, "upgrad", "imtl_g measured", "chained")
"""Asked everything in the fast tier, with a solver, a recorder and a whole chain. Of
the rest it traces one step, and the slow tier asks what is left."""


def each(names=tuple(TABLE), fast=tuple(TABLE)):
    """Parametrizes a test by name: some in the fast tier, the rest in the slow one."""
    return pytest.mark.parametrize(
        "name",
        [
            name if name in fast else pytest.param(name, marks=pytest.mark.slow)
            for name in names
        ],
    )


def public_factories():
    """Names of all public functions that return a transformation, by module."""
    found = {}
    for module in (aggregators, neo):
        for name, value in vars(module).items():
            if inspect.isfunction(value):
                hints = inspect.signature(value, eval_str=True)
                wide = hints.return_annotation is optax.GradientTransformationExtraArgs
                if wide:
                    found.setdefault(module.__name__, set()).add(name)
    return found
