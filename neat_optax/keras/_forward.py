"""A Keras model's loss as a pure function of its variables' values."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras


class Values(NamedTuple):
    """Values of a model's variables."""

    trainable: list[Any]
    other: list[Any]
    metrics: list[Any]


def run(
    model: Any, before: Values, x: Any, y: Any, sample_weight: Any
) -> tuple[Any, Any, Values]:
    """The compiled loss with penalties, the outputs, and the values afterwards."""
    with _scope(model, before) as scope:
        outputs = _call(model, x)
        loss = model.compute_loss(x, y, outputs, sample_weight, training=True)
    return loss, outputs, _values(model, scope)


def run_players(
    model: Any, before: Values, x: Any, y: Any, sample_weight: Any
) -> tuple[Any, Any]:
    """Players' losses with penalties; loss, outputs and the values afterwards."""
    with _scope(model, before) as scope:
        outputs = _call(model, x)
        losses = model.player_losses(x, y, outputs, sample_weight)
        penalty = sum(map(jnp.sum, model.losses))
        loss = model.compute_loss(x, y, outputs, sample_weight, training=True)
    losses = jax.tree.map(lambda one: one + penalty, losses)
    return losses, (loss, outputs, _values(model, scope))


def update_metrics(
    model: Any,
    metrics: Sequence[Any],
    loss: Any,
    x: Any,
    y: Any,
    outputs: Any,
    sample_weight: Any,
) -> tuple[Any, list[Any]]:
    """The logs, and the metrics' values with this batch."""
    pairs = zip(model.metrics_variables, metrics, strict=True)
    with keras.StatelessScope(state_mapping=pairs) as scope:
        for metric in model.metrics:
            if metric.name == "loss":
                size = len(jax.tree.leaves(x)[0])
                metric.update_state(loss, sample_weight=size)
        logs = model.compute_metrics(x, y, outputs, sample_weight)
    return logs, [scope.get_current_value(v) for v in model.metrics_variables]


def are_seeds(model: Any) -> list[bool]:
    """Which of the other variables are states of random seeds."""
    return [
        v.name == "seed_generator_state" and v.dtype == "uint32" and v.shape == (2,)
        for v in model.non_trainable_variables
    ]


def reseeded(values: Sequence[Any], seeds: Sequence[bool], number: Any) -> list[Any]:
    """The values with a seed of its own for one example."""
    return [
        _folded(x, number) if seed else x for x, seed in zip(values, seeds, strict=True)
    ]


def _folded(seed: Any, number: Any) -> jax.Array:
    key = jax.random.wrap_key_data(seed, impl="threefry2x32")
    return jax.random.key_data(jax.random.fold_in(key, number))


def changes(before: Values, after: Values) -> Values:
    """What a run has added to the values other than the trainable ones."""

    def added(old: Any, new: Any) -> Any:
        return jnp.zeros_like(old) if new is old else new - old

    other, metrics = (
        list(map(added, old, new))
        for old, new in ((before.other, after.other), (before.metrics, after.metrics))
    )
    return Values([], other, metrics)


def losses_of_outputs(model: Any, y: Any, outputs: Any, sample_weight: Any) -> list:
    """The compiled loss of each output that has one, with its examples' weights."""
    by_key = isinstance(outputs, Mapping)
    names: Any = outputs if by_key else getattr(model, "output_names", ())
    if not isinstance(model.loss, (Mapping, list, tuple)):
        raise ValueError(
            "`loss` must be a list or a dictionary with a loss for each output, got "
            f"{model.loss!r}: compile the model so, or override player_losses."
        )
    parts = [_listed(part, list(names)) for part in (model.loss, y, outputs)]
    many = isinstance(sample_weight, (Mapping, list, tuple))
    weights = _listed(sample_weight, list(names)) if many else [sample_weight]
    weights *= len(parts[0]) if len(weights) == 1 else 1  # as Keras: one for all
    return [
        _mean_loss(loss, target, output, weight)
        for loss, target, output, weight in zip(*parts, weights, strict=True)
        if loss is not None
    ]


def _mean_loss(loss: Any, target: Any, output: Any, weight: Any) -> jax.Array:
    function: Any = keras.losses.get(loss)
    if isinstance(function, keras.losses.Loss):
        weighted: Any = function(target, output, weight)
        return jnp.mean(weighted)
    values = function(target, output)
    if weight is None:
        return jnp.mean(values)
    weight = jnp.asarray(weight).reshape(len(values), *(1,) * (values.ndim - 1))
    return jnp.mean(weight * values)


def _listed(parts: Any, names: list[str]) -> list[Any]:
    if isinstance(parts, Mapping):
        return [parts.get(name) for name in names or parts]
    return list(parts) if isinstance(parts, (list, tuple)) else [parts]


def _scope(model: Any, values: Values) -> Any:
    pairs = [
        pair
        for variables, given in zip(_variables(model), values, strict=True)
        for pair in zip(variables, given, strict=True)
    ]
    return keras.StatelessScope(state_mapping=pairs, collect_losses=True)


def _variables(model: Any) -> tuple[Any, Any, Any]:
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.metrics_variables,
    )


def _values(model: Any, scope: Any) -> Values:
    lists = [[scope.get_current_value(v) for v in part] for part in _variables(model)]
    return Values(*lists)


def _call(model: Any, x: Any) -> Any:
    takes = "training" in inspect.signature(model.call).parameters
    return model(x, training=True) if takes else model(x)
