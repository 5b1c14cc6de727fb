"""Learning from one example at a time, judged by each example before it is learned.

Tasks follow one another; each has the features in an order of its own. An epoch is one
task. What a seed sees depends on its number and the task's alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from neat_optax._timing import Step
from neat_optax.continual import read_measures
from neat_optax.experiments.candidates.changed_tasks import of_network
from neat_optax.experiments.data import streams
from neat_optax.experiments.data.datasets import Split
from neat_optax.experiments.data.tasks import Task
from neat_optax.experiments.runs.loop import COMPILED_FAST, Replicas, Trainer

MEASURED = 128
"""Examples of each task on which features are measured at its end. Of twice as many the
singular values take LAPACK's threads a hundred times as long."""


class Stream(NamedTuple):
    """What is learned from, and for how long."""

    examples: Split  # from which those of each task are drawn
    measured: Split  # others, on which features are measured
    tasks: int
    task_steps: int  # examples of each task

    @property
    def steps(self) -> int:
        """Examples of all tasks."""
        return self.tasks * self.task_steps


class Seeds(NamedTuple):
    """Numbers in a row, each of which starts from its own weights, in its own tasks."""

    first: int
    number: int


def make_trainer(
    build: Callable[[jax.Array, jax.Array], optax.GradientTransformation],
    task: Task,
    stream: Stream,
    seeds: Seeds,
    rates: tuple[float, ...],
) -> Trainer:
    """A trainer for every pair of rate and seed, in row-major order.

    A row has the share of examples of a task that were classified correctly before they
    were learned, and measures at the end of the task.
    Replicas are trained one by one: what is done at some steps only, such as to draw
    new weights, would be done at every step if they were mapped.

    Args:
      build: from a learning rate and a random key, both traced, to an optimizer.
      task: from `make_task`.
      stream: what is learned.
      seeds: which of them.
      rates: learning rates.
    """
    numbers = jnp.tile(seeds.first + jnp.arange(seeds.number), len(rates))
    tried = jnp.repeat(jnp.asarray(rates, jnp.float32), seeds.number)
    parts = jax.tree.map(jnp.asarray, (stream.examples, stream.measured))
    view = streams.task_view(f"permuted:{stream.tasks}", epochs=1)
    assert view is not None

    def optimizer(seed: Any, rate: Any) -> optax.GradientTransformationExtraArgs:
        built = build(rate, jax.random.fold_in(jax.random.key(2), seed))
        return optax.with_extra_args_support(built)

    def init_one(seed: jax.Array, rate: jax.Array) -> Replicas:
        params = task.init(nnx.Rngs(jax.random.fold_in(jax.random.key(0), seed)))
        return Replicas(params, optimizer(seed, rate).init(params))

    def learn_one(one: tuple[Replicas, Any, Any], number: Any, examples: Split):
        replica, seed, rate = one
        seen = view(seed, number, _drawn(examples, seed, number, stream.task_steps))
        one_each = jax.tree.map(lambda x: x[:, None], seen)
        step = _step(task, optimizer(seed, rate))
        replica, history = jax.lax.scan(step, replica, one_each)
        return replica, jax.tree.map(jnp.mean, history)

    def learn(replicas: Replicas, number: Any, examples: Split):
        return jax.lax.map(
            lambda one: learn_one(one, number, examples), (replicas, numbers, tried)
        )

    def measure(params: Any, number: Any, measured: Split):
        return jax.lax.map(
            lambda one: _health(task, one[0], view(one[1], number, measured)),
            (params, numbers),
        )

    def epoch(replicas: Replicas, number: int):
        replicas, row = learn_all(replicas, number, parts[0])
        return replicas, {**row, **measure_all(replicas.params, number, parts[1])}

    def first_step() -> Step:
        first = jax.tree.map(lambda x: x[0], init_all(numbers, tried))
        step = _step(task, optimizer(numbers[0], tried[0]))
        batch = jax.tree.map(lambda x: x[:1], parts[0])
        return Step(lambda replica, batch: step(replica, batch)[0], (first, batch))

    init_all = jax.jit(jax.vmap(init_one), compiler_options=COMPILED_FAST)
    learn_all = jax.jit(learn, donate_argnums=0)
    measure_all = jax.jit(measure)
    return Trainer(
        init=lambda: init_all(numbers, tried),
        like=lambda: jax.eval_shape(jax.vmap(init_one), numbers, tried),
        epoch=epoch,
        scores=jax.jit(jax.vmap(task.scores, (0, None))),
        step=first_step,
    )


def _drawn(examples: Split, seed: Any, number: Any, steps: int) -> Split:
    """The examples of a task in their order."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(1), seed), number)
    order = jax.random.randint(key, (steps,), 0, len(examples.y))
    return jax.tree.map(lambda x: x[order], examples)


def _step(task: Task, optimizer: optax.GradientTransformationExtraArgs) -> Callable:
    def step(replica: Replicas, batch: Split) -> tuple[Replicas, dict[str, jax.Array]]:
        params, state = replica
        extra, gradients = task.gradients(params, batch)
        right = jnp.argmax(extra["logits"], axis=-1) == batch.y
        updates, state = optimizer.update(gradients, state, params, **extra)
        row = {"accuracy": jnp.mean(right, dtype=jnp.float32)}
        return Replicas(optax.apply_updates(params, updates), state), row

    return step


def _health(task: Task, params: Any, measured: Split) -> dict[str, jax.Array]:
    """What is known to go wrong, of features as means over layers."""
    assert task.logits is not None
    found = read_measures(task.logits)(params, measured.x)
    _, gradients = task.gradients(params, measured)
    layers = jax.tree.map(lambda *x: jnp.mean(jnp.stack(x)), *found.features.values())
    return {
        "dormant": layers.dormant,
        "effective_rank": layers.effective_rank,
        "stable_rank": layers.stable_rank,
        "weight_norm": optax.tree.norm(of_network(params)),
        "gradient_norm": optax.tree.norm(of_network(gradients)),
    }
