"""Between a `TrainingState` and Flax's `TrainState`, which steps take and give too."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.training.train_state import TrainState

from neat_optax import _random
from neat_optax.training._models import Model, from_linen
from neat_optax.training._state import TrainingState

_FIELDS = {"ema": "ema", "scale": "dynamic_scale", "key": "key"}
"""Of a `TrainingState`, and what a class derived from `TrainState` calls them."""


def from_train_state(state: TrainState) -> Model:
    """A model of a `flax.training.train_state.TrainState`.

    Losses are called with the module bound to its variables, as those of `from_linen`.
    Fields of a class derived from `TrainState` that are collections, such as
    `batch_stats`, are carried. Modules may draw from the stream `dropout`; for another
    one use `from_linen`, whose steps take and return a `TrainState` too.

    Args:
      state: whose `apply_fn` is the `apply` of a linen module.

    Example:
      >>> import flax.linen as nn, jax, jax.numpy as jnp, optax
      >>> net, tx = nn.Dense(1), optax.sgd(0.1)
      >>> params = net.init(jax.random.key(0), jnp.ones((1, 2)))["params"]
      >>> state = TrainState.create(apply_fn=net.apply, params=params, tx=tx)
      >>> sorted(from_train_state(state).params)
      ['bias', 'kernel']
    """
    module = getattr(state.apply_fn, "__self__", None)
    if not isinstance(module, nn.Module):
        raise ValueError(
            "`apply_fn` must be the apply of a linen module in a TrainState to train, "
            f"got {state.apply_fn}: make a Model with from_linen or from_function."
        )
    variables = {"params": state.params, **_carried(state)}
    return from_linen(module, variables, rngs=("dropout",))


def begin_with(model: Any, tx: Any) -> tuple[Model, Any, Callable[..., Any] | None]:
    """A model, its optimizer, and how to begin where both are of a `TrainState`."""
    if not isinstance(model, TrainState):
        return model, tx, None
    begun = (
        model if tx is None else model.replace(tx=tx, opt_state=tx.init(model.params))
    )

    def init(seed: Any = 0) -> TrainState:
        del seed  # `opened` makes a key of it
        copied = jax.tree.map(lambda x: jnp.array(x, copy=True), begun)
        return copied.replace(step=jnp.asarray(begun.step, jnp.int32))

    return from_train_state(model), begun.tx, init


def opened(
    state: Any, seed: Any = 0
) -> tuple[TrainingState, Callable[[TrainingState], Any]]:
    """A state as steps know it, and what makes one of its own kind again.

    Args:
      state: a `TrainingState`, or a `TrainState`.
      seed: of the random key where a `TrainState` has no field `key`.
    """
    if not isinstance(state, TrainState):
        return state, lambda new: new
    key = getattr(state, _FIELDS["key"], None)
    found = TrainingState(
        step=jnp.asarray(state.step, jnp.int32),
        params=state.params,
        opt_state=state.opt_state,
        extra=_carried(state),
        ema=getattr(state, _FIELDS["ema"], None),
        scale=getattr(state, _FIELDS["scale"], None),
        key=_random.as_key(seed if key is None else key),
    )
    return found, functools.partial(_closed, state)


def _closed(old: TrainState, new: TrainingState) -> TrainState:
    fields = {_FIELDS[name]: getattr(new, name) for name in ("ema", "scale")}
    fields = {name: value for name, value in fields.items() if hasattr(old, name)}
    fields |= {"params": new.params, "opt_state": new.opt_state, **new.extra}
    return old.replace(step=new.step, **fields)


def _carried(state: TrainState) -> dict[str, Any]:
    """The fields that are collections of variables, by name."""
    own = {*TrainState.__dataclass_fields__, *_FIELDS.values()}
    fields = {name: getattr(state, name) for name in state.__dataclass_fields__}
    return {
        name: value
        for name, value in fields.items()
        if name not in own and isinstance(value, Mapping)
    }
