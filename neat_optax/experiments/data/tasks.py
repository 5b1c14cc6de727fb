"""What is trained: a network, the gradients of its players, and its scores.

Without players there is one gradient, that of the mean loss. Otherwise a player is a
group of examples, or the task of one label.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from neat_optax import (
    aggregate_shared,
    shared_params,
    value_and_example_grads,
    value_and_player_grads,
)
from neat_optax.continual import layer_activity
from neat_optax.experiments.data import networks
from neat_optax.experiments.data.networks import Network
from neat_optax.experiments.data.parts import Data, Split
from neat_optax.experiments.models import Trunk

PLAYERS = ("examples", "tasks")

Losses = Callable[[Any, Split], jax.Array]
Forward = Callable[[Any, Any], tuple[jax.Array, dict[str, jax.Array]]]
Gradients = Callable[[Any, Split], tuple[Any, Any]]
Penalty = Callable[[list[jax.Array]], jax.Array]
"""From the features of each hidden layer [examples, units] to a part of the loss."""
Scores = Callable[[Any, Split], dict[str, jax.Array]]


class Task(NamedTuple):
    """What is trained, as functions of the network's parameters."""

    init: Callable[[nnx.Rngs], Any]
    gradients: Gradients  # extra arguments, gradients
    scores: Scores  # "accuracy" is what rates are selected by
    activity: Callable[[Any, Any], dict[str, jax.Array]]  # of params and inputs
    layers: tuple[str, ...]  # a chain from the inputs to the classes, () if it forks
    num_players: int | None  # None: one gradient, without a player axis
    aggregate: Callable[[optax.GradientTransformation], optax.GradientTransformation]
    penalized: Callable[[Penalty], Gradients] | None = None  # of one gradient
    logits: Callable[[Any, Any], jax.Array] | None = None  # of params and inputs


def make_task(
    data: Data,
    players: str | None = None,
    num_players: int | None = None,
    network: Network = networks.usual,
    *,
    factored: bool = False,
) -> Task:
    """The task for a data set.

    Args:
      data: decides on the heads of the network: one, or with several labels per
        example one for each.
      players: None, or one of `PLAYERS`: "examples" are groups of a batch, "tasks" the
        labels, which share the trunk and have a head each.
      num_players: number of groups, for "examples".
      network: from `networks.choose`.
      factored: whether gradients of examples stay factors where that is cheaper.
    """
    init, build = make_network(data, network)
    hidden, layers = _layers(data, network)
    run = functools.partial(_run, build)
    forward = functools.partial(_forward, run, hidden)

    def logits(params: optax.Params, x: Any):
        return build(params)(x)

    loss = loss_of(data)
    losses = functools.partial(_losses_of, loss, logits)
    task = Task(
        init=init,
        gradients=_of_batch(loss, forward),
        scores=functools.partial(_scores_of(data), logits),
        activity=lambda params, x: forward(params, x)[1],
        layers=layers,
        num_players=num_players,
        aggregate=lambda aggregator: aggregator,
        penalized=functools.partial(_of_penalized, loss, run, hidden),
        logits=logits,
    )
    if players == "examples":
        return task._replace(gradients=_of_groups(losses, num_players, factored))
    if players == "tasks":
        of_labels = functools.partial(_mean_losses, losses)
        shared = _shared(of_labels, init, data)
        return task._replace(
            gradients=_with_losses(value_and_player_grads(of_labels)),
            num_players=data.num_labels,
            aggregate=functools.partial(aggregate_shared, shared=shared),
        )
    return task


def make_network(
    data: Data, network: Network = networks.usual
) -> tuple[Callable[[nnx.Rngs], Any], Callable[[Any], nnx.Module]]:
    """Functions that make parameters, and the network of given parameters."""
    graph = nnx.split(_abstract(data, network))[0]

    def init(rngs: nnx.Rngs):
        return nnx.as_pure(nnx.state(network(data, rngs), nnx.Param))

    return init, lambda params: nnx.merge(graph, params)


def _abstract(data: Data, network: Network) -> Any:
    return nnx.eval_shape(lambda: network(data, nnx.Rngs(0)))


def _layers(data: Data, network: Network) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths of the layers of hidden units, and of all layers if they are a chain."""
    model = _abstract(data, network)
    hidden = tuple(f"trunk/{name}" for name in model.trunk.hidden)
    dense = isinstance(model.trunk, Trunk) and hasattr(model, "last")
    return hidden, (*hidden, "last") if dense else ()


def _run(build: Callable[[Any], nnx.Module], params: optax.Params, x: Any):
    """Logits, and what every layer returned."""
    record = nnx.capture(
        lambda model, x: model(x), nnx.Intermediate, method_outputs=nnx.Intermediate
    )
    return record(build(params), x)


def _forward(run: Callable, hidden: tuple[str, ...], params: optax.Params, x: Any):
    """Logits, and the mean activation of each hidden unit."""
    logits, outputs = run(params, x)
    return logits, layer_activity(outputs, hidden)


def _losses(logits: jax.Array, y: Any) -> jax.Array:
    """[examples], or [examples, labels]: cross-entropy."""
    return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y)


def _label_losses(logits: jax.Array, y: Any) -> jax.Array:
    """[examples, labels]: cross-entropy of each label that is present or absent."""
    return optax.losses.sigmoid_binary_cross_entropy(logits, y)


def loss_of(data: Data) -> Callable[[jax.Array, Any], jax.Array]:
    """From outputs of a network and what belongs to the examples to their losses.

    Of a target the output is in its deviations from its mean, in the training part, and
    the loss the squared error in its own unit.
    """
    if not data.targets:
        return _label_losses if data.multi_label else _losses
    mean, deviation = data.train.y.mean(axis=0), data.train.y.std(axis=0)
    return lambda outputs, y: jnp.square(mean[None] + deviation[None] * outputs - y)


def _losses_of(
    loss: Callable, logits: Callable, params: optax.Params, batch: Split
) -> jax.Array:
    return loss(logits(params, batch.x), batch.y)


def _mean_losses(losses: Losses, params: optax.Params, batch: Split) -> jax.Array:
    return jnp.mean(losses(params, batch), axis=0)


def _of_batch(loss: Callable, forward: Forward) -> Gradients:
    def mean_loss(params: optax.Params, batch: Split):
        logits, activity = forward(params, batch.x)
        losses = jnp.mean(loss(logits, batch.y))
        extra = {"losses": losses, "unit_activity": activity, "logits": logits}
        return losses, extra

    return _with_extra(mean_loss)


def _of_penalized(
    loss: Callable, run: Callable, hidden: tuple[str, ...], penalty: Penalty
) -> Gradients:
    def whole(params: optax.Params, batch: Split):
        logits, outputs = run(params, batch.x)
        losses = jnp.mean(loss(logits, batch.y))
        activity = layer_activity(outputs, hidden)
        extra = {"losses": losses, "unit_activity": activity, "logits": logits}
        return losses + penalty(_features(outputs, hidden)), extra

    return _with_extra(whole)


def _features(outputs: Any, hidden: tuple[str, ...]) -> list[jax.Array]:
    """What each hidden layer hands on, [examples, units]."""
    arrays = jax.tree_util.tree_leaves_with_path(outputs)
    named = {
        jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in arrays
    }
    found = []
    for layer in hidden:
        (one,) = (
            x for name, x in named.items() if name.startswith(f"{layer}/__call__")
        )
        found.append(nnx.relu(one).reshape(-1, one.shape[-1]))
    return found


def _with_extra(function: Callable) -> Gradients:
    """From a function to a loss and extra arguments, to these and its gradients."""

    def gradients(params: optax.Params, batch: Split):
        (_, extra), grads = jax.value_and_grad(function, has_aux=True)(params, batch)
        return extra, grads

    return gradients


def _of_groups(losses: Losses, num_players: int | None, factored: bool):
    def of_example(params: optax.Params, example: Split):
        one = jax.tree.map(lambda x: x[None], example)
        return jnp.mean(losses(params, one))

    of_groups = value_and_example_grads(
        of_example, num_players=num_players, factored=factored
    )
    return _with_losses(of_groups)


def _with_losses(value_and_grads: Callable):
    def gradients(params: optax.Params, batch: Split):
        losses, grads = value_and_grads(params, batch)
        return {"losses": losses}, grads

    return gradients


def _shared(of_labels: Losses, init: Callable, data: Data) -> Any:
    params = jax.eval_shape(lambda: init(nnx.Rngs(0)))
    return shared_params(of_labels, params, data.train)


def _scores_of(data: Data) -> Callable[..., dict[str, jax.Array]]:
    if data.targets:
        return functools.partial(_target_scores, loss_of(data))
    if data.multi_label:
        return _label_scores
    several = data.train.y.ndim == 2 and not data.sequential
    return functools.partial(_class_scores, data.num_labels if several else 0)


def _class_scores(
    heads: int, logits: Callable, params: optax.Params, split: Split
) -> dict[str, jax.Array]:
    """Accuracy is the mean over labels, and over the tokens of a text."""
    right = jnp.argmax(logits(params, split.x), axis=-1) == split.y
    scores = {"accuracy": jnp.mean(right)}
    if heads:
        of_labels = jnp.mean(right, axis=0)
        scores |= {f"accuracy_{i + 1}": of_labels[i] for i in range(heads)}
    return scores


def _label_scores(
    logits: Callable, params: optax.Params, split: Split
) -> dict[str, jax.Array]:
    """Accuracy is the mean over labels, which is 1 - the Hamming loss."""
    chosen, present = logits(params, split.x) > 0, jnp.asarray(split.y) > 0
    right = chosen == present
    hits = jnp.sum(chosen & present, axis=0)
    marked = jnp.sum(chosen, axis=0) + jnp.sum(present, axis=0)
    return {
        "accuracy": jnp.mean(right),
        "macro_f1": jnp.mean(2 * hits / jnp.maximum(marked, 1)),
        "micro_f1": 2 * jnp.sum(hits) / jnp.maximum(jnp.sum(marked), 1),
        "subset_accuracy": jnp.mean(jnp.all(right, axis=1)),
    }


def _target_scores(
    loss: Callable, logits: Callable, params: optax.Params, split: Split
) -> dict[str, jax.Array]:
    """Accuracy is the share of the variance that is explained, the mean over targets.

    And errors are roots of mean squares, in the target's own unit.
    """
    squares = jnp.mean(loss(logits(params, split.x), split.y), axis=0)
    explained = 1 - squares / jnp.var(jnp.asarray(split.y), axis=0)
    errors = {f"error_{i + 1}": x for i, x in enumerate(jnp.sqrt(squares))}
    return {"accuracy": jnp.mean(explained), **errors}
