"""What is recorded in optimizer states, and where its means begin."""

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
    mean: Any  # the same, averaged over all steps since `begun`
    begun: jax.Array  # [S] int32: the step at which the means begin; -1 is the next one


class MonitorState(NamedTuple):
    """State of a wrapper that records something of its inner transformation."""

    inner: Any
    step: jax.Array  # [] int32
    recorded: Recorded


def start(latest: Any, size: Any) -> Recorded:
    """What is recorded before the first step, from zeros; no two share a buffer."""
    begun = jnp.zeros(jnp.shape(size), jnp.int32)
    return _tree.own(Recorded(size, latest, latest, begun))


def advance(recorded: Recorded, latest: Any, size: Any, step: jax.Array) -> Recorded:
    """What is recorded after one more step; a constant to derivatives."""
    latest = jax.lax.stop_gradient(latest)
    begun = jnp.where(recorded.begun < 0, step, recorded.begun)
    taken = (step - begun).astype(jnp.float32)

    def moved(mean: jax.Array, new: jax.Array) -> jax.Array:
        axes = (1,) * (jnp.ndim(new) - taken.ndim)
        return _tree.running_mean(mean, new, taken.reshape(taken.shape + axes))

    return Recorded(size, latest, jax.tree.map(moved, recorded.mean, latest), begun)


def recorded_in(tree: Any) -> list[Recorded]:
    """All that is recorded in a state."""
    found = jax.tree.leaves(tree, is_leaf=_is_recorded)
    return [node for node in found if isinstance(node, Recorded)]


def restart_means(opt_state: Any) -> Any:
    """Begins the means of `diagnostics` anew, for instance after each epoch.

    `latest` stays, and nothing that an optimizer goes by is changed.

    Args:
      opt_state: any pytree in which something is recorded: the state of an optimizer, a
        Flax `TrainState`, an `nnx.Optimizer`. Works inside `jit`, and a step that is
        compiled is not compiled again.

    Returns:
      The same with means of 0, over no step.

    Raises:
      ValueError: if nothing is recorded.

    Example:
      >>> import jax.numpy as jnp, neat_optax as neo
      >>> tx = neo.neat(0.1, opponent=neo.opponents.given(), monitor=True)
      >>> p, g = jnp.ones(2), jnp.array([1.0, 0.0])
      >>> _, state = tx.update(g, tx.init(p), p, opponent=-g)
      >>> _, state = tx.update(g, restart_means(state), p, opponent=g)
      >>> print(neo.diagnostics(state)["conflict"].mean)
      0.0
    """
    check_recorded(recorded_in(opt_state), opt_state)

    def restarted(node: Any) -> Any:
        if not _is_recorded(node):
            return node
        return node._replace(
            mean=jax.tree.map(jnp.zeros_like, node.mean),
            begun=jax.tree.map(lambda x: jnp.full_like(x, -1), node.begun),
        )

    return jax.tree.map(restarted, opt_state, is_leaf=_is_recorded)


def check_recorded(found: list[Recorded], opt_state: Any) -> None:
    """Raises if a state holds no measures, or holds them as another type."""
    if found:
        return
    if any(map(_was_recorded, jax.tree.leaves(opt_state, is_leaf=_was_recorded))):
        raise ValueError(
            "`opt_state` must hold measures in the types of tx.init(params), got "
            "dictionaries: pass that state as the target of the restore."
        )
    raise ValueError(
        "`opt_state` must hold measures, got none: build the optimizer with "
        "monitor=True (an aggregator with num_players= too), or put "
        "monitor_correction() last among its rules."
    )


def _is_recorded(node: Any) -> bool:
    return isinstance(node, Recorded)


def _was_recorded(node: Any) -> bool:
    """Whether a node has the fields of what is recorded, as a checkpoint has them."""
    return isinstance(node, dict) and node.keys() >= set(Recorded._fields)
