"""A network that tasks share, in as few arrays as can be: it compiles fast.

Biases are the last row of the kernels, and the heads of all tasks are one array.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from neat_optax import aggregate_shared, value_and_player_grads
from neat_optax.experiments.data.parts import Data, Split
from neat_optax.experiments.data.tasks import Task, loss_of

Losses = Callable[[Any, Split], jax.Array]


def shared_task(data: Data, widths: Sequence[int], *, all_shared: bool = False) -> Task:
    """One trunk of rectified units, and a linear head for each task, a player.

    Args:
      data: several labels, or targets, for each example.
      widths: units of each hidden layer.
      all_shared: whether the heads too are what is aggregated.
    """
    losses = losses_of(data)
    of_players = value_and_player_grads(losses)

    def gradients(params: Any, batch: Split) -> tuple[Any, Any]:
        values, found = of_players(params, batch)
        return {"losses": values}, found

    task = _task(data, functools.partial(_init, data, widths), gradients)
    if all_shared:
        return task
    shared = {"trunk": True, "heads": False}
    return task._replace(aggregate=functools.partial(aggregate_shared, shared=shared))


def separate_task(data: Data, widths: Sequence[int]) -> Task:
    """Every task in a network of its own: one gradient, that of the sum of losses.

    With Adam, whose steps know no other coordinate, it is as if each were alone.

    Args:
      data: as in `shared_task`.
      widths: of the hidden layers of each network.
    """
    losses = losses_of(data)

    def gradients(params: Any, batch: Split) -> tuple[Any, Any]:
        def total(params: Any) -> tuple[jax.Array, jax.Array]:
            values = losses(params, batch)
            return jnp.sum(values), values

        found, values = jax.grad(total, has_aux=True)(params)
        return {"losses": values}, found

    def init(rngs: nnx.Rngs) -> Any:
        drawn = [_init(data, widths, rngs) for _ in range(data.num_labels)]
        trunks = jax.tree.map(lambda *x: jnp.stack(x), *(p["trunk"] for p in drawn))
        return {"trunk": trunks, "heads": drawn[0]["heads"]}

    return _task(data, init, gradients)._replace(num_players=None)


def losses_of(data: Data) -> Losses:
    """From parameters and a batch to the mean loss of each task."""
    loss = loss_of(data)

    def losses(params: optax.Params, batch: Split) -> jax.Array:
        return jnp.mean(loss(_outputs(params, batch.x), batch.y), axis=0)

    return losses


def _task(data: Data, init: Callable, gradients: Callable) -> Task:
    return Task(
        init=init,
        gradients=gradients,
        scores=_scores(data),
        activity=lambda params, x: {},  # noqa: ARG005
        layers=(),
        num_players=data.num_labels,
        aggregate=lambda aggregator: aggregator,
    )


def _init(data: Data, widths: Sequence[int], rngs: nnx.Rngs) -> dict[str, Any]:
    """He et al. 2015 for the trunk, Glorot's variance by inputs for the heads."""
    alone = data.multi_label or data.targets
    sizes = (data.train.x.shape[1], *widths)
    pairs = itertools.pairwise(sizes)
    trunk = [_kernel(rngs, (a + 1, b), 2 / a) for a, b in pairs]
    outputs = 1 if alone else data.num_classes
    shape = (data.num_labels, widths[-1] + 1, outputs)
    return {"trunk": trunk, "heads": _kernel(rngs, shape, 1 / widths[-1])}


def _kernel(rngs: nnx.Rngs, shape: tuple[int, ...], variance: float) -> jax.Array:
    drawn = float(np.sqrt(variance)) * jax.random.normal(rngs.params(), shape)
    return drawn.at[..., -1, :].set(0)  # the bias


def _outputs(params: Any, x: jax.Array) -> jax.Array:
    """[examples, tasks, outputs], without the last axis where it is 1."""
    trunk, heads = params["trunk"], params["heads"]
    if trunk[0].ndim == 3:
        z = jax.vmap(_features, (0, None), 1)(trunk, x)
        found = jnp.einsum("npw,pwc->npc", z, heads)
    else:
        found = jnp.einsum("nw,pwc->npc", _features(trunk, x), heads)
    return found[..., 0] if found.shape[-1] == 1 else found


def _features(trunk: list[jax.Array], x: jax.Array) -> jax.Array:
    x = _with_one(jnp.asarray(x))
    for kernel in trunk:
        x = _with_one(jax.nn.relu(x @ kernel))
    return x


def _with_one(x: jax.Array) -> jax.Array:
    return jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1)


def _scores(data: Data) -> Callable[[Any, Split], dict[str, jax.Array]]:
    """Of each task its accuracy, or the root of its mean squared error.

    And `accuracy`: their mean, or the mean share of the variance that is explained.
    """
    loss = loss_of(data)

    def scores(params: optax.Params, split: Split) -> dict[str, jax.Array]:
        outputs = _outputs(params, split.x)
        y = jnp.asarray(split.y)
        if data.targets:
            squares = jnp.mean(loss(outputs, y), axis=0)
            accuracy = jnp.mean(1 - squares / jnp.var(y, axis=0))
            of_tasks = jnp.sqrt(squares)
        else:
            said = (outputs > 0) if data.multi_label else jnp.argmax(outputs, axis=-1)
            of_tasks = jnp.mean(said == y, axis=0)
            accuracy = jnp.mean(of_tasks)
        named = {f"task_{i}": x for i, x in enumerate(of_tasks)}
        return {"accuracy": accuracy, **named}

    return scores
