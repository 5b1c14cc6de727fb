"""Code to paste for a recommendation: of a tree of parameters, or of a module."""

from neat_optax.advice._candidates import Candidate
from neat_optax.advice._measures import Measures

RATE = 1e-3
"""Adam's, where no optimizer is given."""
_OF_TREE = """\
import optax
import neat_optax as neo

aggregator = {aggregator}
optimizer = optax.chain(aggregator, optax.adam({rate:g}))
state = optimizer.init(params)
losses, gradients = neo.value_and_player_grads(losses_fn)(params, batch)
updates, state = optimizer.update(gradients, state, params, losses=losses)
params = optax.apply_updates(params, updates)"""
_OF_MODULE = """\
import optax
import neat_optax as neo
from flax import nnx

aggregator = {aggregator}
chain = optax.chain(aggregator, optax.adam({rate:g}))
optimizer = nnx.Optimizer({params}, chain, wrt=nnx.Param)
losses, gradients = neo.value_and_player_grads(losses_fn)({params}, batch)
optimizer.update({params}, gradients, losses=losses)"""
_OF_MEAN = """\
import jax, jax.numpy as jnp
{more}
def mean_loss({params}):
    return jnp.mean(jnp.stack(jax.tree.leaves(losses_fn({params}, batch))))

loss, gradient = {library}.value_and_grad(mean_loss)({params})"""
_SHARED = """\
neo.aggregate_shared(
    {aggregator},
    neo.shared_params(losses_fn, {params}, batch),
    rest=neo.aggregators.mean(),
)"""


def code_of_mean(measures: Measures) -> str:
    """The gradient of the mean loss."""
    if measures.is_module:
        more = "from flax import nnx\n"
        return _OF_MEAN.format(more=more, params="model", library="nnx")
    return _OF_MEAN.format(more="", params="params", library="jax")


def code_of(chosen: Candidate, factor: float, measures: Measures) -> str:
    """A step with an aggregator, around Adam.

    Args:
      chosen: makes the aggregator.
      factor: on Adam's learning rate.
      measures: say what the parameters are, and whether some of them are heads.
    """
    params = "model" if measures.is_module else "params"
    aggregator = chosen.code.format(len(measures.players))
    if measures.heads:
        aggregator = _SHARED.format(aggregator=aggregator, params=params)
    written = _OF_MODULE if measures.is_module else _OF_TREE
    return written.format(aggregator=aggregator, rate=RATE * factor, params=params)
