"""What of optax or Flax stands around an aggregator, or before it in a chain.

An aggregator's updates have no player axis but its gradients do, which optax's wrappers
do not expect. A transformation is not told what it is inside of; while it is traced,
the call stack knows. Where they change a name, only the sentence here is lost.
"""

import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import jax
import jax.numpy as jnp
import optax

_AROUND_THE_OPTIMIZER = "write optax.chain(aggregator, {name}(optimizer, ...))"
_INSTEAD = {
    "MultiSteps": (
        "write neat_optax.accumulate_players(optax.chain(aggregator, optimizer), ...)"
    ),
    "apply_if_finite": (
        "players that are not finite are dropped by the aggregator; "
        + _AROUND_THE_OPTIMIZER
    ),
    "conditionally_transform": _AROUND_THE_OPTIMIZER,
    "conditionally_mask": _AROUND_THE_OPTIMIZER,
    "flatten": _AROUND_THE_OPTIMIZER,
    "mechanize": _AROUND_THE_OPTIMIZER,
    "sam": _AROUND_THE_OPTIMIZER,
}
_CHAINS = {"chain", "named_chain"}
_OF_PLAYERS = ("losses", "present", "preference", "second_batch")


def check_around_aggregator(tree: Any) -> None:
    """Raises if a wrapper of optax's would get updates of a shape that it can't take.

    Args:
      tree: the parameters or the gradients that the aggregator was given.
    """
    masked = False
    for name, frame in _outer_calls():
        if name == "masked":
            masked = True
        elif name == "aggregate_shared":
            masked = False  # it reduces what it leaves out
        elif name in _INSTEAD:
            raise ValueError(
                f"`{name}` must not stand around an aggregator, whose updates "
                "lack its gradients' player axis: "
                f"{_INSTEAD[name].format(name=name)}."
            )
        elif name in _CHAINS:
            _check_before(frame.f_locals)
        elif name == "TrainState":
            _check_train_state(frame.f_locals)
    if masked and _has_masked_nodes(tree):
        raise ValueError(
            "`optax.masked` and `optax.partition` must not stand around an aggregator, "
            "got one that leaves parameters out, whose gradients would keep their "
            "player axis: write optax.chain(aggregator, optax.partition(...)), or "
            "neat_optax.aggregate_shared for an aggregator of some parameters."
        )


def _outer_calls() -> Iterator[tuple[str, FrameType]]:
    """What is called of optax, of Flax's `TrainState`, and `aggregate_shared`."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_qualname.partition(".")[0]
        room = frame.f_globals.get("__name__", "").partition(".")[0]
        if room == "optax" or name in ("TrainState", "aggregate_shared"):
            yield name, frame
        frame = frame.f_back


def _has_masked_nodes(tree: Any) -> bool:
    def is_masked(node: Any) -> bool:
        return isinstance(node, optax.MaskedNode)

    return any(map(is_masked, jax.tree.leaves(tree, is_leaf=is_masked)))


def _check_before(local: Mapping[str, Any]) -> None:
    """Raises if a state before the aggregator has just become one of all players."""
    old, new = local.get("state"), local.get("new_state")
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        old, new = list(old.values()), list(new.values())
    if not isinstance(old, (tuple, list)) or not isinstance(new, list):
        return
    for before, after in zip(old, new, strict=False):
        if jax.tree.map(jnp.shape, before) != jax.tree.map(jnp.shape, after):
            raise ValueError(
                "`optax.chain` must have an optimizer after an aggregator, got one "
                f"before it, with {_first_name(before)}: write optax.chain(aggregator, "
                "optimizer), or neat_optax.aggregators.per_player(optimizer, ...) for "
                "a state of each player."
            )


def _check_train_state(local: Mapping[str, Any]) -> None:
    """Raises if Flax's train state keeps to itself what is meant for an aggregator."""
    fields = getattr(local.get("self"), "__dataclass_fields__", None)
    for name in _OF_PLAYERS:
        if (
            fields is not None
            and name in local.get("kwargs", ())
            and name not in fields
        ):
            raise ValueError(
                f"`{name}` must reach the optimizer, got it in apply_gradients of "
                "Flax's TrainState, which takes it for a field of its own: use "
                "neat_optax.training.PlayerTrainState."
            )


def _first_name(state: Any) -> str:
    """The type of a state, or of the first one in a chain's that is not a tuple."""
    while type(state) is tuple and state:
        state = state[0]
    return type(state).__name__
