"""Steps with the mean and with candidates, each compiled once for all that is asked."""

import logging
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import aggregators
from neat_optax._timing import Step
from neat_optax.advice._candidates import Candidate
from neat_optax.advice._problem import Point, Problem
from neat_optax.players._shared import aggregate_shared

MEAN = "mean"
"""A step with the gradient of the mean loss: no gradient of one player is formed."""

_log = logging.getLogger(__name__)


class Compiled(NamedTuple):
    """A step of training.

    Attributes:
      step: from a point, a state, a batch and a factor to the next point and state.
      init: from parameters to the state.
    """

    step: Any
    init: Any

    def at(self, problem: Problem) -> Step:
        """What is timed."""
        point = problem.start
        arguments = point, self.init(point.params), problem.batches[0], jnp.ones(())
        return Step(self.step, arguments)


def compile_steps(
    problem: Problem,
    candidates: dict[str, Candidate],
    optimizer: optax.GradientTransformation,
) -> dict[str, Compiled]:
    """Steps by name, that of the mean first.

    Args:
      problem: what is trained.
      candidates: by name.
      optimizer: what follows each of them.
    """
    usual = optax.with_extra_args_support(optimizer)
    _log.info("compiling a step with the mean")
    found = {MEAN: _compiled(problem, _gradient_of_mean(problem), usual)}
    for name, candidate in candidates.items():
        _log.info("compiling a step with %s", name)
        tx = optax.chain(_aggregator(problem, candidate), optimizer)
        found[name] = _compiled(problem, problem.gradients, tx)
    return found


def _aggregator(problem: Problem, candidate: Candidate) -> Any:
    """Of the shared parameters; the others have the mean, as without it."""
    own = candidate.make(problem.num_players)
    if not problem.has_heads:
        return own
    structure = jax.tree.structure(problem.start.params)
    shared = structure.unflatten(problem.shared)
    return aggregate_shared(own, shared, rest=aggregators.mean())


def _compiled(
    problem: Problem, gradients: Any, tx: optax.GradientTransformationExtraArgs
) -> Compiled:
    def step(point: Point, state: Any, batch: Any, factor: jax.Array) -> Any:
        losses, found, rest = gradients(point, batch)
        updates, state = tx.update(found, state, point.params, losses=losses)
        updates = jax.tree.map(lambda u: (u * factor).astype(u.dtype), updates)
        return Point(optax.apply_updates(point.params, updates), rest), state

    made = Compiled(step, jax.jit(tx.init))
    asked = made.at(problem)
    return made._replace(step=jax.jit(step).lower(*asked.args).compile())


def _gradient_of_mean(problem: Problem) -> Any:
    def gradients(point: Point, batch: Any) -> Any:
        def mean(params: Any) -> tuple[jax.Array, Any]:
            losses, rest = problem.losses(point._replace(params=params), batch)
            return jnp.mean(losses), (losses, rest)

        found, (losses, rest) = jax.grad(mean, has_aux=True)(point.params)
        return losses, found, rest

    return gradients
