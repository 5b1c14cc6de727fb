"""Contests between players, and gradients of players, that tests share."""

import functools

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo

FULL = optax.chain(neo.detect_conflict(), neo.project_conflict(1.0))
RULES = {
    "project": FULL,
    "dampen": optax.chain(neo.detect_conflict(0.1), neo.dampen_conflict(0.7)),
    "adaptive": neo.neat_rules(0.5, correction_range=(1.0, 3.0), clip_ratio=0.3),
    "gated": neo.neat_rules(0.8, conflict_threshold=0.2, warmup_steps=1),
}
WHOM = {
    "others": neo.opponents.others_mean(),
    "batch": neo.opponents.batch_mean(),
    "pairs": neo.opponents.pairwise(),
}
EACH = pytest.mark.parametrize("kind", WHOM)
ROUNDING = 1e-5  # of the longest player: sums of up to 33 players, and their products


@functools.cache
def contest(kind="others", rules="project", **options):
    """The contest, with a compiled update that tests with the same options share."""
    tx = neo.player_contest(WHOM[kind], RULES[rules], **options)
    return optax.GradientTransformationExtraArgs(tx.init, jax.jit(tx.update))


def stacks(seed, count, shape):
    """Players with lengths between 0.1 and 10, most of them opposed to someone."""
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-1, 1, size=(count, *[1] * len(shape)))
    return (scales * rng.normal(size=(count, *shape))).astype(np.float32)


def player(count=5, size=4, seed=0):
    return stacks(seed, count, (size,))


def update(tx, g, **extra):
    """One first step; `present` is always passed, so that tests share it compiled."""
    count = len(jax.tree.leaves(g)[0])
    extra = {"present": np.ones(count, bool)} | extra
    return tx.update(g, tx.init(jax.tree.map(lambda x: x[0], g)), **extra)


def with_entry(g, where, value):
    """A copy with one entry replaced."""
    changed = g.copy()
    changed[where] = value
    return changed


def longest(g):
    return float(np.max(np.linalg.norm(g.reshape(len(g), -1), axis=1)))
