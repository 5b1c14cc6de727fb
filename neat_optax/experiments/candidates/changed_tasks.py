"""Tasks that a method changes: inputs are normalized, or the loss has another part."""

import functools
from typing import Any

import jax
import optax

from neat_optax.continual import feature_rank_penalty, normalize_inputs
from neat_optax.experiments.data.parts import Split
from neat_optax.experiments.data.tasks import Task

MOMENTS = "inputs"
"""Among the parameters: mean and variance of what came in, which are not trained."""
_NORMALIZER = normalize_inputs()


def of_network(params: Any) -> Any:
    """The parameters of the network alone."""
    if not isinstance(params, dict):
        return params
    return {name: part for name, part in params.items() if name != MOMENTS}


def normalized(task: Task) -> Task:
    """The task whose inputs are normalized by running moments.

    These stand beside the parameters, so that they are saved and served as they are;
    `keeping_moments` goes around the optimizer.
    """

    def init(rngs: Any) -> Any:
        params = task.init(rngs)
        return {**params, MOMENTS: _NORMALIZER.init(_example(params))}

    def gradients(params: Any, batch: Split) -> tuple[Any, Any]:
        moments = _NORMALIZER.update(params[MOMENTS], batch.x)
        seen = batch._replace(x=_NORMALIZER.apply(moments, batch.x))
        extra, grads = task.gradients(of_network(params), seen)
        still = jax.tree.map(lambda x: 0 * x, moments)
        return {**extra, MOMENTS: batch.x}, {**grads, MOMENTS: still}

    def scores(params: Any, split: Split) -> dict[str, jax.Array]:
        seen = _NORMALIZER.apply(params[MOMENTS], split.x)
        return task.scores(of_network(params), split._replace(x=seen))

    def activity(params: Any, x: Any) -> dict[str, jax.Array]:
        seen = _NORMALIZER.apply(params[MOMENTS], x)
        return task.activity(of_network(params), seen)

    def logits(params: Any, x: Any) -> jax.Array:
        assert task.logits is not None
        return task.logits(of_network(params), _NORMALIZER.apply(params[MOMENTS], x))

    return task._replace(
        init=init, gradients=gradients, scores=scores, activity=activity, logits=logits
    )


def _example(params: Any) -> jax.ShapeDtypeStruct:
    first = params["trunk"]["first"]["kernel"]
    return jax.ShapeDtypeStruct((1, first.shape[0]), first.dtype)


def keeping_moments(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """An optimizer of the network, whose updates lead to the next moments too."""
    inner = optax.with_extra_args_support(optimizer)

    def init_fn(params: Any) -> Any:
        return inner.init(of_network(params))

    def update_fn(
        updates: Any, state: Any, params: Any = None, **extra_args: Any
    ) -> tuple[Any, Any]:
        own, gradients = of_network(params), of_network(updates)
        found: Any = inner.update(gradients, state, own, **extra_args)
        moves, state = found
        moments = _NORMALIZER.update(params[MOMENTS], extra_args[MOMENTS])
        way = optax.tree.sub(moments, params[MOMENTS])
        return {**moves, MOMENTS: way}, state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def keeping_rank(task: Task, strength: float) -> Task:
    """The task whose loss rewards features of a high effective rank."""
    if task.penalized is None:
        raise ValueError("`task` must have one gradient of a batch, got players.")
    return task._replace(gradients=task.penalized(functools.partial(_scaled, strength)))


def _scaled(strength: float, features: list[jax.Array]) -> jax.Array:
    return strength * feature_rank_penalty(features)
