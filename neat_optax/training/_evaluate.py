"""Metrics of a model over data."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _checks
from neat_optax.training import _batches
from neat_optax.training._flax_state import opened
from neat_optax.training._models import Model

Metrics = Callable[[Any, Any], dict[str, Any]]
"""`metrics(model, batch)`: numbers, or arrays [B] with one for each example."""


def evaluate(
    model: Model,
    state: Any,
    data: Any,
    metrics: Metrics,
    *,
    batch_size: int | None = None,
) -> dict[str, float]:
    """The means of metrics over all examples, with the average of the parameters.

    Args:
      model: what the state is of.
      state: whose `ema` is used where it keeps one, else its `params`; a `TrainState`
        will do.
      data: as for `fit`: arrays with a leading axis of examples if there is a
        `batch_size`, else an iterable of batches. No example is left out.
      metrics: a function `metrics(model, batch)` that returns a dictionary of arrays
        [B], or of numbers, which count by the number of examples in the batch. It is
        compiled once for each shape of a batch as long as it is the same function. An
        NNX module is in evaluation mode; of a linen module pass what says so.
      batch_size: examples at a time.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from neat_optax.training import from_function, train_step
      >>> model = from_function(lambda p, x: p * x, jnp.array(2.0))
      >>> step = train_step(model, lambda m, b: m(b) ** 2, optax.sgd(0.1))
      >>> def metrics(model, batch):
      ...     return {"output": model(batch)}
      >>> data = jnp.array([1.0, 2.0, 6.0])
      >>> evaluate(model, step.init(), data, metrics, batch_size=2)
      {'output': 6.0}
    """
    _checks.check_function("metrics", metrics)
    _batches.check_form("data", data, batch_size)
    state, _ = opened(state)
    params = state.params if state.ema is None else state.ema
    run = _compiled(model.run, metrics, batch_size)
    point = params, state.extra, state.key
    if batch_size is None:
        parts = [run[0](*point, batch) for batch in data]
        _checks.check_holds("data", "batch", parts)
    else:
        parts = [run[1](*point, data)]
    sums, counts = zip(*jax.device_get(parts), strict=True)
    total = float(sum(counts))
    return {name: float(sum(part[name] for part in sums)) / total for name in sums[0]}


@functools.lru_cache(maxsize=32)
def _compiled(run: Callable, metrics: Metrics, batch_size: int | None):
    """Functions of one batch, and of arrays of many."""

    def of_batch(params: Any, extra: Any, key: jax.Array, batch: Any):
        found, _ = run(metrics, params, extra, key, False, batch)
        count = _batches.count_examples("data", batch)
        return {k: _total(k, x, count) for k, x in found.items()}, jnp.float32(count)

    def of_arrays(params: Any, extra: Any, key: jax.Array, data: Any):
        size = _batches.count_examples("data", data)
        whole, rest = divmod(size, batch_size or size)
        found = []
        if whole:
            first = jax.tree.map(lambda x: x[: size - rest], data)
            parts = _batches.split_batch("batch_size", first, whole)
            many = jax.lax.map(lambda part: of_batch(params, extra, key, part), parts)
            found.append(jax.tree.map(jnp.sum, many))
        if rest:
            last = jax.tree.map(lambda x: x[size - rest :], data)
            found.append(of_batch(params, extra, key, last))
        return jax.tree.map(lambda *x: sum(x), *found)

    return jax.jit(of_batch), jax.jit(of_arrays)


def _total(name: str, values: Any, count: int) -> jax.Array:
    values = jnp.asarray(values, jnp.float32)
    if values.shape not in ((), (count,)):
        raise ValueError(
            f"`metrics` must return numbers, or arrays of shape ({count},), got shape "
            f"{values.shape} for {name}."
        )
    return jnp.sum(values) if values.shape else values * count
