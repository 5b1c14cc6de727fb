"""Which method keeps a network learning, from one example at a time.

The protocol is that of UPGD: images whose pixels are permuted anew for each task, one
example in a step, and the accuracy on every example before it is learned from. In full
200 tasks of 5,000 examples of Fashion-MNIST, 300 and 150 units, and 20 seeds, which
take about 700 hours of a core. By default images of 7 x 7 pixels, 50 and 25 units, and
40 tasks of 1,000 examples; the digits of scikit-learn where Fashion-MNIST is not given.
"""

import functools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import optax
from flax import nnx

from neat_optax.experiments.benchmarks import continual_pictures
from neat_optax.experiments.benchmarks.carrying_out import LATE
from neat_optax.experiments.benchmarks.continual_recipes import (
    COMPOSED,
    CONTROLS,
    RECIPES,
    ablation,
    leaderboard,
    method,
)
from neat_optax.experiments.benchmarks.online import (
    MEASURED,
    Seeds,
    Stream,
    make_trainer,
)
from neat_optax.experiments.benchmarks.study import Benchmark, Score, Study
from neat_optax.experiments.candidates import changed_tasks
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.candidates.continual import (
    adapted,
    assemble,
    normalizes,
)
from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.files import FOLDER_VARIABLE
from neat_optax.experiments.data.tasks import Task, make_task
from neat_optax.experiments.models import OneHead, Trunk
from neat_optax.experiments.runs.loop import Trainer

SCORE = Score("online accuracy", "accuracy", "accuracy", over_run=True)
MEASURES = {
    "late": LATE,
    "dormant": "dormant",
    "effective rank": "effective_rank",
    "weights": "weight_norm",
    "gradient": "gradient_norm",
}
SELECTING_SEEDS = 5
SELECTING, ABLATING = 100, 200
"""The first seeds of the studies after the leaderboard."""


class Size(NamedTuple):
    """How much is learned."""

    pooled: int  # pixels that become one, in height and in width
    units: tuple[int, int]
    tasks: int
    task_steps: int
    seeds: int


SMALL = Size(4, (50, 25), 40, 1000, 8)
FULL = Size(1, (300, 150), 200, 5000, 20)


def stream(size: Size, folder: str | None) -> tuple[str, Stream]:
    """The name of the data set, and the stream made of it."""
    given = folder or os.environ.get(FOLDER_VARIABLE)
    name = "fashion-mnist" if given else "digits"
    data = datasets.load(name, folder=folder)
    pooled = size.pooled if name == "fashion-mnist" else 1
    train, measured = (pool(part, pooled) for part in (data.train, data.validation))
    few = Split(measured.x[:MEASURED], measured.y[:MEASURED])
    return name, Stream(train, few, size.tasks, size.task_steps)


def pool(split: Split, pooled: int) -> Split:
    """Square images whose squares of so many pixels are one, their mean."""
    count, pixels = split.x.shape
    side = round(pixels**0.5) // pooled
    squares = split.x.reshape(count, side, pooled, side, pooled)
    return split._replace(x=squares.mean(axis=(2, 4)).reshape(count, -1))


def make_network_task(made: Stream, units: tuple[int, int]) -> Task:
    """The network of these units for a stream."""

    def network(data: Data, rngs: nnx.Rngs) -> nnx.Module:
        trunk = Trunk(data.train.x.shape[1], units, rngs=rngs)
        return OneHead(trunk, data.num_classes, rngs=rngs)

    return make_task(Data(made.examples, made.measured, made.measured), network=network)


def trainer(name: str, task: Task, made: Stream, seeds: Seeds) -> Trainer:
    """Of one method."""
    parts, scaling, rates = method(name)
    task = adapted(parts, task)

    def build(rate: Any, key: jax.Array) -> optax.GradientTransformation:
        setting = Setting(
            0.0, task, made.steps, key, {}, watched=False, task_steps=made.task_steps
        )
        whole = assemble(parts, scaling, rate, setting)
        return changed_tasks.keeping_moments(whole) if normalizes(parts) else whole

    return make_trainer(build, task, made, seeds, rates)


def study(
    name: str,
    about: str,
    size: Size,
    source: tuple[str, Stream],
    first_seed: int,
    names: Sequence[str],
    controls: Sequence[str],
    notes: str = "",
    *,
    costs: bool = False,
) -> Study:
    """Methods on one stream, from a first seed on."""
    dataset, made = source
    task = make_network_task(made, size.units)
    of = functools.partial(
        trainer, task=task, made=made, seeds=Seeds(first_seed, size.seeds)
    )

    def step(name: str) -> Any:
        make = of(name).step
        assert make is not None
        return make()

    return Study(
        name=name,
        about=about,
        methods={one: method(one).rates for one in names},
        controls=tuple(controls),
        trainer=of,
        held_out=None,
        score=SCORE,
        seeds=size.seeds,
        num_epochs=size.tasks,
        settings={**size._asdict(), "dataset": dataset, "first_seed": first_seed},
        measures=MEASURES,
        step=step if costs else None,
        notes=notes,
        checkpoint_every=20,
    )


def studies(full: bool, folder: str | None) -> list[Study]:
    """The leaderboard, recipes of several parts, and the best of these in pieces."""
    return make_studies(FULL if full else SMALL, folder)


def make_studies(size: Size, folder: str | None) -> list[Study]:
    """The same in any size."""
    source = stream(size, folder)
    image = f"{source[0]}, {source[1].examples.x.shape[1]} pixels"
    what = (
        f"{image} in a new order for each of {size.tasks} tasks of "
        f"{size.task_steps} examples, one at a time; {size.units[0]} and "
        f"{size.units[1]} rectified units"
    )
    made = functools.partial(study, source=source)
    parts = ablation(COMPOSED)
    return [
        made(
            "permuted",
            f"{what}; each method around plain SGD, adam, adamw and adamo around Adam.",
            size=size,
            first_seed=0,
            names=leaderboard(),
            controls=CONTROLS,
            notes=_NOTES,
            costs=True,
        ),
        made(
            "recipes",
            f"{what}; several methods at once, on seeds that only select among them.",
            first_seed=SELECTING,
            size=size._replace(seeds=SELECTING_SEEDS),
            names=RECIPES,
            controls=RECIPES[:1],
        ),
        made(
            "ablation",
            f"{what}; the recipe without each part, and the best single method.",
            size=size,
            first_seed=ABLATING,
            names=parts,
            controls=parts[:1],
        ),
    ]


_NOTES = (
    "A seed's learning rate is the one that is best for the other seeds. l2-er is left "
    "out: the features of a single example have rank one. So is upgd without gates, "
    "which is l2 and noise of 1e-3 learning rates. dash spends one example in fifty on "
    "looking; the network has no normalization layers, which normalize-and-project is "
    "meant for. A healthy unit is silent for many single examples: with the paper's "
    "8 % of its silences taken for its death, snr resets it every few dozen steps; "
    "with one in 10,000 it comes to 54 %."
)


BENCHMARK = Benchmark(
    "Which method keeps a network learning, task after task?",
    studies,
    pictures=continual_pictures.draw,
)
