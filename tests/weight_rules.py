"""Weight rules as functions of the players' gradients, each compiled once.

Every matrix is padded to `SEATS` players of which the rest are absent. That they change
nothing is part of what the tests see.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import aggregator_goldens as goldens
import stepping
from neat_optax import aggregators, players

SEATS = 10
COLUMNS = 20
LARGE = 32
"""Seats for realistic Gramians."""


def _config(gramian, present, preference=None, length="projection"):
    wanted = present.astype(gramian.dtype) if preference is None else preference
    return aggregators.conflict_free_weights(gramian, wanted, length)


def _without_present(rule):
    """For rules to which an absent player is a zero row."""

    def weights(gramian, present, **given):
        del present
        return rule(gramian, **given)

    return weights


RULES = {
    "mean": aggregators.mean_weights,
    "sum": aggregators.sum_weights,
    "constant": aggregators.constant_weights,
    "upgrad": aggregators.upgrad_weights,
    "dual_proj": aggregators.dual_proj_weights,
    "dcgd": aggregators.dcgd_weights,
    "mgda": aggregators.mgda_weights,
    "cagrad": aggregators.cagrad_weights,
    "fairgrad": _without_present(aggregators.fairgrad_weights),
    "imtl_g": _without_present(aggregators.imtl_g_weights),
    "config": _config,
    "aligned_mtl": aggregators.aligned_mtl_weights,
    "pcgrad": _without_present(aggregators.pcgrad_weights),
    "geometric_median": aggregators.geometric_median_weights,
    "krum": aggregators.krum_weights,
    "neat": players.neat_weights,
    "pcd": _without_present(aggregators.pcd_weights),
}
STATIC = (
    "length",
    "scale",
    "variant",
    "num_byzantine",
    "num_selected",
    "squared",
    "opponent",
)


@functools.cache
def _compiled(name, chosen):
    rule = functools.partial(RULES[name], **dict(chosen))
    return jax.jit(
        lambda gramian, present, given: rule(gramian, present=present, **given)
    )


def decide(name, gramian, seats=SEATS, **given):
    """float64 [P]: the weights that a rule gives a Gramian, in the Gramian's dtype.

    Args:
      name: of `RULES`.
      gramian: [P, P].
      seats: how many players the rule sees.
      given: arguments of the rule; arrays [P] and [P, P] are padded.
    """
    count, dtype = len(gramian), gramian.dtype
    chosen = tuple((key, given.pop(key)) for key in STATIC if key in given)
    with jax.enable_x64(dtype == np.float64):
        padded = {k: jnp.asarray(_pad(v, seats, dtype)) for k, v in given.items()}
        decided = _compiled(name, chosen)(
            jnp.asarray(_pad(gramian, seats, dtype)),
            jnp.asarray(np.arange(seats) < count),
            padded,
        )
    decided = np.asarray(decided, np.float64)
    assert not np.any(decided[count:]), "an absent player got a weight"
    return decided[:count]


def weights(name, j, dtype=np.float32, **given):
    """float64 [P]: what the rule decides for gradients [P, N] of a dtype."""
    rows = np.asarray(j, dtype)
    return decide(name, rows @ rows.T, **given)


def update(name, j, dtype=np.float32, **given):
    """float64 [N]: the weighted sum of the gradients."""
    return weights(name, j, dtype, **given) @ np.asarray(j, np.float64)


def errors(name, answers, matrices, **given):
    """Errors by matrix, where there is an answer; see `aggregator_goldens.error`."""
    found = {}
    for matrix, expected in answers.items():
        if expected is None:
            continue
        j = matrices[matrix]
        chosen = {k: v(j) if callable(v) else v for k, v in given.items()}
        found[matrix] = goldens.error(update(name, j, **chosen), expected, j)
    return found


def pad(matrices):
    """[..., SEATS, COLUMNS] and [..., SEATS]: one shape for all, and who is present."""
    matrices = np.asarray(matrices, np.float32)
    *steps, count, size = matrices.shape
    sides = [(0, 0)] * len(steps) + [(0, SEATS - count), (0, COLUMNS - size)]
    present = np.broadcast_to(np.arange(SEATS) < count, (*steps, SEATS))
    return np.pad(matrices, sides), present


def play(tx, matrices, **stacked):
    """float64 [T, N]: updates of a run; `stacked` arguments have one for each step."""
    return np.stack(stepping.play(tx, matrices, **stacked)[0]).astype(np.float64)


def cosines(j):
    """[P, P]: cosines of the rows; 0 with a zero row."""
    lengths = np.linalg.norm(j, axis=1, keepdims=True)
    units = j / np.where(lengths > 0, lengths, 1.0)
    return units @ units.T


def condition(j):
    """Condition of the cosines between the rows that are not zero."""
    return np.linalg.cond(cosines(j[np.any(j != 0, axis=1)]))


def _pad(value, seats, dtype):
    """Zeros behind every axis; of orders, the seats that are left."""
    value = np.asarray(value)
    if np.issubdtype(value.dtype, np.integer):
        rest = np.arange(len(value), seats)
        long = np.concatenate(
            [value, np.broadcast_to(rest, (len(value), len(rest)))], axis=1
        )
        return np.concatenate(
            [long, np.broadcast_to(np.arange(seats), (len(rest), seats))]
        )
    if not value.ndim:
        return value.astype(dtype)
    return np.pad(value.astype(dtype), [(0, seats - len(value))] * value.ndim)
