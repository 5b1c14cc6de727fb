"""Weight rules as functions of the players' gradients, each compiled once.

Every matrix is padded to `SEATS` players of which the rest are absent. That they change
nothing is part of what the tests see.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import aggregators

SEATS = 10


def _config(gramian, present, preference=None, length="projection"):
    wanted = present.astype(gramian.dtype) if preference is None else preference
    return aggregators.config_weights(gramian, wanted, length)


def _without_present(rule):
    """For rules to which absent players are zero rows."""
    return lambda gramian, present, **given: rule(gramian, **given)  # noqa: ARG005


RULES = {
    "mean": aggregators.mean_weights,
    "upgrad": aggregators.upgrad_weights,
    "dual_proj": aggregators.dual_proj_weights,
    "mgda": aggregators.mgda_weights,
    "cagrad": aggregators.cagrad_weights,
    "fairgrad": _without_present(aggregators.fairgrad_weights),
    "imtl_g": _without_present(aggregators.imtl_g_weights),
    "config": _config,
    "aligned_mtl": aggregators.aligned_mtl_weights,
    "pcgrad": _without_present(aggregators.pcgrad_weights),
    "geometric_median": aggregators.geometric_median_weights,
    "krum": aggregators.krum_weights,
    "neat": aggregators.neat_weights,
}
STATIC = ("length", "scale", "num_byzantine", "num_selected", "squared")


@functools.cache
def _compiled(name, x64):
    del x64  # a compiled function belongs to one setting
    rule = RULES[name]

    def weights(gramian, present, numbers, **chosen):
        return rule(gramian, present=present, **numbers, **dict(chosen))

    return jax.jit(weights, static_argnames=STATIC)


def weights(name, j, dtype=np.float32, **given):
    """float64 [P]: what the rule decides from the Gramian in a dtype.

    Args:
      name: of `RULES`.
      j: [P, N] gradients.
      dtype: of the gradients, their Gramian and everything after it.
      given: arguments of the rule; arrays [P] are padded.
    """
    rows = np.asarray(j, dtype)
    padded = np.zeros((SEATS, SEATS), dtype)
    padded[: len(j), : len(j)] = rows @ rows.T
    present = np.arange(SEATS) < len(j)
    chosen = {key: given.pop(key) for key in STATIC if key in given}
    numbers = {
        key: jnp.asarray(_pad(value), dtype) for key, value in given.items()
    }
    rule = _compiled(name, dtype == np.float64)
    decided = rule(jnp.asarray(padded), jnp.asarray(present), numbers, **chosen)
    decided = np.asarray(decided, np.float64)
    assert not np.any(decided[len(j) :]), "an absent player got a weight"
    return decided[: len(j)]


def update(name, j, dtype=np.float32, **given):
    """float64 [N]: the weighted sum of the gradients."""
    return weights(name, j, dtype, **given) @ np.asarray(j, np.float64)


def _pad(value):
    value = np.asarray(value, float)
    return np.pad(value, (0, SEATS - len(value))) if value.ndim else value
