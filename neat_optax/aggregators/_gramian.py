"""From stacked gradients to what a weighting sees."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _blocks, _checks, _factored, _stacked, _tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._weighting import Players

MAX_EXPONENT = 126  # of a power of 2 whose inverse is a normal float32


class Extras(NamedTuple):
    """The extra arguments that aggregators understand."""

    present: jax.Array  # [P] bool
    preference: jax.Array | None
    losses: jax.Array | None
    second_batch: Any
    metric: Any
    traces: jax.Array | None

    @classmethod
    def read(cls, given: dict[str, Any], updates: Any, num_players: int) -> "Extras":
        """Picks them from the arguments of an update, and checks their shapes."""
        vectors = {}
        for name in ("present", "preference", "losses", "traces"):
            value = given.get(name)
            if value is not None:
                value = value if isinstance(value, jax.Array) else np.asarray(value)
                _checks.check_per_player(name, value, num_players)
            if name == "preference":
                _checks.check_preference(name, value)
            vectors[name] = None if value is None else jnp.asarray(value)
        second = given.get("second_batch")
        if second is not None:
            shapes = _factored.specs(second), "updates", _factored.specs(updates)
            _checks.check_same_structure("second_batch", *shapes)
        present = vectors.pop("present")
        if present is None:
            present = jnp.ones((num_players,), bool)
        metric = given.get("metric")
        if metric is not None:
            one = one_player(updates)
            _checks.check_same_structure("metric", metric, "updates of one player", one)
        return cls(present.astype(bool), second_batch=second, metric=metric, **vectors)


class Measured(NamedTuple):
    """The players of every scope, and which of them are finite everywhere."""

    players: Players  # each array with a leading axis over scopes
    finite: jax.Array  # [P] bool


class Group(NamedTuple):
    """The leaves of one scope."""

    gradients: list[jax.Array]  # [P, ...]
    second: list[jax.Array] | None  # [P, ...], of the second batch
    metric: list[jax.Array] | None  # [...]

    @property
    def size(self) -> int:
        """Elements of one player's gradients."""
        return sum(leaf.size // len(leaf) for leaf in self.gradients)

    @property
    def stacked_size(self) -> int:
        """Elements of all players' gradients."""
        return sum(leaf.size for leaf in self.gradients)

    def squared_norms(self, scale: jax.Array | None = None) -> jax.Array:
        """[P]: of the players."""
        metrics = self.metric or [None] * len(self.gradients)
        pairs = zip(self.gradients, metrics, strict=True)
        found = [_stacked.squared_norms(leaf, scale, metric) for leaf, metric in pairs]
        return functools.reduce(jnp.add, found)

    def gramian(self, scale: jax.Array | None = None) -> jax.Array:
        """[P, P]: inner products between the players."""
        return _stacked.gramian(self.gradients, None, scale, self.metric)

    def cross(self, scale: jax.Array | None = None) -> jax.Array:
        """[P, P]: inner products with the second batch."""
        return _stacked.gramian(self.gradients, self.second, scale, self.metric)


Measure = Callable[[Group, jax.Array | None], jax.Array]
"""What is measured of a scope, its gradients multiplied by a factor or not."""


def one_player(updates: Any) -> Any:
    """The gradients of the first player, or the shapes of those that are factored."""

    def first(leaf: Any) -> Any:
        return leaf.of_one() if _factored.is_factored(leaf) else leaf[0]

    return _factored.tree_map(first, updates)


def group_leaves(updates: Any, extras: Extras, owners: tuple[int, ...]) -> list[Group]:
    """The leaves of every scope, in the order of the scopes' numbers."""

    def grouped(tree: Any):
        if tree is None:
            return [None] * len(set(owners))
        pairs = list(zip(owners, _factored.flatten(tree)[0], strict=True))
        return [
            [leaf for owner, leaf in pairs if owner == number]
            for number in sorted(set(owners))
        ]

    trees = updates, extras.second_batch, extras.metric
    return [Group(*parts) for parts in zip(*map(grouped, trees), strict=True)]


def measure_gramian(groups: list[Group], extras: Extras, step: jax.Array) -> Measured:
    """Measures the Gramian of every scope.

    Args:
      groups: the leaves of every scope.
      extras: the extra arguments.
      step: steps taken before this one.
    """
    gramian, cross, factor, finite = _gramians(groups)
    return _players(gramian, cross, 1 / factor, finite, groups, extras, step)


def measure_norms(groups: list[Group], extras: Extras, step: jax.Array) -> Measured:
    """For weightings that need lengths only: Gramians with nothing but a diagonal."""
    squares, factor, finite = squared_norms(groups)
    gramian = jax.vmap(jnp.diag)(squares)
    return _players(gramian, gramian, 1 / factor, finite, groups, extras, step)


def measure_nothing(groups: list[Group], extras: Extras, step: jax.Array) -> Measured:
    """For weightings that need no Gramian: only finds players that are not finite."""
    peaks = [_stacked.largest_entry(group.gradients) for group in groups]
    finite = jnp.all(jnp.isfinite(jnp.stack(peaks)), axis=0)
    blank = jnp.zeros((len(groups), len(finite), len(finite)), jnp.float32)
    ones = jnp.ones(len(groups), jnp.float32)
    return _players(blank, blank, ones, finite, groups, extras, step)


def _players(
    gramian: Float[Array, "S P P"],
    cross: Float[Array, "S P P"],
    scale: Float[Array, " S"],
    finite: Bool[Array, " P"],
    groups: list[Group],
    extras: Extras,
    step: jax.Array,
) -> Measured:
    present = extras.present & finite
    both = present[:, None] & present[None, :]

    def spread(value: Any):
        return jnp.broadcast_to(value, (len(scale), *jnp.shape(value)))

    players = Players(
        gramian=jnp.where(both, gramian, 0),
        scale=scale,
        present=spread(present),
        preference=jax.tree.map(spread, extras.preference),
        losses=jax.tree.map(spread, extras.losses),
        cross=jnp.where(both, cross, 0),
        step=spread(step),
        size=jnp.asarray([group.size for group in groups], jnp.float32),
        traces=jax.tree.map(spread, extras.traces),
    )
    return Measured(players, finite)


@jax.jit
def _gramians(groups: list[Group]):
    """Gramians, cross products, the factors they are scaled by, and who is finite."""
    gramian, factor, finite = _within_range(groups, Group.gramian)
    cross = gramian
    if groups[0].second is not None:
        cross = _of_each(groups, Group.cross, factor)
        own = jnp.diagonal(cross, axis1=1, axis2=2)  # of the players both batches spoil
        finite = finite & jnp.all(jnp.isfinite(own), axis=0)
    return gramian, cross, factor, finite


@jax.jit
def squared_norms(groups: list[Group]):
    """[S, P]: squared norms, the factors they are scaled by, and who is finite."""
    return _within_range(groups, Group.squared_norms)


def _within_range(groups: list[Group], measure: Measure):
    """What is measured, of gradients that are scaled if their squares need it."""
    direct = _of_each(groups, measure)
    squares = direct if direct.ndim == 2 else jnp.diagonal(direct, axis1=1, axis2=2)
    in_range = (squares >= _stacked.SMALLEST) & (squares <= _stacked.LARGEST)
    ones = jnp.ones(len(groups), direct.dtype)
    unscaled = _tree.varying_like((ones, jnp.ones(squares.shape[1], bool)), direct)
    return jax.lax.cond(
        jnp.all(in_range),
        lambda: (direct, *unscaled),
        lambda: _rescaled(groups, measure, direct.dtype),
    )


def _rescaled(groups: list[Group], measure: Measure, dtype: jnp.dtype):
    """The same of gradients divided by their largest entry's power of 2."""
    peaks = jnp.stack([_stacked.largest_entry(group.gradients) for group in groups])
    finite = jnp.all(jnp.isfinite(peaks), axis=0)
    largest = jnp.max(jnp.where(finite, peaks, 0), axis=1)
    exponent = jnp.frexp(largest)[1]
    exponent = jnp.where(largest > 0, exponent, 0)
    exponent = jnp.clip(exponent, -MAX_EXPONENT, MAX_EXPONENT)
    factor = jnp.ldexp(jnp.ones(len(groups), dtype), -exponent)
    factor = _tree.varying_like(factor, peaks)
    return _of_each(groups, measure, factor), factor, finite


def _of_each(
    groups: list[Group], measure: Measure, factors: Float[Array, " S"] | None = None
) -> jax.Array:
    """[S, ...]: the measure of every scope, its gradients multiplied by its factor."""
    found: list[jax.Array] = []
    turns = _blocks.turns(group.stacked_size for group in groups)
    for number, (group, begins) in enumerate(zip(groups, turns, strict=True)):
        scale = None if factors is None else factors[number]
        if begins:
            scale, metric = _blocks.after(found[-1], (scale, group.metric))
            group = group._replace(metric=metric)
        found.append(measure(group, scale))
    return jnp.stack(found)
