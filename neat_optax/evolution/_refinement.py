"""Gradient steps of all individuals, between one generation and the next."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._leaves import Mask
from neat_optax._random import as_key
from neat_optax.evolution import _genes, _rows
from neat_optax.evolution._population import Population, PopulationTransformation


def refine(
    optimizer: optax.GradientTransformation,
    loss: Callable[[Any, jax.Array], jax.Array],
    num_steps: int,
    *,
    lamarckian: bool = True,
    mask: Mask | None = None,
    batch_size: int | None = None,
) -> PopulationTransformation:
    """Trains every individual for a few gradient steps: a memetic algorithm.

    Each starts with a new optimizer state. A step has one key, the same for all
    individuals, so that they see the same batch and can be compared.

    Args:
      optimizer: any chain; it is also given `value=` and `grad=`.
      loss: a function (params, key) of one individual to a number, the lower the
        better; it may draw a batch with the key.
      num_steps: how many, at least 1.
      lamarckian: True keeps the trained weights, without a fitness: what was learned
        is inherited. False is Baldwin's way: the weights stay, and the fitness is minus
        the loss after training, on the last batch. It then stands before the breeder,
        in place of an evaluation.
      mask: which arrays are trained, as in `breeder`; integers never are.
      batch_size: how many individuals are trained at the same time; by default all.
        Fewer need less memory, for the same numbers. Leave it where the population is
        sharded.

    Returns:
      A transformation; with `lamarckian=True` it stands after the breeder.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> loss = lambda w, key: jnp.sum(w**2)
      >>> train = refine(optax.sgd(0.25), loss, num_steps=2)
      >>> given = Population(jnp.array([[4.0], [8.0]]), jnp.zeros(2))
      >>> trained, _ = train.update(0, given, train.init(given))
      >>> print(trained.params.ravel(), trained.fitness)
      [1. 2.] [nan nan]
    """
    _checks.check_function("loss", loss)
    _checks.check_count("num_steps", num_steps, minimum=1)
    _checks.check_bool("lamarckian", lamarckian)
    if batch_size is not None:
        _checks.check_integer("batch_size", batch_size, minimum=1)
    tx = optax.with_extra_args_support(optimizer)

    def init(population: Population) -> optax.EmptyState:
        _checks.check_population(population.params, population.fitness)
        _genes.split(population.params, mask)
        return optax.EmptyState()

    def update(
        key: Any, population: Population, state: optax.EmptyState
    ) -> tuple[Population, optax.EmptyState]:
        params, fitness = population
        free, join = _genes.split(params, mask)
        keys = jax.random.split(as_key(key), num_steps)

        def learn(own: Any, whole: Any) -> Any:
            trained = _train(tx, lambda w, k: loss(join(w, whole), k), own, keys)
            return trained if lamarckian else -loss(join(trained, whole), keys[-1])

        learned = _rows.mapped(learn, batch_size, (free, params))
        if lamarckian:
            fitness = _rows.forget_changed(fitness, free, learned)
            return Population(join(learned), fitness), state
        return Population(params, learned.astype(fitness.dtype)), state

    return PopulationTransformation(init, update)


def _train(tx: Any, loss: Any, params: Any, keys: jax.Array) -> Any:
    """The weights of one individual after a step for each key."""

    def step(carry: Any, key: jax.Array) -> Any:
        params, state = carry
        value, grad = jax.value_and_grad(loss)(params, key)
        updates, state = tx.update(grad, state, params, value=value, grad=grad)
        return (optax.apply_updates(params, updates), state), None

    (trained, _), _ = jax.lax.scan(step, (params, tx.init(params)), keys)
    return jax.tree.map(jnp.asarray, trained)
