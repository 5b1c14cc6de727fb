"""A short training on a copy, and the inner products that are met on its way."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import _factored, _tree
from neat_optax._leaves import per_leaf
from neat_optax.advice._problem import Point, Problem, finite_losses
from neat_optax.aggregators._correlation import correlation
from neat_optax.aggregators._gramian import (
    Extras,
    group_leaves,
    measure_gramian,
    one_player,
)
from neat_optax.aggregators._monitor import opposed_pairs
from neat_optax.aggregators._weighting import Players

DECAY = 0.999
"""Of the second moment, as in Adam."""
EPS = 1e-8


class Probed(NamedTuple):
    """What a probe has met at each of `T` steps.

    Where two batches are compared, the gradients of the second one stand behind those
    of the first: `R` is twice the number of players, else that number.

    Attributes:
      losses: [T, P] before each step.
      plain: [T, R, R] inner products over all parameters that are shared.
      metric: the same, each product of two entries divided by Adam's root mean square.
      conflicts: [T, S] the share of pairs of players that are opposed in each array.
      norms: [T, S, P] of each array's gradients.
      paths: the names of the arrays.
      draws: after so many steps the same batches come again; `T` where there is one
        batch only, whose steps differ by the parameters.
    """

    losses: np.ndarray
    plain: np.ndarray
    metric: np.ndarray
    conflicts: np.ndarray
    norms: np.ndarray
    paths: tuple[str, ...]
    draws: int


class _Carry(NamedTuple):
    point: Point
    opt_state: Any
    moment: Any  # of the mean gradient's squares
    step: jax.Array


def probe(
    problem: Problem, optimizer: optax.GradientTransformation, steps: int
) -> Probed:
    """Trains a copy with the players' mean, and measures at every step.

    Args:
      problem: what is trained.
      optimizer: what follows the mean.
      steps: how many.
    """
    step = jax.jit(_make_step(problem, optimizer))
    params = problem.start.params
    moment = jax.tree.map(lambda p: jnp.zeros_like(p, jnp.float32), params)
    zero = jnp.zeros((), jnp.int32)
    carry = _Carry(problem.start, optimizer.init(params), moment, zero)
    found: list[Any] = []
    for number in range(steps):
        pair = problem.pairs[number % len(problem.pairs)]
        carry, met = step(carry, *pair)
        found.append(jax.tree.map(np.asarray, met))
        if not number:
            finite_losses(found[0][0][None])
    flat = zip(*map(_flat, found), strict=True)
    losses, plain, scaled, conflicts, norms = (np.stack(part) for part in flat)
    paths = tuple(_tree.leaf_names(params))
    draws = len(problem.pairs) if problem.is_sampled else steps
    return Probed(losses, plain, scaled, conflicts, norms, paths, draws)


def _make_step(problem: Problem, optimizer: optax.GradientTransformation) -> Any:
    count, shared = problem.num_players, jnp.asarray(problem.shared)

    def step(carry: _Carry, first: Any, second: Any) -> tuple[_Carry, Any]:
        losses, rows, rest = problem.gradients(carry.point, first)
        mean = jax.tree.map(lambda g: jnp.mean(g, axis=0), rows)
        if second is not None:
            others = problem.gradients(carry.point, second)[1]
            rows = jax.tree.map(lambda *x: jnp.concatenate(x), rows, others)
        moment = jax.tree.map(_advance, carry.moment, mean)
        number = carry.step + 1
        metric = jax.tree.map(
            lambda v: _tree.root(v / (1 - DECAY**number)) + EPS, moment
        )
        plain = _measured(rows, None)
        sums = [_summed(x, shared) for x in (plain, _measured(rows, metric))]
        met = *sums, _apart(plain, count)
        params = carry.point.params
        updates, state = optimizer.update(mean, carry.opt_state, params)
        moved = Point(optax.apply_updates(params, updates), rest)
        return _Carry(moved, state, moment, number), (losses, *met)

    return step


def _advance(moment: jax.Array, mean: jax.Array) -> jax.Array:
    return DECAY * moment + (1 - DECAY) * jnp.square(jnp.abs(mean))


def _measured(rows: Any, metric: Any) -> Players:
    """The players of every array."""
    leaves = _factored.flatten(rows)[0]
    extras = Extras.read({"metric": metric}, rows, len(leaves[0]))
    groups = group_leaves(rows, extras, per_leaf.owners(one_player(rows)))
    return measure_gramian(groups, extras, jnp.zeros((), jnp.int32)).players


def _summed(players: Players, shared: jax.Array) -> tuple[jax.Array, jax.Array]:
    """[R, R]: products over what is shared, and the scale that they are divided by."""
    largest = jnp.max(jnp.where(shared, players.scale, 0))
    shares = (shared * jnp.square(players.scale / largest))[:, None, None]
    return jnp.sum(shares * players.gramian, axis=0), largest


def _apart(players: Players, count: int) -> tuple[jax.Array, jax.Array]:
    """[S]: share of opposed pairs; [S, P]: norms."""
    rows = jax.vmap(correlation)(players.gramian[:, :count, :count])
    pairs, opposed, _ = jax.vmap(opposed_pairs)(rows)
    return _tree.safe_divide(opposed, pairs), rows.norms * players.scale[:, None]


def _flat(met: Any) -> tuple[np.ndarray, ...]:
    """In float64, which holds what float32 had to be scaled for."""
    losses, plain, metric, (conflicts, norms) = met
    unscaled = [np.asarray(x, np.float64) * float(y) ** 2 for x, y in (plain, metric)]
    return losses, *unscaled, conflicts, norms
