"""From scores to masks: which weights of each scope are kept."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax._alike import alike, apart, map_alike, map_stacked
from neat_optax._granularity import Granularity, entries
from neat_optax._largest import keep_largest, number_entries
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._division import Division
from neat_optax.sparsity._scores import Score, Weight


class Part(NamedTuple):
    """What is known of the leaves of one scope."""

    masks: list[jax.Array]  # bool: what is kept so far
    weights: list[list[Weight]]  # the input of each score
    count: Any  # int32, how many groups are kept
    places: Sequence[jax.Array]  # `numbers` of as many as there are leaves


Groups = list[jax.Array]
"""For each leaf of a scope, which of its groups are kept."""


@functools.partial(jax.jit, static_argnames=("division", "score"))
def decide(
    division: Division,
    score: Score,
    mask: Any,
    measured: Sequence[Weight],
    amount: Any,
) -> Any:
    """The mask of the highest scores among the weights that `mask` keeps.

    Args:
      division: what is pruned, and together with what.
      score: what is kept.
      mask: a tree of boolean arrays. Leaves that are not pruned come back as they are.
      measured: the input of the score for each leaf.
      amount: the sparsity, or how many groups each scope keeps.
    """

    def rule(part: Part) -> list[Groups]:
        weights = part.weights[0]
        return [highest(division.granularity, score, weights, part)]

    return decide_by(division, rule, mask, [measured], amount)


def decide_by(
    division: Division,
    rule: Callable[[Part], list[Groups]],
    mask: Any,
    measured: Sequence[Sequence[Weight]],
    amount: Any,
) -> Any:
    """The mask that a rule gives each scope, in one round or more.

    Args:
      division: as in `decide`.
      rule: from a `Part` to the groups that each round keeps: the first one of what
        `mask` keeps, a later one of all that is not kept after the one before.
      mask: as in `decide`.
      measured: for each score, its input for each leaf.
      amount: as in `decide`.
    """
    leaves, treedef = jax.tree.flatten(mask)
    params = values(mask, measured[0])
    scopes, counts = division.scopes(params), division.counts(params, amount)
    places = [weight.leaf for weight in measured[0]]  # which number all leaves

    def part_of(scope: list[int], count: Any) -> Part:
        weights = [[of[n] for n in scope] for of in measured]
        return Part([leaves[n] for n in scope], weights, count, places[: len(scope)])

    parts = [part_of(*pair) for pair in zip(scopes, counts, strict=True)]

    def decided(part: Part) -> tuple[list[jax.Array], list[Groups]]:
        rounds = rule(part)
        masks = after(division.granularity, part.masks, rounds)
        return masks, rounds if division.granularity.of_outputs else []

    found = map_alike(decided, parts, places)
    kept: dict[int, Sequence[jax.Array]] = {}
    for scope, (masks, rounds) in zip(scopes, found, strict=True):
        for n, chosen, *groups in zip(scope, masks, *rounds, strict=True):
            leaves[n], kept[n] = chosen, groups
    _decide_biases(division, params, leaves, kept)
    return treedef.unflatten(leaves)


def highest(
    granularity: Granularity,
    score: Score,
    weights: Sequence[Weight],
    scope: Part,
) -> Groups:
    """The groups of one scope with the highest scores, among those that masks keep."""
    parts = list(zip(weights, scope.masks, strict=True))

    def rated(part: tuple[Weight, jax.Array]) -> tuple[jax.Array, jax.Array]:
        weight, mask = part
        scores = granularity.pool(scoring.rate(score, weight))
        return scores, granularity.pool(mask.astype(jnp.float32)) > 0

    stacks = alike(parts)
    found = [map_stacked(rated, [parts[n] for n in stack]) for stack in stacks]
    dtype = jnp.result_type(jnp.float32, *(scores for scores, _ in found))
    rated_all = [scores.astype(dtype) for scores, _ in found]
    order = _order(stacks, rated_all)
    kept = keep_largest(rated_all, [alive for _, alive in found], scope.count, order)
    groups: dict[int, jax.Array] = {}
    for stack, chosen in zip(stacks, kept, strict=True):
        single = [chosen]
        if stack[1:]:
            single = apart(chosen, scope.places[: len(stack)])
        groups |= zip(stack, single, strict=True)
    return [groups[n] for n in range(len(parts))]


def _order(
    stacks: Sequence[Sequence[int]], scores: Sequence[jax.Array]
) -> list[jax.Array]:
    """Numbers of all groups from 1 on, leaf after leaf, of leaves that are stacked."""
    sizes = {
        n: array.size // len(stack)
        for stack, array in zip(stacks, scores, strict=True)
        for n in stack
    }
    before = np.cumsum([0, *(sizes[n] for n in sorted(sizes))]).astype(np.uint32)
    order = []
    for stack, array in zip(stacks, scores, strict=True):
        if len(stack) == 1:
            order.append(number_entries([array])[0] + before[stack[0]])
            continue
        [number] = number_entries([array[0]])
        places = before[np.array(stack)].reshape(-1, *[1] * number.ndim)
        order.append(number[None] + places)
    return order


def after(
    granularity: Granularity, masks: Sequence[jax.Array], rounds: Sequence[Groups]
) -> list[jax.Array]:
    """The masks after some rounds, each of which has the choice of what is left."""
    chosen, left = [jnp.zeros_like(mask) for mask in masks], list(masks)
    for kept in rounds:
        spread = map(granularity.spread, kept, masks)
        chosen = [c | (o & k) for c, o, k in zip(chosen, left, spread, strict=True)]
        left = [~mask for mask in chosen]
    return chosen


def _decide_biases(
    division: Division,
    params: optax.Params,
    leaves: list[jax.Array],
    kept: dict[int, Sequence[jax.Array]],
) -> None:
    """Prunes each bias with the units that it belongs to, round by round."""
    owned: dict[int, list[Sequence[jax.Array]]] = {}
    for n, rounds in kept.items():
        for bias in division.biases(params, n):
            owned.setdefault(bias, []).append(rounds)
    for bias, of_kernels in owned.items():
        shape = leaves[bias].shape
        rounds = [
            [functools.reduce(operator.and_, [kept.reshape(shape) for kept in groups])]
            for groups in zip(*of_kernels, strict=True)
        ]
        [leaves[bias]] = after(entries, [leaves[bias]], rounds)


def values(mask: Any, measured: Sequence[Weight]) -> Any:
    """The parameters, as the tree that they came from."""
    return jax.tree.structure(mask).unflatten([weight.value for weight in measured])
