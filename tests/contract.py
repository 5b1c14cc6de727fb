"""Every public transformation, listed once, and what the contract tests do with it."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as no

GIVEN = no.given()


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
            if self.real_only and any(map(jnp.iscomplexobj, jax.tree.leaves(params))):
                pytest.skip("refuses complex leaves")
            return tx.update(gradient, state, params, **self.extra(gradient))

        return tx, step


def by_rank(tree):
    """Labels for `by_label`: matrices apart from the rest."""
    return jax.tree.map(lambda x: "matrix" if jnp.ndim(x) > 1 else "other", tree)


RULES = optax.chain(
    no.detect_conflict(0.05),
    no.project_conflict(0.5),
    no.adapt_correction(),
    no.clip_correction(0.4),
    no.gate_by_conflict(0.1),
    no.gate_by_warmup(1),
    no.measure_correction(),
)
ADAPTIVE = dict(
    alpha=0.5,
    warmup_steps=1,
    conflict_threshold=0.01,
    alpha_range=(0.0, 2.0),
    correction_range=(1.0, 2.5),
    measure=True,
)
ALL_ON = dict(
    ADAPTIVE,
    learning_rate=0.1,
    opponent=no.blended(no.momentum(0.9), no.gradient_ema(0.75), 0.5),
    correction=no.dampen_conflict,
    second_moment_decay=0.875,
    debias=True,
    nesterov=True,
    sign=True,
    centralize=True,
    weight_decay=0.01,
    lookahead_period=2,
    lookahead_step_size=0.75,
    l1=1e-3,
    prune_threshold=1e-3,
    scope=no.by_label(by_rank),
)


def ALTERNATE(params):
    """A mask from shapes alone: every other row."""
    return jax.tree.map(
        lambda p: (
            jnp.ones_like(p, dtype=bool)
            & (jax.lax.broadcasted_iota(jnp.int32, p.shape, 0) % 2 == 0)
            if p.ndim
            else jnp.ones_like(p, dtype=bool)
        ),
        params,
    )


def EVERY_PATH(path, leaf):
    """All arrays: those left out have `optax.MaskedNode` for a memory."""
    del path, leaf
    return True


BEST_HALF = functools.partial(no.sparsity.make_mask, sparsity=0.5)
BLEND = no.blended(no.momentum(0.9), no.previous_gradient(), 0.25)

TABLE = {
    "correction": Entry(no.neat_correction, dict(alpha=0.5)),
    "correction momentum": Entry(no.neat_correction, dict(opponent=no.momentum(0.5))),
    "correction previous": Entry(
        no.neat_correction, dict(alpha=1.0, opponent=no.previous_gradient())
    ),
    "correction blended": Entry(no.neat_correction, dict(opponent=BLEND)),
    "correction given": Entry(no.neat_correction, dict(opponent=GIVEN)),
    "correction whole tree": Entry(no.neat_correction, dict(scope=no.whole_tree)),
    "correction by label": Entry(
        no.neat_correction, dict(scope=no.by_label(by_rank), measure=True)
    ),
    "correction adaptive": Entry(no.neat_correction, ADAPTIVE),
    "scale_by_neat": Entry(no.scale_by_neat, dict(beta=0.9)),
    "scale_by_neat options": Entry(
        no.scale_by_neat,
        dict(
            ADAPTIVE,
            opponent=no.previous_gradient(),
            correction=no.dampen_conflict,
            debias=True,
            nesterov=True,
        ),
        static=("correction",),
    ),
    "neat": Entry(no.neat, dict(learning_rate=0.1)),
    "neat all on": Entry(no.neat, ALL_ON, static=("correction", "lookahead_period")),
    "neat_adaptive": Entry(no.neat_adaptive, dict(learning_rate=0.1)),
    "neat_adaptive_alpha": Entry(no.neat_adaptive_alpha, dict(learning_rate=0.1)),
    "neat_lion": Entry(no.neat_lion, dict(learning_rate=0.1, measure=True)),
    "neat_light": Entry(no.neat_light, dict(learning_rate=0.1)),
    "contest": Entry(no.contest, dict(opponent=no.gradient_ema(0.5), rules=RULES)),
    "contest given": Entry(no.contest, dict(opponent=GIVEN, rules=RULES)),
    "precondition": Entry(
        no.precondition, dict(inner=no.scale_by_neat(), decay=0.875, debias=True)
    ),
    "keep_slow_params": Entry(
        no.keep_slow_params,
        dict(optimizer=no.neat(0.1), period=2),
        static=("period",),
    ),
    "measure_update": Entry(no.measure_update, dict(inner=no.neat(0.1))),
    "centralize_outputs": Entry(no.centralize_outputs, {}),
    "soft_threshold": Entry(no.soft_threshold, dict(strength=0.01)),
    "prune_below": Entry(no.prune_below, dict(threshold=0.3)),
    "elastic_net": Entry(no.elastic_net, dict(l1=0.01, l2=0.1)),
    "group_lasso": Entry(no.group_lasso, dict(strength=0.5), static=("axis",)),
    "hard_threshold": Entry(no.hard_threshold, dict(strength=0.05)),
    "nonnegative_lasso": Entry(
        no.nonnegative_lasso, dict(strength=0.01), real_only=True
    ),
    "precondition then": Entry(
        no.precondition,
        dict(
            inner=no.scale_by_neat(),
            decay=0.875,
            then=optax.chain(optax.scale_by_learning_rate(0.1), no.group_lasso(0.05)),
        ),
    ),
    "prune_to_sparsity": Entry(no.prune_to_sparsity, dict(sparsity=0.4)),
    "prune_to_sparsity options": Entry(
        no.prune_to_sparsity,
        dict(
            sparsity=optax.linear_schedule(0.2, 0.9, 4),
            begin=1,
            every=2,
            score=no.sparsity.movement,
            scope=no.whole_tree,
            allocation=no.sparsity.erdos_renyi_kernel,
            granularity=no.sparsity.units(-1),
        ),
        extras=("grad",),
    ),
    "pass_gradient": Entry(
        no.pass_gradient,
        dict(
            inner=optax.chain(
                optax.sgd(0.1, momentum=0.9),
                no.prune_to_sparsity(0.5, score=no.sparsity.snip),
            )
        ),
    ),
    "adapt_pruning": Entry(no.adapt_pruning, dict(sparsity=0.5, tolerance=0.01)),
    "keep_mask": Entry(no.keep_mask, dict(mask=ALTERNATE), static=("mask",)),
    "n_of_m": Entry(no.n_of_m, dict(n=1, m=1), static=("n", "m", "axis")),
    "straight_through": Entry(
        no.straight_through, dict(mask=BEST_HALF), static=("mask",)
    ),
    "grow_and_prune": Entry(
        no.grow_and_prune,
        dict(optimizer=optax.adam(0.1), sparsity=0.4, fraction=0.5, every=2),
    ),
    "l2_to_init": Entry(no.l2_to_init, dict(strength=0.01)),
    "shrink_and_perturb": Entry(
        no.shrink_and_perturb, dict(shrink=0.75, noise=0.5, every=2)
    ),
    "reset_dormant": Entry(
        no.reset_dormant, dict(optimizer=optax.adam(0.1), layers=(), every=2)
    ),
    "continual_backprop": Entry(
        no.continual_backprop, dict(optimizer=optax.adam(0.1), layers=())
    ),
    "scale_by_plasticity": Entry(no.scale_by_plasticity, dict(measure=True)),
    "scale_by_plasticity options": Entry(
        no.scale_by_plasticity,
        dict(
            memory_weight=0,
            strength=1.5,
            granularity=no.sparsity.units(-1),
            scope=no.whole_tree,
        ),
    ),
    "scale_by_plasticity grad only": Entry(
        no.scale_by_plasticity,
        dict(activity_weight=0, gradient_weight=1.0, memory_weight=0),
    ),
    "bound_residual": Entry(
        no.bound_residual,
        dict(inner=no.scale_by_plasticity(), ratio=0.25, measure=True),
    ),
    "orthogonal_residual": Entry(
        no.orthogonal_residual,
        dict(
            inner=no.scale_by_plasticity(),
            reference=no.scale_by_plasticity(activity_weight=0, memory_weight=0),
            match_norm=True,
            measure=True,
        ),
    ),
    "clip_leaf_norm": Entry(no.clip_leaf_norm, dict(max_norm=0.5, measure=True)),
    "stabilise": Entry(no.stabilise, dict(rate=0.5, measure=True)),
    "stabilise memoryless": Entry(
        no.stabilise, dict(rule=no.plasticity.memoryless, scope=no.whole_tree)
    ),
    "modulate": Entry(
        no.modulate,
        dict(base=optax.scale_by_sign(), where=EVERY_PATH, measure=True),
        static=("where",),
    ),
    "modulate momentum": Entry(
        no.modulate,
        dict(base=optax.scale_by_sign(), target=no.plasticity.momentum(0.75)),
    ),
    "modulate trust ratio": Entry(
        no.modulate,
        dict(base=optax.scale_by_sign(), target=no.plasticity.trust_ratio),
    ),
    "modulate_rate": Entry(
        no.modulate_rate,
        dict(
            inner=no.scale_by_plasticity(),
            strength=0.5,
            scope=no.whole_tree,
            measure=True,
        ),
    ),
    "neuroplastic": Entry(no.neuroplastic, dict(learning_rate=0.1)),
    "neuroplastic all on": Entry(
        no.neuroplastic,
        dict(
            learning_rate=0.1,
            strength=0.5,
            weight_decay=0.01,
            decouple_weight_decay=False,
            target_rms=0.02,
            measure=True,
        ),
    ),
}


def each(names=tuple(TABLE)):
    """Parametrises a test by name; one worker takes all tests of a name."""
    marked = [pytest.param(n, marks=pytest.mark.xdist_group(n)) for n in names]
    return pytest.mark.parametrize("name", marked)


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
    "modulate",
    "modulate momentum",
    "modulate trust ratio",
)
"""What is not finite goes through them, and stays out of their masks and scores."""

NO_SCHEDULE = (
    "contest",
    "contest given",
    "keep_slow_params",
    "measure_update",
    "centralize_outputs",
    "prune_to_sparsity options",
    "pass_gradient",
    "keep_mask",
    "n_of_m",
    "straight_through",
)
"""Without a number of their own that could be a schedule."""

SLOW = (
    "neat all on",
    "keep_slow_params",
    "straight_through",
    "l2_to_init",
    "shrink_and_perturb",
)
"""Their state starts from the parameters' values, not from their shapes alone."""

CONTESTS = tuple(name for name in TABLE if name not in STATELESS)

PARAMS = {
    "w": np.array([[0.5, -1.0], [1.5, 0.25], [-0.75, 2.0]], np.float32),
    "b": np.array([1.0, -2.0], np.float32),
}


def gradients(count: int, like=None, seed: int = 0):
    """Stacked gradients that often oppose their own past."""
    rng = np.random.default_rng(seed)
    leaves, treedef = jax.tree.flatten(PARAMS if like is None else like)
    stacked = []
    for leaf in leaves:
        base, noise = rng.normal(size=(2, count, *leaf.shape))
        signs = (-1.0) ** np.arange(count).reshape(-1, *[1] * leaf.ndim)
        stacked.append(jnp.asarray(signs * np.abs(base) + 0.3 * noise, leaf.dtype))
    return treedef.unflatten(stacked)


@functools.cache
def jitted(name: str):
    """The transformation of that name, and its step, compiled once for all tests."""
    tx, step = TABLE[name].stepper()
    return tx, jax.jit(step)


def at(stacked, index: int):
    """One step's gradients."""
    return jax.tree.map(lambda x: x[index], stacked)


def play(step, state, params, stacked, count: int):
    """The updates of `count` steps one after another, stacked, and the last state."""
    updates = []
    for index in range(count):
        update, state = step(at(stacked, index), state, params)
        params = optax.apply_updates(params, update)
        updates.append(update)
    return jax.tree.map(lambda *xs: jnp.stack(xs), *updates), state


def params_like(dtype):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), PARAMS)
