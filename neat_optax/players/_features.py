"""Gradients of players by what a trunk returns, and one backward pass through it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax.players import _losses
from neat_optax.players._gradients import value_and_player_grads

PARTS = ("trunk", "heads")


@cites("sener2018multi")
def value_and_feature_grads(
    trunk_fn: Callable[..., Any],
    heads_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., tuple[Any, Any, Callable[[Any], Any]]]:
    r"""The players' gradients by their shared features, and the way back to parameters.

    .. math:: z = \operatorname{trunk}(p, x), \qquad
        g_i = \nabla_z \ell_i(z), \qquad
        u_p = \left(\frac{\partial z}{\partial p}\right)^{\!\top} A(g_1, \dots, g_P)

    The trunk has one forward and one backward pass, whatever the number of players. An
    aggregator's promise holds for a step of the features, not for one of the trunk's
    parameters: the products of the players there are
    :math:`g_i^\top (\partial z / \partial p) (\partial z / \partial p)^\top g_j`.
    `value_and_player_grads` with `aggregate_shared` is the exact form.

    Args:
      trunk_fn: a function `trunk_fn(params["trunk"], inputs)` that returns the
        features, a tree of float arrays, or `(features, aux)` with `has_aux`.
      heads_fn: losses in any form that `value_and_player_grads` takes, of the arguments
        `(params["heads"], features, *args, **kwargs)`: a function that returns an array
        [P], a list or a dictionary, or a function for each player; with `has_aux`,
        `(losses, aux)`.
      has_aux: whether both return something besides features and losses.
      chunk_size: as in `value_and_player_grads`.

    Returns:
      A function `(params, inputs, *args, **kwargs)` of a dictionary `params` with the
      keys "trunk" and "heads", both any trees of float arrays, that returns
      `(losses, gradients, pullback)`, or `((losses, (trunk_aux, heads_aux)), gradients,
      pullback)`. Losses have the shape [P]; `gradients` is a dictionary with the keys
      "features" and "heads", with leaves of shape [P, ...] in the dtypes of features
      and heads. It is what an aggregator takes, whose `init` gets the gradient of one
      player or its shapes. `pullback` takes the aggregated tree, and returns a tree
      like `params`: the gradient of the trunk, in its dtypes, and that of the heads as
      it is.

    Raises:
      ValueError: when it is traced, if `params` has other keys, if something to be
        differentiated is not floating, if the losses are not real floats of shape [P],
        or if `pullback` gets a tree that is not like the features and the heads.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import aggregators
      >>> trunk = lambda p, x: p * x
      >>> heads = lambda p, z: [jnp.sum(p * (z - 1) ** 2), jnp.sum((z + 1) ** 2)]
      >>> of_features = value_and_feature_grads(trunk, heads)
      >>> params = {"trunk": jnp.array(0.5), "heads": jnp.array(2.0)}
      >>> losses, gradients, pullback = of_features(params, jnp.array([1.0, 2.0]))
      >>> gradients["features"].tolist()
      [[-2.0, 0.0], [3.0, 4.0]]
      >>> tx = aggregators.mean()
      >>> update, _ = tx.update(gradients, tx.init(params))
      >>> print(pullback(update)["trunk"])  # 0.5 * 1 + 2 * 2
      4.5

    References:
      Sener and Koltun, "Multi-Task Learning as Multi-Objective Optimization", 2018,
      section 3.3, MGDA-UB; `rep_grad=True` in LibMTL. What belongs to heads is not
      aggregated there: see `aggregate_shared`.
    """
    _checks.check_function("trunk_fn", trunk_fn)
    _losses.check_loss_fn(heads_fn)
    if isinstance(heads_fn, Sequence | Mapping):
        of_point = [_of_point(function) for function in _losses.values(heads_fn)]
        losses_fn = _losses.like(heads_fn, of_point)
    else:
        losses_fn = _of_point(heads_fn)
    of_heads = value_and_player_grads(losses_fn, has_aux=has_aux, chunk_size=chunk_size)

    def value_and_grads(
        params: Any, inputs: Any, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any, Callable[[Any], Any]]:
        _check_parts(params)

        def of_trunk(trunk: Any) -> tuple[Any, Any]:
            found = trunk_fn(trunk, inputs)
            return found if has_aux else (found, None)

        features, back, trunk_aux = jax.vjp(of_trunk, params["trunk"], has_aux=True)
        _checks.check_inexact("features", features)
        point = {"features": features, "heads": params["heads"]}
        values, gradients = of_heads(point, *args, **kwargs)
        if has_aux:
            losses, heads_aux = values
            values = losses, (trunk_aux, heads_aux)
        shapes = jax.eval_shape(lambda: point)
        pull = functools.partial(_pull, shapes)
        return values, gradients, jax.tree_util.Partial(pull, back)

    return value_and_grads


def _of_point(heads_fn: Any) -> Any:
    """The losses as a function of features and heads together."""

    def losses(point: Any, *args: Any, **kwargs: Any) -> Any:
        return heads_fn(point["heads"], point["features"], *args, **kwargs)

    return losses


def _pull(shapes: Any, back: Callable[..., Any], update: Any) -> Any:
    """From one gradient of features and heads to that of trunk and heads."""
    _checks.check_same_structure("update", update, "features and heads", shapes)
    (trunk,) = back(update["features"])
    return {"trunk": trunk, "heads": update["heads"]}


def _check_parts(params: Any) -> None:
    if not isinstance(params, Mapping) or set(params) != set(PARTS):
        found = list(params) if isinstance(params, Mapping) else type(params).__name__
        raise ValueError(
            f'`params` must be a dictionary with "trunk" and "heads", got {found}.'
        )
    _checks.check_differentiated("params", dict(params))
