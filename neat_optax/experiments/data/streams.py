"""Streams: many tasks made of one data set, which follow one another."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from neat_optax.continual import dormant_fraction
from neat_optax.experiments.candidates import continual, optimizers
from neat_optax.experiments.candidates.changed_tasks import of_network
from neat_optax.experiments.data.datasets import Split
from neat_optax.experiments.data.tasks import Task

View = Callable[[jax.Array, Split], Split]
"""From the random key of a task and examples to that task's examples."""


EpochView = Callable[[Any, Any, Split], Split]
"""From a seed, the number of an epoch and examples to that epoch's examples."""


class Stream(NamedTuple):
    """What follows what."""

    view: View
    num_tasks: int


def permuted(key: jax.Array, split: Split) -> Split:
    """The features in an order of the task's own.

    Every task is as hard as the first for a network without a past: the features of
    the data sets have no order that a dense network could make use of.
    """
    return split._replace(x=jax.random.permutation(key, split.x, axis=-1))


VIEWS: dict[str, View] = {"permuted": permuted}

OPTIMIZERS = optimizers.OPTIMIZERS._replace(
    candidates=optimizers.OPTIMIZERS.candidates | continual.CANDIDATES,
    default=(
        "adam",
        "sgd",
        "adamw",
        "l2-to-init",
        "shrink-and-perturb",
        "reset-dormant",
        "continual-backprop",
        "neuroplastic",
        "neuroplastic-control",
    ),
    in_turn=True,
)


def parse(text: str) -> Stream:
    """The stream that `permuted:100` stands for."""
    kind, _, count = text.partition(":")
    if kind not in VIEWS or not count.isdecimal() or int(count) < 2:
        listed = ", ".join(f"{name}:TASKS" for name in VIEWS)
        raise ValueError(
            f"`stream` must be {listed}, with at least 2 tasks, got {text}."
        )
    return Stream(VIEWS[kind], int(count))


def task_view(text: str | None, epochs: int) -> EpochView | None:
    """What every seed sees in every epoch: tasks of its own, the same by any optimizer.

    Args:
      text: as `parse` takes it; None for what is no stream.
      epochs: of each task.
    """
    if text is None:
        return None
    view = parse(text).view

    def at_epoch(seed: jax.Array, number: jax.Array, split: Split):
        key = jax.random.fold_in(jax.random.key(3), seed)
        return view(jax.random.fold_in(key, number // epochs), split)

    return at_epoch


def health(task: Task) -> Callable[[Any, Split], dict[str, jax.Array]]:
    """What is known to go wrong in long training, of parameters and examples."""

    def monitor(params: optax.Params, split: Split):
        dormant = dormant_fraction(task.activity(params, split.x))
        norm = optax.tree.norm(of_network(params))
        return {"dormant": dormant, "weight_norm": norm}

    return monitor
