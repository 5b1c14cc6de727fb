"""An optimizer after whose steps some units are reset."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._random import check_key, key_at, lecun_normal
from neat_optax.continual import _units
from neat_optax.continual._restart import restart
from neat_optax.transforms._reset import check_entries, check_optimizer

Memory = tuple[Any, ...]


class Scene(NamedTuple):
    """What is there to judge units by.

    Attributes:
      step: [] int32, how many steps were taken before.
      hidden: the hidden layers.
      gradients: a tree like the parameters.
      extra: the extra arguments of the step.
    """

    step: jax.Array
    hidden: tuple[_units.Hidden, ...]
    gradients: Any
    extra: Mapping[str, Any]


class Method(NamedTuple):
    """Which units are reset.

    Attributes:
      name: of the factory.
      state: from (step, memory, inner) to the state of the transformation.
      start: from a number of units to what is kept of a layer.
      judge: from what is kept of each layer and a scene to what is kept next, and for
        each layer [units], whether a unit is reset.
    """

    name: str
    state: Callable[[jax.Array, Memory, Any], Any]
    start: Callable[[int], Any]
    judge: Callable[[Memory, Scene], tuple[Memory, Sequence[jax.Array]]]


def reset_units(
    optimizer: optax.GradientTransformation,
    layers: Sequence[str] | Mapping[str, str | Sequence[str]],
    method: Method,
    init: Callable[..., jax.Array] | None,
    key: jax.Array | int,
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer, as `reset_dormant` documents it."""
    check_key("key", key)
    draw = lecun_normal if init is None else init
    _checks.check_function("init", draw)
    links = _units.check_layers(layers)
    check_optimizer(optimizer)
    optimizer = optax.with_extra_args_support(optimizer)

    def init_fn(params: optax.Params) -> Any:
        _checks.check_inexact("params", params)
        memory = _units.per_layer(links, params, method.start)
        inner = optimizer.init(params)
        check_entries(optimizer, inner, params)
        return method.state(jnp.zeros((), jnp.int32), memory, inner)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, Any]:
        _checks.check_update(updates, params, method.name)
        hidden = _units.find_hidden(links, params)
        step, memory, inner = state
        scene = Scene(step, hidden, updates, extra_args)
        memory, units = method.judge(memory, scene)

        stepped = optimizer.update(updates, inner, params, **extra_args)
        drawn = key_at(key, step)
        moved, inner = restart(optimizer, hidden, draw, units, drawn, stepped, params)
        return moved, method.state(_tree.increment(step), memory, inner)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
