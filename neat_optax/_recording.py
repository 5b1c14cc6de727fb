"""Diagnostics: what is recorded in optimizer states, and how it is read."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _tree


class Recorded(NamedTuple):
    """What was recorded of each scope: float32.

    It is there from `init` on and has a fixed structure. The names of the fields are
    those that `diagnostics` returns.
    """

    size: jax.Array  # [S] elements of each scope
    latest: Any  # a named tuple of arrays [S] or [S, P]; None for what is not recorded
    mean: Any  # the same, averaged over all steps


class MonitorState(NamedTuple):
    """State of a wrapper that records something of its inner transformation."""

    inner: Any
    step: jax.Array  # [] int32
    recorded: Recorded


def start(latest: Any, size: Any) -> Recorded:
    """What is recorded before the first step, from zeros; no two share a buffer."""
    return _tree.own(Recorded(size, latest, latest))


def advance(recorded: Recorded, latest: Any, size: Any, step: jax.Array) -> Recorded:
    """What is recorded after one more step."""
    return Recorded(size, latest, _tree.running_mean(recorded.mean, latest, step))


class Diagnostic(NamedTuple):
    """One measured quantity.

    `latest` and `mean` weigh each scope by its number of elements; `latest` is the last
    step's value and `mean` the average over all steps: numbers, or one for each player.
    `per_leaf` holds that average for each scope: an array, or a dictionary by path
    where `params` was given.
    """

    latest: jax.Array
    mean: jax.Array
    per_leaf: Any


def diagnostics(opt_state: Any, params: Any = None) -> dict[str, Diagnostic]:
    """Reads what was recorded in an optimizer's state.

    Args:
      opt_state: any pytree in which something is recorded: the state of a `chain`, of
        `masked`, of a wrapper, or an object that has such a state as its attribute
        `opt_state`, like Flax's `TrainState` and `nnx.Optimizer`. Works inside `jit`,
        and on the stacked states that `scan` and `vmap` return through
        `jax.vmap(diagnostics)`.
      params: the parameters, if `per_leaf` is to be a dictionary by path. Needs one
        optimizer that records every leaf on its own.

    Returns:
      A dictionary from name to `Diagnostic`, with `conflict`, `opposed` (the conflict
      rate: the share of steps and elements with any conflict), `correction_ratio`,
      `active` (the share with a correction), `opponent_norm`,
      `alpha`, `skipped` (the share with a gradient that was not finite), `noise` where
      the contest watches its history, and `update_alignment`, the cosine of the
      gradient with the applied update taken as a descent step, where the optimizer is
      wrapped in `monitor_update`. Before the first step all are zero.

      Aggregators with `monitor=True` have `conflicting_pairs` (the share of pairs of
      players with a negative inner product), `worst_cosine` between two players,
      `min_norm` (the length of the shortest convex combination, which is 0 at a Pareto
      stationary point), `min_norm_ratio` (the same over the shortest gradient),
      `residual` of the solver, `coherence` (the length of the aggregated gradient over
      the summed lengths of its terms), `dropped` (players left out because they are not
      finite), for each player `weights` and `player_alignment`, its cosine with the
      aggregated gradient, and `cosines` [P, P] between the players.
      `monitor_update_conflict` adds `update_conflict`, `harmed` and `update_cosines`.

      `scale_by_plasticity` with `monitor=True` has, of the coefficients, `plasticity`
      (their mean), `plasticity_std`, `plasticity_median`, `plasticity_min`,
      `plasticity_max`, `near_minimum` and `near_maximum` (the shares within a
      twentieth of the range from its ends), `gradient_norm`, `plastic_norm` (of the
      scaled gradient), `gain` (their ratio) and `plastic_share`, the length of what it
      adds to the gradient over the gradient's. What `bound_residual`,
      `orthogonal_residual`, `modulate`, `modulate_rate`, `clip_leaf_norm` and
      `stabilize` have with `monitor=True` is listed in docs/plasticity.md.

    Raises:
      ValueError: if nothing is recorded; if `params` is given and the scopes are not
        its leaves: with another scope than `per_leaf`, or with the leaves
        divided by `optax.masked` or `optax.partition`.

    Example:
      >>> import jax.numpy as jnp, neat_optax as neo
      >>> tx = neo.neat(0.1, opponent=neo.opponents.given(), monitor=True)
      >>> p, g = jnp.ones(2), jnp.array([1.0, 0.0])
      >>> _, state = tx.update(g, tx.init(p), p, opponent=-g)
      >>> print(neo.diagnostics(state)["conflict"].mean)
      1.0
    """
    state = getattr(opt_state, "opt_state", opt_state)
    columns: dict[str, list[tuple[Any, Any, Any]]] = {}
    for recorded in _find(state):
        for name, mean in recorded.mean._asdict().items():
            if mean is not None:
                row = recorded.size, getattr(recorded.latest, name), mean
                columns.setdefault(name, []).append(row)
    if not columns:
        raise ValueError(
            "`opt_state` must hold measures, got none: build the optimizer with "
            "monitor=True (an aggregator with num_players= too), or put "
            "monitor_correction() last among its rules."
        )
    return {name: _summarize(name, read, params) for name, read in columns.items()}


def _find(tree: Any) -> list[Recorded]:
    """All that is recorded in a state."""
    found = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Recorded))
    return [node for node in found if isinstance(node, Recorded)]


def _summarize(
    name: str, read: Sequence[tuple[Any, Any, Any]], params: Any
) -> Diagnostic:
    size, latest, mean = (
        jnp.concatenate([jnp.asarray(x) for x in column])
        for column in zip(*read, strict=True)
    )
    return Diagnostic(
        latest=_tree.safe_divide(jnp.tensordot(size, latest, 1), jnp.sum(size)),
        mean=_tree.safe_divide(jnp.tensordot(size, mean, 1), jnp.sum(size)),
        per_leaf=mean if params is None else _by_path(name, mean, len(read), params),
    )


def _by_path(
    monitor: str, values: jax.Array, holders: int, params: Any
) -> dict[str, jax.Array]:
    names = _tree.leaf_names(params)
    if holders > 1 or len(names) != values.shape[0]:
        raise ValueError(
            "`params` must be left out unless every leaf is one scope of one "
            f"optimizer, got {len(names)} leaves for {values.shape[0]} scopes in "
            f"{holders} of {monitor}."
        )
    return {name: values[i] for i, name in enumerate(names)}
