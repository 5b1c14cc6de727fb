"""The training loop: batches scanned, replicas mapped, one compiled call per epoch.

A replica is one seed at one learning rate. Everything random comes from the replica's
key and the number of the epoch, so that a run resumed from a checkpoint goes on exactly
as it would have.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from neat_optax import training
from neat_optax._timing import Step
from neat_optax.experiments.candidates.candidate import AtEnd, Measures, nothing
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import Task
from neat_optax.training._player_factors import taking_factors

COMPILED_FAST = {"xla_backend_optimization_level": 1}
"""For what runs once, as random numbers do, and for small matrices, which lose nothing.

Compiling takes half as long."""


class Replicas(NamedTuple):
    """Everything that changes in training; each leaf has a leading replica axis."""

    params: Any
    opt_state: Any


def _params(replicas: Replicas) -> Any:
    return replicas.params


class Trainer(NamedTuple):
    """Jitted functions over all replicas at once."""

    init: Callable[[], Replicas]
    like: Callable[[], Replicas]  # its shapes and dtypes, without compiling
    epoch: Callable[[Replicas, int], tuple[Replicas, dict[str, jax.Array]]]
    scores: Callable[[Any, Split], dict[str, jax.Array]]
    step: Callable[[], Step] | None = None  # one step of the first replica
    served: Callable[[Replicas], Any] = _params  # the parameters that are scored


def make_trainer(
    build: Callable[[jax.Array, jax.Array], optax.GradientTransformation],
    task: Task,
    data: Data,
    *,
    measures: Measures,
    at_end: AtEnd = nothing,
    view: Callable[[Any, Any, Split], Split] | None = None,
    served: Callable[[Any, Any], Any] | None = None,
    in_turn: bool = False,
    seeds: int,
    rates: tuple[float, ...],
    batch_size: int,
) -> Trainer:
    """A trainer for every pair of rate and seed, in row-major order.

    Args:
      build: from a learning rate and a random key, both traced, to an optimizer.
      task: from `make_task`.
      data: what to train on and validate with.
      measures: from the optimizer's state to the numbers to keep of each step.
      at_end: from the parameters and the validation examples to the numbers to keep of
        each epoch.
      view: from a seed, the number of an epoch and examples to what that seed sees of
        them in that epoch. With one, every epoch is tested too.
      served: from the optimizer's state and the parameters to those that are scored;
        without it, the parameters themselves.
      in_turn: whether a CPU trains replicas one by one.
      seeds: number of seeds; the same seed starts from the same weights and sees the
        same batches at every rate and with every optimizer.
      rates: learning rates.
      batch_size: examples per step; the last incomplete batch is left out.
    """
    seed_numbers = jnp.tile(jnp.arange(seeds), len(rates))
    rate_numbers = jnp.repeat(jnp.asarray(rates, jnp.float32), seeds)
    seen = data[:2] if view is None else data
    parts = jax.tree.map(jnp.asarray, seen)

    def serve(replica: Replicas) -> Any:
        return served(replica.opt_state, replica.params) if served else replica.params

    def optimizer(seed: jax.Array, rate: jax.Array):
        return build(rate, jax.random.fold_in(jax.random.key(2), seed))

    def init_one(seed: jax.Array, rate: jax.Array):
        rngs = nnx.Rngs(jax.random.fold_in(jax.random.key(0), seed))
        params = task.init(rngs)
        return Replicas(params, optimizer(seed, rate).init(params))

    def epoch_one(
        replica: Replicas, seed: jax.Array, rate: jax.Array, number: Any, parts: Any
    ):
        if view is not None:
            parts = [view(seed, number, part) for part in parts]
        train, validation, *test = parts
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), seed), number)
        order = training.shuffle(key, len(train.y), batch_size)
        step = _step(task, optimizer(seed, rate), measures)
        state, history = training.scan_steps(step.update, _begin(replica), train, order)
        replica = Replicas(state.params, state.opt_state)
        row = {name: jnp.mean(values) for name, values in history.items()}
        params = serve(replica)
        held_out = {"validation": validation, **({"test": test[0]} if test else {})}
        for part, split in held_out.items():
            scores = task.scores(params, split)
            row |= {f"{part}_{name}": x for name, x in scores.items()}
        return replica, {**row, **at_end(params, validation)}

    def first_step() -> Step:
        replica = jax.tree.map(lambda x: x[0], init_all(seed_numbers, rate_numbers))

        def step(replica: Replicas, batch: Split):
            built = _step(task, optimizer(seed_numbers[0], rate_numbers[0]), measures)
            state, _ = built.update(_begin(replica), batch)
            return state.params, state.opt_state

        return Step(step, (replica, jax.tree.map(lambda x: x[:batch_size], parts[0])))

    init_all = jax.jit(jax.vmap(init_one), compiler_options=COMPILED_FAST)
    epoch_all = jax.jit(_over_replicas(epoch_one, in_turn), donate_argnums=0)
    return Trainer(
        init=lambda: init_all(seed_numbers, rate_numbers),
        like=lambda: jax.eval_shape(jax.vmap(init_one), seed_numbers, rate_numbers),
        epoch=lambda replicas, number: epoch_all(
            replicas, seed_numbers, rate_numbers, number, parts
        ),
        scores=jax.jit(_over_params(task.scores, in_turn)),
        step=first_step,
        served=jax.vmap(serve),
    )


def _over_replicas(epoch_one: Callable, in_turn: bool) -> Callable:
    """All replicas at once; on a CPU one by one where that is asked for.

    The gradients of one replica's players stay in its caches, which halves the time.
    And what a replica does at some steps only, such as to choose a mask, is done at
    every step where replicas are mapped.
    """
    if not in_turn or jax.default_backend() != "cpu":
        return jax.vmap(epoch_one, (0, 0, 0, None, None))

    def one_by_one(
        replicas: Replicas, seeds: jax.Array, rates: jax.Array, number: Any, parts: Any
    ):
        return jax.lax.map(
            lambda replica: epoch_one(*replica, number, parts), (replicas, seeds, rates)
        )

    return one_by_one


def _over_params(scores: Callable, in_turn: bool) -> Callable:
    """The scores of all replicas, mapped as their epochs are."""
    if not in_turn or jax.default_backend() != "cpu":
        return jax.vmap(scores, (0, None))
    return lambda params, split: jax.lax.map(lambda x: scores(x, split), params)


def _step(
    task: Task, optimizer: optax.GradientTransformation, measures: Measures
) -> training.Step:
    def gradients(state: training.TrainingState, batch: Split) -> training.Gradients:
        extra, found = task.gradients(state.params, batch)
        logs = {"loss": jnp.mean(extra["losses"])}
        return training.Gradients(found, logs, state.extra, extra)

    model = training.from_function(task.scores, ())  # only its parameters are trained
    optimizer = taking_factors(optimizer)
    return training.make_step(model, gradients, optimizer, measures=measures)


def _begin(replica: Replicas) -> training.TrainingState:
    """A replica as a step sees it: it carries nothing else, and draws nothing."""
    return training.TrainingState(
        step=jnp.zeros((), jnp.int32),
        params=replica.params,
        opt_state=replica.opt_state,
        extra=(),
        ema=None,
        scale=None,
        key=jnp.zeros(()),
    )
