"""Coordinate-wise reductions of gradients with a leading player axis."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _blocks, _checks, _factored, _tree
from neat_optax._typing import Array, Bool, Float
from neat_optax.aggregators._aggregator import aggregator
from neat_optax.aggregators._gramian import Extras
from neat_optax.aggregators._per_player import find_finite


class CoordinatesState(NamedTuple):
    """State of `reduce_coordinates`."""

    step: jax.Array  # [] int32
    dropped: jax.Array  # [] int32: present players that the last step found not finite
    own: Any  # the reduction's state


class Stacks(NamedTuple):
    """What a reduction sees."""

    leaves: list[jax.Array]  # real arrays [P, ...]
    present: jax.Array  # [P] bool: present, and finite in every leaf
    step: jax.Array  # [] int32: steps taken before this one

    def map_leaves(
        self, function: Callable[..., jax.Array], rows: list[Any] | None = None
    ) -> list[jax.Array]:
        """`function(block, present, row)` of all leaves, in turn and block by block.

        Args:
          function: from a block of a leaf to an array without the player axis.
          rows: an array [...] for each leaf that is cut with it, or None.
        """
        reduced, present = [], self.present
        for leaf, row, begins in zip(
            self.leaves,
            rows or [None] * len(self.leaves),
            _blocks.turns(leaf.size for leaf in self.leaves),
            strict=True,
        ):
            if begins:
                present = _blocks.after(reduced[-1], self.present)
            of_block = functools.partial(lambda now, x, r: function(x, now, r), present)
            reduced.append(_blocks.map_over_blocks(of_block, leaf, row))
        return reduced


Reduction = Callable[[Stacks, Any], tuple[list[jax.Array], Any]]


def reduce_coordinates(
    reduction: Reduction, init_own: Callable[[], Any] = tuple
) -> optax.GradientTransformationExtraArgs:
    """Reduces gradients with a leading player axis coordinate-wise.

    The real and the imaginary part of a complex leaf are two coordinates.

    Args:
      reduction: from `Stacks` and the state to one array without the player axis for
        each leaf, and the next state. Rows of players that are not present may hold
        anything.
      init_own: makes the state of the reduction.

    Returns:
      A transformation. `update` takes the extra argument `present=` ([P] bool). A
      player with a NaN or an infinite entry is dropped. The update has the dtype of
      its gradient.
    """

    def init_fn(params: Any) -> CoordinatesState:
        del params
        step, dropped = (jnp.zeros((), jnp.int32) for _ in range(2))
        return CoordinatesState(step, dropped, init_own())

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ):
        updates = _factored.explicit(updates)
        count = _checks.check_players(updates, params)
        leaves, treedef = jax.tree.flatten(updates)
        if not leaves:
            return updates, state._replace(step=_tree.increment(state.step))
        present = Extras.read(extra_args, updates, count).present
        finite = find_finite(updates)
        stacks = Stacks(_real_parts(leaves), present & finite, state.step)
        reduced, own = reduction(stacks, state.own)
        dropped = jnp.sum(present & ~finite, dtype=jnp.int32)
        new_state = CoordinatesState(_tree.increment(state.step), dropped, own)
        return treedef.unflatten(_join(reduced, leaves)), new_state

    return aggregator(init_fn, update_fn)


def masked(
    mask: Bool[Array, " P"], stack: Float[Array, "P ..."]
) -> Float[Array, "P ..."]:
    """`stack` in the precision of its arithmetic, with zero rows outside the mask."""
    rows = mask.reshape(-1, *[1] * (stack.ndim - 1))
    return jnp.where(rows, _tree.widen(stack), 0)


def _real_parts(leaves: list[jax.Array]) -> list[jax.Array]:
    """The leaves, with a complex one as its real and its imaginary part."""
    parts = []
    for leaf in leaves:
        is_complex = jnp.iscomplexobj(leaf)
        parts += [jnp.real(leaf), jnp.imag(leaf)] if is_complex else [leaf]
    return parts


def _join(parts: list[jax.Array], leaves: list[jax.Array]) -> list[jax.Array]:
    """The inverse of `_real_parts`, in the dtypes of the leaves."""
    rest = iter(parts)
    joined = []
    for leaf in leaves:
        part = next(rest)
        if jnp.iscomplexobj(leaf):
            part = jax.lax.complex(part, next(rest))
        joined.append(part.astype(leaf.dtype))
    return joined
