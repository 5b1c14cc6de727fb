"""A model as a value: its parameters, what else it carries, and how to run with them.

The loops know nothing else of a model, so that NNX, linen and plain functions train by
the same code.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

from neat_optax import _checks


class Model(NamedTuple):
    """What is trained. Made by `from_nnx`, `from_linen` or `from_function`.

    Attributes:
      params: the tree that is trained, where training starts.
      extra: what the model changes itself as it runs, such as statistics of batches; a
        tree, `()` if there is nothing.
      run: a function `run(function, params, extra, key, train, *args)`, which calls
        `function(model, *args)` with the model in the form that its framework knows,
        and returns what that returns and the `extra` after it.
    """

    params: Any
    extra: Any
    run: Callable[..., tuple[Any, Any]]


def from_nnx(module: nnx.Module, *, wrt: Any = nnx.Param) -> Model:
    """A model of an `nnx.Module`, which itself is not changed.

    Losses and metrics are called with a module like it: in training mode in a step, in
    evaluation mode in `evaluate`. Every stream of its `nnx.Rngs` starts anew in each
    step, from the key of that step.

    Args:
      module: any module.
      wrt: which of its variables are trained, as for `nnx.Optimizer`. All others but
        random keys and intermediates are carried as they come out of each step.

    Example:
      >>> from flax import nnx
      >>> model = from_nnx(nnx.BatchNorm(2, rngs=nnx.Rngs(0)))
      >>> sorted(model.params), sorted(model.extra)
      (['bias', 'scale'], ['mean', 'var'])
    """
    _checks.check_kind("module", module, nnx.Module)
    kinds = (wrt, nnx.RngState, nnx.Intermediate, ...)
    graph, params, keys, _, extra = nnx.split(module, *kinds)
    if not jax.tree.leaves(params):
        raise ValueError(f"`module` must have variables to train, got none of {wrt}.")
    params, extra = nnx.as_pure(params), nnx.as_pure(extra)

    def run(function: Any, params: Any, extra: Any, key: Any, train: bool, *args: Any):
        fresh = _start_streams(keys, key)
        copied = jax.tree.map(lambda x: x, (params, extra))  # variables of this trace
        point = nnx.merge(graph, copied[0], fresh, copied[1])
        point.train() if train else point.eval()
        found = function(point, *args)
        return found, nnx.as_pure(nnx.split(point, *kinds)[-1])

    return Model(params, extra, run)


def _start_streams(keys: nnx.State, key: jax.Array) -> nnx.State:
    """Streams of random numbers that start at keys made of `key`."""
    flat = nnx.to_flat_state(keys)
    fresh = []
    for number, (path, variable) in enumerate(flat):
        value = variable.get_value()
        if isinstance(variable, nnx.RngKey):
            own = jax.random.fold_in(key, number)
            value = jax.random.split(own, value.shape) if value.shape else own
        else:
            value = jnp.zeros_like(value)
        fresh.append((path, variable.replace(value)))
    return nnx.from_flat_state(fresh)


def from_linen(
    module: nn.Module, variables: Mapping[str, Any], *, rngs: Sequence[str] = ()
) -> Model:
    """A model of a linen module.

    Losses and metrics are called with the module bound to its variables: `model(x)`
    instead of `module.apply(variables, x)`. What tells training from evaluation is the
    module's own argument, such as `model(x, train=True)`.

    Args:
      module: any module.
      variables: as `module.init` returns them. The collection `params` is trained, all
        others are carried as they come out of each step.
      rngs: names of the streams of random numbers that the module draws from while it
        trains, such as `("dropout",)`.

    Example:
      >>> import flax.linen as nn, jax, jax.numpy as jnp
      >>> module = nn.BatchNorm(use_running_average=False)
      >>> variables = module.init(jax.random.key(0), jnp.ones((4, 2)))
      >>> model = from_linen(module, variables)
      >>> sorted(model.params), sorted(model.extra)
      (['bias', 'scale'], ['batch_stats'])
    """
    _checks.check_kind("module", module, nn.Module)
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise ValueError(
            "`variables` must have the collection params, as module.init returns it, "
            f"got {sorted(variables) if isinstance(variables, Mapping) else variables}."
        )
    extra = {name: tree for name, tree in variables.items() if name != "params"}

    def run(function: Any, params: Any, extra: Any, key: Any, train: bool, *args: Any):
        mutable = sorted(extra) if train else []
        keys = {name: jax.random.fold_in(key, i) for i, name in enumerate(rngs)}
        call = nn.apply(lambda bound, *args: function(bound, *args), module, mutable)
        found, changed = call({"params": params, **extra}, *args, rngs=keys)
        return found, {**extra, **changed}

    return Model(variables["params"], extra, run)


def from_function(apply: Callable[..., Any], params: Any) -> Model:
    """A model of a pure function, as other libraries have them.

    Args:
      apply: a function `apply(params, ...)`. Losses and metrics call it without the
        parameters.
      params: any tree.

    Example:
      >>> import jax.numpy as jnp
      >>> model = from_function(lambda p, x: p["w"] * x, {"w": jnp.array(2.0)})
      >>> model.run(lambda f, x: f(x), model.params, (), None, True, 3.0)[0].item()
      6.0
    """
    _checks.check_function("apply", apply)

    def run(function: Any, params: Any, extra: Any, key: Any, train: bool, *args: Any):
        del key, train
        return function(functools.partial(apply, params), *args), extra

    return Model(params, (), run)
