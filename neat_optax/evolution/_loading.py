"""Weights out of models, and back into them."""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from neat_optax import _checks


class Genome(NamedTuple):
    """How weights go back into what they were taken out of."""

    kind: str  # tree, linen or nnx
    graph: Any = None  # of an NNX module, with the structures of its variables


TREE = Genome("tree")


def weights(model: Any) -> Any:
    """The weights of a model that a search changes: the tree of one individual.

    Args:
      model: an NNX module, of which the variables of the kind `nnx.Param` are taken;
        linen variables, a mapping with the entry `params` among others, of which that
        entry is taken; or a tree of weights, which is returned.

    Example:
      >>> from flax import nnx
      >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
      >>> {name: array.shape for name, array in weights(model).items()}
      {'bias': (3,), 'kernel': (2, 3)}
    """
    return apart(model)[0]


def load(model: Any, params: Any) -> Any:
    """A model like the given one with other weights.

    Args:
      model: what `weights` takes. It is not changed.
      params: a tree like `weights(model)`, with the same shapes and dtypes.

    Raises:
      ValueError: if it is another one, with the path of the first difference.

    Example:
      >>> from flax import nnx
      >>> import jax, jax.numpy as jnp
      >>> model = nnx.Linear(2, 3, rngs=nnx.Rngs(0))
      >>> ones = load(model, jax.tree.map(jnp.ones_like, weights(model)))
      >>> print(ones(jnp.ones(2)))
      [3. 3. 3.]
    """
    known, genome, rest = apart(model)
    like = "weights(model)"
    _checks.check_same_structure("params", params, like, known, dtypes=True)
    return into(genome, params, rest)


def apart(model: Any) -> tuple[Any, Genome, Any]:
    """The weights, how they go back, and the arrays that stay as they are."""
    nnx = sys.modules.get("flax.nnx")  # there is no module where it was not imported
    if nnx is not None and isinstance(model, nnx.Module):
        graph, params, rest = nnx.split(model, nnx.Param, ...)
        trees = jax.tree.structure(params), jax.tree.structure(rest)
        genome = Genome("nnx", (graph, *trees))
        return nnx.to_pure_dict(params), genome, jax.tree.leaves(rest)
    if isinstance(model, Mapping) and "params" in model and len(model) > 1:
        rest = {name: value for name, value in model.items() if name != "params"}
        return model["params"], Genome("linen"), rest
    return model, TREE, ()


def into(genome: Genome, params: Any, rest: Any) -> Any:
    """What an evaluation gets: the tree, the variables, or the module."""
    if genome.kind == "linen":
        return {"params": params, **rest}
    if genome.kind == "nnx":
        graph, of_params, of_rest = genome.graph
        # New variables, which belong to the trace that the evaluation runs in.
        state = of_params.unflatten(jax.tree.leaves(params))
        return sys.modules["flax.nnx"].merge(graph, state, of_rest.unflatten(rest))
    return params
