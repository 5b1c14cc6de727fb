"""Activities of units and norms of inputs, read from the program of any model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _factored, _tree
from neat_optax._sites._reader import Path
from neat_optax._sites._rules import Site
from neat_optax.continual import _flows
from neat_optax.continual._runs import run_model


class Activities(NamedTuple):
    """What `read_activities` reads.

    Attributes:
      outputs: what the model returned.
      unit_activity: by the path of each layer [units], the mean absolute activation.
      unit_mean: the same with signs.
      input_norms: a tree like the parameters, the norm of what each weight multiplies.
    """

    outputs: Any
    unit_activity: dict[str, jax.Array]
    unit_mean: dict[str, jax.Array]
    input_norms: Any


def read_activities(apply_fn: Callable[..., Any]) -> Callable[..., Activities]:
    r"""Unit activities and input norms of a model, without hooks.

    .. math:: a_j = \frac1T \sum_t |h_{tj}|, \qquad
        n_k = \Bigl(\sum_t x_{tk}^2\Bigr)^{1/2}

    with :math:`x_t` what a layer takes in at place :math:`t` of the batch, and
    :math:`h_t` what the next one makes its data of: the layer's result after bias,
    normalization, activation function and dropout, before pooling or flattening. Layers
    are contractions and convolutions with a parameter, found in the operations of the
    model, which may be of NNX, linen or neither. It is run once.

    Args:
      apply_fn: a function `apply_fn(params, *args, **kwargs)`, such as
        `lambda params, x: model.apply({"params": params}, x)` or, for an `nnx.Module`
        as `params`, `lambda model, x: model(x)`. All examples go in at once.

    Returns:
      A function of the same arguments that returns `Activities`. Under `jit`, what is
      not used costs nothing; in a loss, no derivative goes through activities.

      `unit_activity` and `unit_mean` are what `reset_dormant` and `continual_backprop`
      take: [units] in float32 or wider, by the path of the layer, which is that of its
      `kernel`, or of a parameter with another name. A layer that is used several times
      has the mean over its uses. It has no entry where no other layer takes in what
      comes from it alone: the last layer, those whose results are added up, multiplied
      or concatenated with others' first, those in loops, such as recurrent cells and
      scanned stacks, and those with several axes of outputs, such as heads of
      attention.

      `input_norms` is what the score `sparsity.wanda` takes: arrays of the parameters'
      shapes, in float32 or wider, over all uses and places; of an embedding, the root
      of how often each row was looked up. It is None for a parameter that meets no
      data in a layer, such as a scale, or that is complex.

    Raises:
      ValueError: if something in `params` is not floating.

    Example:
      >>> import jax.numpy as jnp
      >>> def apply_fn(params, x):
      ...     hidden = jnp.maximum(x @ params["first"]["kernel"], 0)
      ...     return hidden @ params["head"]["kernel"]
      >>> params = {"first": {"kernel": jnp.array([[1.0, -1.0]])},
      ...           "head": {"kernel": jnp.ones((2, 1))}}
      >>> found = read_activities(apply_fn)(params, jnp.array([[3.0], [4.0]]))
      >>> found.unit_activity["first"].tolist()
      [3.5, 0.0]
      >>> found.input_norms["head"]["kernel"].tolist()
      [[5.0], [0.0]]

    References:
      Sokar et al., "The Dormant Neuron Phenomenon in Deep Reinforcement Learning",
      2023, definition 3.1; Sun et al., "A Simple and Effective Pruning Approach for
      Large Language Models", 2024, equation 1.
    """
    _checks.check_function("apply_fn", apply_fn)

    def activities(params: optax.Params, *args: Any, **kwargs: Any) -> Activities:
        run = run_model(apply_fn, params, args, kwargs)
        means = {name: _means(uses) for name, uses in run.features().items()}
        norms = _norms(run.sites, run.met, run.leaves)
        return Activities(
            run.outputs,
            {layer: both[0] for layer, both in means.items()},
            {layer: both[1] for layer, both in means.items()},
            jax.tree.unflatten(jax.tree.structure(run.params), norms),
        )

    return activities


def _means(uses: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The mean size and the mean of each unit, over all uses of a layer."""
    each = [(jnp.mean(jnp.abs(rows), axis=0), jnp.mean(rows, axis=0)) for rows in uses]
    return jax.tree.map(lambda *x: sum(x[1:], x[0]) / len(x), *each)


def _norms(
    sites: dict[Path, Site], met: dict[Path, jax.Array], leaves: list[jax.Array]
) -> list[Any]:
    """For each parameter the norms of what it multiplies, or None."""
    totals: list[Any] = [None] * len(leaves)
    for path, site in sites.items():
        if site.kind in _flows.LAYERS and not jnp.iscomplexobj(leaves[site.leaf]):
            squares, known = _squares(site, met[path]), totals[site.leaf]
            totals[site.leaf] = squares if known is None else known + squares
    return [total if total is None else jnp.sqrt(total) for total in totals]


def _squares(site: Site, data: jax.Array) -> jax.Array:
    """The gradient of the sum of a site's results, of squared data.

    One factor of it is ones, so that the sum over places of products is their number
    times a product of means.
    """
    data = jax.lax.stop_gradient(data)
    looked_up = not jnp.issubdtype(data.dtype, jnp.inexact)
    data = data if looked_up else jnp.square(_tree.widen(data))
    ones = jnp.ones((1, *site.result.shape), jnp.float32)
    left, right = site.term(data[None], ones)
    places = 1 if looked_up else right.shape[-2]
    if not looked_up:
        left, right = (jnp.mean(x, axis=-2, keepdims=True) for x in (left, right))
    leaf = _factored.Factored.of(((left, right),), site.layout, ones.dtype)
    return leaf.explicit()[0] * places
