"""`diagnostics`: reads what is recorded in optimizer states."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from neat_optax import _checks, _tree
from neat_optax._recording import Recorded, check_recorded, recorded_in


class Diagnostic(NamedTuple):
    """One measured quantity.

    `latest` and `mean` weigh each scope by its number of elements; `latest` is the last
    step's value and `mean` the average over all steps: numbers, or one for each player.
    `per_leaf` holds that average for each scope: an array, or a dictionary by path
    where `params` was given.
    """

    latest: Any
    mean: Any
    per_leaf: Any


def diagnostics(
    opt_state: Any,
    params: Any = None,
    *,
    players: Iterable[str] | None = None,
    plain: bool = False,
) -> dict[str, Any]:
    """Reads what was recorded in an optimizer's state.

    Args:
      opt_state: any pytree in which something is recorded: the state of a `chain`, of
        `masked`, of a wrapper, or an object that has such a state as its attribute
        `opt_state`, like Flax's `TrainState` and `nnx.Optimizer`. Works inside `jit`,
        and on the stacked states that `scan` and `vmap` return through
        `jax.vmap(diagnostics)`.
      params: the parameters, if `per_leaf` is to be a dictionary by path. Needs one
        optimizer that records every leaf on its own.
      players: names of the players in their order; the keys of a dictionary of losses
        are sorted. What is measured of each is then a dictionary by name, `cosines` one
        of dictionaries.
      plain: whether to return Python's own floats, lists and dictionaries, as for
        JSON. Not inside `jit`.

    Returns:
      A dictionary from name to `Diagnostic`, or to a dictionary with its fields if
      `plain`. Outside of `jit` numbers are NumPy's. Means are over all steps, or those
      since `restart_means`. There are `conflict`, `opposed` (the conflict
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
      ValueError: if nothing is recorded, or a state was restored as dictionaries; if
        `players` has another number of names than there are players; if `params` is
        given and the scopes are not its leaves: with another scope than `per_leaf`, or
        with the leaves divided by `optax.masked` or `optax.partition`.

    Example:
      >>> import jax.numpy as jnp, neat_optax as neo
      >>> tx = neo.neat(0.1, opponent=neo.opponents.given(), monitor=True)
      >>> p, g = jnp.ones(2), jnp.array([1.0, 0.0])
      >>> _, state = tx.update(g, tx.init(p), p, opponent=-g)
      >>> print(neo.diagnostics(state)["conflict"].mean)
      1.0
      >>> neo.diagnostics(state, plain=True)["conflict"]
      {'latest': 1.0, 'mean': 1.0, 'per_leaf': [1.0]}
    """
    _checks.check_bool("plain", plain)
    names = None if players is None else list(players)
    state = getattr(opt_state, "opt_state", opt_state)
    found = recorded_in(state)
    check_recorded(found, state)
    holders: dict[str, list[int]] = {}
    for number, recorded in enumerate(found):
        for name, mean in recorded.mean._asdict().items():
            if mean is not None:
                holders.setdefault(name, []).append(number)
    shares = {
        who: _shares(_joined([found[i].size for i in who]))
        for who in set(map(tuple, holders.values()))
    }

    read = {
        name: _read(name, [found[i] for i in who], shares[tuple(who)], params)
        for name, who in holders.items()
    }
    if names is not None:
        read = {name: _by_player(name, one, names) for name, one in read.items()}
    return {name: _plain(one) for name, one in read.items()} if plain else read


def _read(name: str, parts: list[Recorded], shares: Any, params: Any) -> Diagnostic:
    latest = _joined([getattr(part.latest, name) for part in parts])
    mean = _joined([getattr(part.mean, name) for part in parts])
    per_leaf = mean if params is None else _by_path(name, mean, len(parts), params)
    return Diagnostic(_weighed(shares, latest), _weighed(shares, mean), per_leaf)


def _joined(parts: list[Any]) -> Any:
    """Scopes of several records behind one another, in NumPy unless traced."""
    arrays = [_known(part) for part in parts]
    if len(arrays) == 1:
        return arrays[0]
    traced = any(isinstance(x, Tracer) for x in arrays)
    return jnp.concatenate(arrays) if traced else np.concatenate(arrays)


def _known(array: Any) -> Any:
    """A NumPy array, or a traced one; NNX wraps arrays of a state in variables."""
    if not isinstance(array, jax.Array):
        (array,) = jax.tree.leaves(array)
    return array if isinstance(array, Tracer) else np.asarray(array)


def _shares(size: Any) -> Any:
    """Each scope's share of all elements, 0 where there are none."""
    if isinstance(size, Tracer):
        return _tree.safe_divide(size, jnp.sum(size))
    return size / (size.sum() or 1)


def _weighed(shares: Any, values: Any) -> Any:
    """The mean over scopes, which may have axes of players behind theirs."""
    if isinstance(shares, Tracer) or isinstance(values, Tracer):
        return jnp.tensordot(shares, values, 1)
    if len(shares) == 1:
        return values[0] * shares[0]
    return shares @ values if values.ndim == 1 else np.tensordot(shares, values, 1)


def _by_path(monitor: str, values: Any, holders: int, params: Any) -> dict[str, Any]:
    names = _tree.leaf_names(params)
    if holders > 1 or len(names) != values.shape[0]:
        raise ValueError(
            "`params` must be left out unless every leaf is one scope of one "
            f"optimizer, got {len(names)} leaves for {values.shape[0]} scopes in "
            f"{holders} of {monitor}."
        )
    return {name: values[i] for i, name in enumerate(names)}


def _by_player(measure: str, one: Diagnostic, names: list[str]) -> Diagnostic:
    """What is measured of each player, by name."""
    shape = jnp.shape(one.latest)
    if any(count != len(names) for count in shape):
        raise ValueError(
            f"`players` must have a name for each of the {shape[0]} players of "
            f"{measure}, got {', '.join(map(str, names))}."
        )

    def named(values: Any) -> Any:
        if not jnp.ndim(values):
            return values
        return {name: named(row) for name, row in zip(names, values, strict=True)}

    if isinstance(one.per_leaf, dict):
        leaves = {path: named(values) for path, values in one.per_leaf.items()}
    else:
        leaves = [named(values) for values in one.per_leaf] if shape else one.per_leaf
    return Diagnostic(named(one.latest), named(one.mean), leaves)


def _plain(one: Diagnostic) -> dict[str, Any]:
    if any(isinstance(x, Tracer) for x in jax.tree.leaves(one)):
        raise ValueError(
            "`plain` must be False where values are traced, got True: read the state "
            "after the step."
        )
    return _listed(one._asdict())


def _listed(values: Any) -> Any:
    """Lists and numbers for arrays, in dictionaries that keep their order."""
    if isinstance(values, dict):
        return {name: _listed(part) for name, part in values.items()}
    if isinstance(values, list):
        return [_listed(part) for part in values]
    return np.asarray(values).tolist()
