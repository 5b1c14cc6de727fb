"""The time of a compiled call."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from neat_optax import _checks


def latency(
    fn: Callable[..., Any], *args: Any, warmup: int = 5, repeats: int = 25
) -> float:
    """The median time of a compiled call.

    Args:
      fn: a function for `jax.jit`.
      *args: its arguments.
      warmup: calls before the clock runs, besides the one that compiles.
      repeats: calls that are timed.

    Returns:
      Seconds.

    Raises:
      ValueError: if `fn` is no function, or a number of calls is out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
      >>> graph, state = nnx.split(model)
      >>> forward = lambda state, x: nnx.merge(graph, state)(x)
      >>> latency(forward, state, jnp.ones((4, 2))) > 0
      True
    """
    _checks.check_function("fn", fn)
    _checks.check_count("warmup", warmup)
    _checks.check_count("repeats", repeats, 1)
    compiled = jax.jit(fn)
    times = []
    for _ in range(1 + warmup + repeats):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*args))
        times.append(time.perf_counter() - start)
    return float(np.median(times[1 + warmup :]))
