"""Every public transformation of single gradients, listed once."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo

ADAM = optax.adam(0.1, eps_root=1e-30)  # which has a derivative at zero
GIVEN = neo.opponents.given()


class Entry(NamedTuple):
    """A factory, its arguments, and those that `inject_hyperparams` must not touch."""

    factory: Callable[..., optax.GradientTransformation]
    kwargs: dict[str, Any]
    static: tuple[str, ...] = ()
    real_only: bool = False
    extras: tuple[str, ...] = ()  # extra arguments that get the gradient

    def build(self) -> optax.GradientTransformationExtraArgs:
        return self.factory(**self.kwargs)

    def extra(self, gradient) -> dict[str, Any]:
        """Extra arguments of `update`: a direction, for those that are given theirs."""
        if self.kwargs.get("opponent") is not GIVEN:
            return dict.fromkeys(self.extras, gradient)
        return {"opponent": jax.tree.map(lambda g: jnp.cos(3 * g) - g, gradient)}

    def stepper(self):
        """`(gradient, state, params) -> (update, state)`, extra arguments included."""
        tx = optax.with_extra_args_support(self.build())

        def step(gradient, state, params):
            return tx.update(gradient, state, params, **self.extra(gradient))

        return tx, step


def by_rank(tree):
    """Labels for `by_label`: matrices apart from the rest."""
    return jax.tree.map(lambda x: "matrix" if jnp.ndim(x) > 1 else "other", tree)


RULES = optax.chain(
    neo.detect_conflict(0.05),
    neo.project_conflict(0.5),
    neo.adapt_correction(),
    neo.clip_correction(0.4),
    neo.gate_by_conflict(0.1),
    neo.gate_by_warmup(1),
    neo.monitor_correction(),
)


def adaptive(**options):
    """NEAT's rules with all that adapts."""
    return neo.neat_rules(
        0.5,
        warmup_steps=1,
        conflict_threshold=0.01,
        alpha_range=(0.0, 2.0),
        correction_range=(1.0, 2.5),
        **options,
    )


ADAPTIVE = dict(rules=adaptive(), watch_decay=0.9, monitor=True)


def all_on(
    learning_rate: optax.ScalarOrSchedule = 0.1, beta: optax.ScalarOrSchedule = 0.9
):
    """Everything that neat-optim can switch on, chained."""
    opponent = neo.opponents.blended(
        neo.opponents.momentum(beta), neo.opponents.gradient_ema(0.75), 0.5
    )
    step = neo.scale_by_neat(
        beta,
        opponent=opponent,
        rules=adaptive(correction=neo.dampen_conflict),
        debias=True,
        nesterov=True,
        scope=neo.by_label(by_rank),
        watch_decay=0.9,
        monitor=True,
    )
    optimizer = optax.chain(
        neo.centralize_outputs(),
        neo.precondition(step, decay=0.875, debias=True),
        optax.scale_by_sign(),
        optax.add_decayed_weights(0.01),
        optax.scale_by_learning_rate(learning_rate),
    )
    return neo.monitor_update(
        optax.chain(
            neo.keep_slow_params(optimizer, period=2, step_size=0.75),
            neo.sparsity.soft_threshold(1e-4),
            neo.sparsity.prune_below(1e-3),
        )
    )


def ALTERNATE(params):
    """A mask from shapes alone: every other row."""

    def alternate(p):
        every = jnp.ones_like(p, dtype=bool)
        if not p.ndim:
            return every
        kept = np.arange(p.shape[0]) % 2 == 0
        return every & kept.reshape(-1, *[1] * (p.ndim - 1))

    return jax.tree.map(alternate, params)


def EVERY(params):
    """All arrays: those left out have `optax.MaskedNode` for a memory."""
    return jax.tree.map(lambda _: True, params)


BEST_HALF = functools.partial(neo.sparsity.make_mask, sparsity=0.5)
BLEND = neo.opponents.blended(
    neo.opponents.momentum(0.9), neo.opponents.previous_gradient(), 0.25
)

TABLE = {
    "correction": Entry(neo.neat_correction, dict(alpha=0.5)),
    "correction momentum": Entry(
        neo.neat_correction, dict(alpha=0.25, opponent=neo.opponents.momentum(0.5))
    ),
    "correction previous": Entry(
        neo.neat_correction, dict(alpha=1.0, opponent=neo.opponents.previous_gradient())
    ),
    "correction blended": Entry(neo.neat_correction, dict(alpha=0.25, opponent=BLEND)),
    "correction given": Entry(neo.neat_correction, dict(alpha=0.25, opponent=GIVEN)),
    "correction whole tree": Entry(
        neo.neat_correction, dict(alpha=0.25, scope=neo.whole_tree)
    ),
    "correction by label": Entry(
        neo.neat_correction,
        dict(alpha=0.25, scope=neo.by_label(by_rank), monitor=True),
    ),
    "correction adaptive": Entry(neo.neat_correction, ADAPTIVE),
    "scale_by_neat": Entry(neo.scale_by_neat, dict(beta=0.9)),
    "scale_by_neat options": Entry(
        neo.scale_by_neat,
        dict(
            ADAPTIVE,
            opponent=neo.opponents.previous_gradient(),
            rules=adaptive(correction=neo.dampen_conflict),
            debias=True,
            nesterov=True,
        ),
    ),
    "neat": Entry(neo.neat, dict(learning_rate=0.1)),
    "neat all on": Entry(all_on, dict(learning_rate=0.1)),
    "neat_adaptive": Entry(neo.compat.neat_adaptive, dict(learning_rate=0.1)),
    "neat_adaptive_alpha": Entry(
        neo.compat.neat_adaptive_alpha, dict(learning_rate=0.1)
    ),
    "neat_lion": Entry(neo.compat.neat_lion, dict(learning_rate=0.1, monitor=True)),
    "neat_light": Entry(neo.compat.neat_light, dict(learning_rate=0.1)),
    "contest": Entry(
        neo.contest, dict(opponent=neo.opponents.gradient_ema(0.5), rules=RULES)
    ),
    "contest given": Entry(neo.contest, dict(opponent=GIVEN, rules=RULES)),
    "precondition": Entry(
        neo.precondition, dict(inner=neo.scale_by_neat(), decay=0.875, debias=True)
    ),
    "keep_slow_params": Entry(
        neo.keep_slow_params,
        dict(optimizer=neo.neat(0.1), period=2),
        static=("period",),
    ),
    "monitor_update": Entry(neo.monitor_update, dict(inner=neo.neat(0.1))),
    "centralize_outputs": Entry(neo.centralize_outputs, {}),
    "soft_threshold": Entry(neo.sparsity.soft_threshold, dict(strength=0.01)),
    "prune_below": Entry(neo.sparsity.prune_below, dict(threshold=0.3)),
    "elastic_net": Entry(neo.sparsity.elastic_net, dict(l1=0.01, l2=0.1)),
    "group_lasso": Entry(
        neo.sparsity.group_lasso, dict(strength=0.5), static=("axis",)
    ),
    "hard_threshold": Entry(neo.sparsity.hard_threshold, dict(strength=0.05)),
    "nonnegative_lasso": Entry(
        neo.sparsity.nonnegative_lasso, dict(strength=0.01), real_only=True
    ),
    "precondition then": Entry(
        neo.precondition,
        dict(
            inner=neo.scale_by_neat(),
            decay=0.875,
            then=optax.chain(
                optax.scale_by_learning_rate(0.1), neo.sparsity.group_lasso(0.05)
            ),
        ),
    ),
    "prune_to_sparsity": Entry(neo.sparsity.prune_to_sparsity, dict(sparsity=0.4)),
    "prune_to_sparsity options": Entry(
        neo.sparsity.prune_to_sparsity,
        dict(
            sparsity=optax.linear_schedule(0.2, 0.9, 4),
            begin=1,
            every=2,
            score=neo.sparsity.movement,
            scope=neo.whole_tree,
            allocation=neo.sparsity.erdos_renyi_kernel,
            granularity=neo.sparsity.units(-1),
        ),
        extras=("grad",),
    ),
    "pass_gradient": Entry(
        neo.pass_gradient,
        dict(
            inner=optax.chain(
                optax.sgd(0.1, momentum=0.9),
                neo.sparsity.prune_to_sparsity(0.5, score=neo.sparsity.snip),
            )
        ),
    ),
    "adapt_pruning": Entry(
        neo.sparsity.adapt_pruning, dict(sparsity=0.5, tolerance=0.01)
    ),
    "keep_mask": Entry(neo.sparsity.keep_mask, dict(mask=ALTERNATE), static=("mask",)),
    "n_of_m": Entry(neo.sparsity.n_of_m, dict(n=1, m=1), static=("n", "m", "axis")),
    "straight_through": Entry(
        neo.sparsity.straight_through, dict(mask=BEST_HALF), static=("mask",)
    ),
    "grow_and_prune": Entry(
        neo.sparsity.grow_and_prune,
        dict(optimizer=ADAM, sparsity=0.4, fraction=0.5, every=2),
    ),
    "l2_to_init": Entry(neo.continual.l2_to_init, dict(strength=0.01)),
    "shrink_and_perturb": Entry(
        neo.continual.shrink_and_perturb, dict(shrink=0.75, noise=0.5, every=2)
    ),
    "reset_dormant": Entry(
        neo.continual.reset_dormant, dict(optimizer=ADAM, layers=(), every=2)
    ),
    "continual_backprop": Entry(
        neo.continual.continual_backprop, dict(optimizer=ADAM, layers=())
    ),
    "regrama": Entry(neo.continual.regrama, dict(optimizer=ADAM, layers=(), every=2)),
    "self_normalized_resets": Entry(
        neo.continual.self_normalized_resets,
        dict(optimizer=ADAM, layers=(), longest=3),
        static=("longest",),
    ),
    "calibrated_partial_resets": Entry(
        neo.continual.calibrated_partial_resets,
        dict(optimizer=ADAM, layers=(), every=2),
    ),
    "upgd": Entry(neo.continual.upgd, dict(learning_rate=0.1)),
    "scale_by_upgd": Entry(
        neo.continual.scale_by_upgd, dict(inner=optax.trace(0.9), protect=False)
    ),
    "scale_by_upgd second order": Entry(
        neo.continual.scale_by_upgd,
        dict(local=True, second_order=True),
        extras=("curvature",),
    ),
    "weight_clipping": Entry(neo.continual.weight_clipping, dict(kappa=1.0)),
    "spectral_regularization": Entry(
        neo.continual.spectral_regularization,
        dict(strength=0.01),
        static=("power", "iterations"),
    ),
    "isometry_regularization": Entry(
        neo.continual.isometry_regularization, dict(strength=0.01)
    ),
    "project_to_initial_norm": Entry(neo.continual.project_to_initial_norm, {}),
    "adamo": Entry(neo.continual.adamo, dict(learning_rate=0.1, eps_root=1e-30)),
    "fire": Entry(neo.continual.fire, dict(every=2), static=("iterations",)),
    "swr": Entry(neo.continual.swr, dict(fraction=0.25, every=2), static=("decay",)),
    "hare_and_tortoise": Entry(
        neo.continual.hare_and_tortoise, dict(every=2, decay=0.75)
    ),
    "past_extragradient": Entry(neo.games.past_extragradient, dict(optimizer=ADAM)),
    "scale_by_plasticity": Entry(
        neo.plasticity.scale_by_plasticity, dict(monitor=True)
    ),
    "scale_by_plasticity options": Entry(
        neo.plasticity.scale_by_plasticity,
        dict(
            signals=(neo.plasticity.gradient(), neo.plasticity.activity()),
            strength=1.5,
            granularity=neo.sparsity.units(-1),
            scope=neo.whole_tree,
        ),
        static=("signals",),
    ),
    "scale_by_plasticity grad only": Entry(
        neo.plasticity.scale_by_plasticity,
        dict(signals=(neo.plasticity.gradient(1.0),)),
        static=("signals",),
    ),
    "bound_residual": Entry(
        neo.plasticity.bound_residual,
        dict(inner=neo.plasticity.scale_by_plasticity(), ratio=0.25, monitor=True),
    ),
    "orthogonal_residual": Entry(
        neo.plasticity.orthogonal_residual,
        dict(
            inner=neo.plasticity.scale_by_plasticity(),
            reference=neo.plasticity.scale_by_plasticity([neo.plasticity.gradient()]),
            match_norm=True,
            monitor=True,
        ),
    ),
    "clip_leaf_norm": Entry(
        neo.plasticity.clip_leaf_norm, dict(max_norm=0.5, monitor=True)
    ),
    "stabilize": Entry(neo.plasticity.stabilize, dict(rate=0.5, monitor=True)),
    "stabilize memoryless": Entry(
        neo.plasticity.stabilize,
        dict(rule=neo.plasticity.memoryless, scope=neo.whole_tree),
    ),
    "modulate": Entry(
        neo.plasticity.modulate,
        dict(base=optax.scale_by_sign(), mask=EVERY, monitor=True),
        static=("mask",),
    ),
    "modulate momentum": Entry(
        neo.plasticity.modulate,
        dict(base=optax.scale_by_sign(), target=neo.plasticity.momentum_target(0.75)),
    ),
    "modulate trust ratio": Entry(
        neo.plasticity.modulate,
        dict(base=optax.scale_by_sign(), target=neo.plasticity.trust_ratio),
    ),
    "modulate_rate": Entry(
        neo.plasticity.modulate_rate,
        dict(
            inner=neo.plasticity.scale_by_plasticity(),
            strength=0.5,
            scope=neo.whole_tree,
            monitor=True,
        ),
    ),
    "neuroplastic": Entry(neo.plasticity.neuroplastic, dict(learning_rate=0.1)),
    "neuroplastic all on": Entry(
        neo.plasticity.neuroplastic,
        dict(
            learning_rate=0.1,
            scaling=neo.plasticity.scale_by_plasticity(strength=0.5, monitor=True),
            weight_decay=0.01,
            decouple_weight_decay=False,
            target_rms=0.02,
            monitor=True,
        ),
    ),
}


STATELESS = (
    "centralize_outputs",
    "soft_threshold",
    "prune_below",
    "elastic_net",
    "group_lasso",
    "hard_threshold",
    "nonnegative_lasso",
    "prune_to_sparsity",
    "prune_to_sparsity options",
    "pass_gradient",
    "adapt_pruning",
    "keep_mask",
    "n_of_m",
    "straight_through",
    "grow_and_prune",
    "l2_to_init",
    "shrink_and_perturb",
    "reset_dormant",
    "continual_backprop",
    "regrama",
    "self_normalized_resets",
    "calibrated_partial_resets",
    "upgd",
    "scale_by_upgd",
    "scale_by_upgd second order",
    "weight_clipping",
    "spectral_regularization",
    "isometry_regularization",
    "project_to_initial_norm",
    "adamo",
    "fire",
    "swr",
    "hare_and_tortoise",
    "past_extragradient",
    "modulate",
    "modulate momentum",
    "modulate trust ratio",
)
"""What is not finite goes through them, and stays out of their masks and scores."""

NO_SCHEDULE = (
    "contest",
    "contest given",
    "keep_slow_params",
    "monitor_update",
    "centralize_outputs",
    "project_to_initial_norm",
    "prune_to_sparsity options",
    "pass_gradient",
    "keep_mask",
    "n_of_m",
    "straight_through",
    "fire",
    "past_extragradient",
)
"""Without a number of their own that could be a schedule."""

FROM_VALUES = (
    "neat all on",
    "keep_slow_params",
    "straight_through",
    "l2_to_init",
    "shrink_and_perturb",
    "swr",
    "hare_and_tortoise",
)
"""Their states start from the parameters' values, not from their shapes alone."""

REAL = ("nonnegative_lasso",)
"""Complex numbers have no order."""

CONTESTS = tuple(name for name in TABLE if name not in STATELESS)

SHELLS = (
    "contest",
    "scale_by_neat",
    "precondition",
    "keep_slow_params",
    "monitor_update",
    "prune_to_sparsity",
    "grow_and_prune",
    "straight_through",
    "scale_by_plasticity",
    "modulate",
    "reset_dormant",
)
"""One of each way to read gradients and keep a state. They are asked everything in the
fast tier; of the rest it traces one step, and the slow tier asks what is left."""


def select(*rooms):
    """Names whose factory is in one of these rooms, chains of this file in `compat`."""
    modules = {name: entry.factory.__module__ for name, entry in TABLE.items()}
    found = {n: f"{module}.compat".split(".")[1] for n, module in modules.items()}
    return tuple(name for name, room in found.items() if room in rooms)


def each(names=tuple(TABLE), fast=tuple(TABLE)):
    """Parametrizes a test by name: some in the fast tier, the rest in the slow one."""
    return pytest.mark.parametrize(
        "name",
        [
            name if name in fast else pytest.param(name, marks=pytest.mark.slow)
            for name in names
        ],
    )
