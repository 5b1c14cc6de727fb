"""Tasks that share a network: every aggregator and every weighting of losses.

In full 60 epochs of 50,000 pairs of 36 x 36 pixels, 200 of Yeast and 1,000 of the worst
cells, networks of 256 and 128 units and 6 learning rates: about 210 hours on two cores,
of which the pairs take 150.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import optax

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.experiments.benchmarks import player_studies as studies_of
from neat_optax.experiments.benchmarks.player_studies import (
    Build,
    Problem,
    Sizes,
    Tried,
)
from neat_optax.experiments.benchmarks.shared_trunk import (
    losses_of,
    separate_task,
    shared_task,
)
from neat_optax.experiments.benchmarks.single_tasks import (
    DELTA,
    Alone,
    against,
    alone_with_adam,
    train_alone,
)
from neat_optax.experiments.benchmarks.study import Benchmark, Study
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.data import datasets, files
from neat_optax.experiments.data.parts import Data
from neat_optax.experiments.data.tasks import Task

RATES = (1e-3, 2e-3, 4e-3, 8e-3)
HIGH_RATES = (3e-3, 6e-3, 1.2e-2, 2.4e-2)
FULL_RATES = (3e-4, 1e-3, 2e-3, 4e-3, 1e-2, 3e-2)
FIXED, ALONE = "tuned-weights", "single-task"
CONTROLS = ("mean", "random", FIXED, ALONE, "sum", "control")
MEASURES = {"accuracy": "validation_accuracy", **studies_of.MEASURES}
OVERLAP = (
    "All tasks share every example: the overlap of samples is 100 %. Delta-m is held "
    "against networks of one task each, as wide, whose learning rates are tuned for "
    "each task; lower is better. Tuned weights are fixed weights of the losses with as "
    "many trials, each of weights and a rate. Conflict is that of the trunk. `control` "
    "is NEAT with alpha 0, and `random` draws weights at each step."
)


class Set(NamedTuple):
    """One data set, and what is done with it."""

    name: str
    about: str
    data: Data
    widths: tuple[int, ...]
    sizes: Sizes
    fixed: tuple[tuple[float, ...], ...]  # weights, tried at two rates each
    notes: str = ""


def studies(full: bool = False, folder: str | None = None) -> list[Study]:
    """The studies of this benchmark.

    Args:
      full: whether in the papers' sizes.
      folder: with the files of Fashion-MNIST.
    """
    return [
        compare(_images(full, folder)),
        compare(_yeast(full)),
        compare(_worst_cells(full)),
        ablate(_worst_cells(full)),
    ]


def compare(given: Set) -> Study:
    """Every aggregator on one data set, of two tasks all that two players allow."""
    lineup = studies_of.of_lineup()
    if given.data.train.y.shape[1] == 2:
        lineup = {x: lineup[x] for x in lineup if x not in studies_of.NOT_FOR_TWO}
    methods: dict[str, Any] = {
        **lineup,
        FIXED: _tried(given),
        ALONE: alone_with_adam,
    }
    return _study(given, given.name, given.about, methods, CONTROLS, {})


def ablate(given: Set) -> Study:
    """What belongs to an aggregator besides its formula, on one data set."""
    about = f"{given.about} What belongs to an aggregator besides its formula."
    usual = studies_of.of_lineup(("mean", "random", "upgrad", "neat", "control"))
    methods = {**usual, **_variants(given)}
    everywhere = {
        "upgrad-heads-too": shared_task(given.data, given.widths, all_shared=True)
    }
    controls = ("mean", "random", "control", "mean-in-metric", "mean-unit-norms")
    return _study(given, f"{given.name}-ablation", about, methods, controls, everywhere)


def _variants(given: Set) -> dict[str, Build]:
    first = 1 / _constant_losses(given.data)
    by_loss = tuple((first / first.sum()).tolist())
    before = studies_of.before_adam

    def upgrad(_: Setting, players: int) -> optax.GradientTransformation:
        return aggregators.upgrad(num_players=players)

    def preferred(_: Setting, players: int) -> optax.GradientTransformation:
        return aggregators.upgrad(preference=by_loss, num_players=players)

    def unit(make: Callable, _: Setting, players: int) -> optax.GradientTransformation:
        norms = aggregators.per_player(
            optax.normalize_by_update_norm(), num_players=players
        )
        return optax.chain(norms, make(num_players=players))

    def neat(alpha: float, _: Setting, n: int) -> optax.GradientTransformation:
        return neo.player_neat_correction(alpha, num_players=n)

    return {
        "upgrad-heads-too": before(upgrad),
        "upgrad-preference": before(preferred),
        "upgrad-in-metric": _in_metric(upgrad),
        "mean-in-metric": _in_metric(lambda _, n: aggregators.mean(num_players=n)),
        "upgrad-unit-norms": before(functools.partial(unit, aggregators.upgrad)),
        "mean-unit-norms": before(functools.partial(unit, aggregators.mean)),
        "neat-alpha-1": before(functools.partial(neat, 1.0)),
        "neat-alpha-4": before(functools.partial(neat, 4.0)),
    }


def _in_metric(make: studies_of.Make) -> Build:
    """An aggregator that measures in the metric of Adam's second moment."""

    def build(rate: Any, setting: Setting) -> optax.GradientTransformation:
        own = setting.task.aggregate(studies_of.watched(make, setting))
        scaled = neo.precondition(own, debias=True)
        return optax.chain(scaled, optax.ema(0.9), optax.scale_by_learning_rate(rate))

    return build


def _study(
    given: Set,
    name: str,
    about: str,
    methods: Mapping[str, Any],
    controls: tuple[str, ...],
    tasks: Mapping[str, Task],
) -> Study:
    """A study of methods on a data set, where some have a task of their own."""
    data, sizes = given.data, given.sizes
    problem = Problem(shared_task(data, given.widths), data, sizes)
    apart = Problem(separate_task(data, given.widths), data, sizes)
    known: Callable[[], Alone] = functools.cache(lambda: train_alone(apart))

    def place(method: str) -> tuple[Problem, Build, tuple[float, ...]]:
        made = methods[method]
        if method == ALONE:
            return apart, made, sizes.rates
        if isinstance(made, Tried):
            numbers = tuple(map(float, range(len(made.rates))))
            return problem, studies_of.fixed_weights(made), numbers
        task = tasks.get(method, problem.task)
        return problem._replace(task=task), made, sizes.rates

    def trainer(method: str):
        of, build, tried = place(method)
        return against(of.trainer(build, tried, watched=method != ALONE), known)

    def step(method: str):
        of, build, tried = place(method)
        return of.step(build, tried)

    return Study(
        name=name,
        about=about,
        methods=studies_of.all_rates(methods, sizes.rates),
        controls=controls,
        trainer=trainer,
        held_out=data.test,
        score=DELTA,
        seeds=sizes.seeds,
        num_epochs=sizes.epochs,
        settings={**problem.settings(), "widths": given.widths},
        measures=MEASURES,
        step=step,
        probe=lambda: studies_of.probe_of(problem, losses_of(data)),
        notes=f"{given.notes}{OVERLAP}",
        checkpoint_every=20,
    )


def _tried(given: Set) -> Tried:
    """Fixed weights and rates: as many trials as the others have."""
    rates = sorted(given.sizes.rates)
    middle = (len(rates) - len(rates) // len(given.fixed)) // 2
    near = rates[middle : middle + len(rates) // len(given.fixed)]
    pairs = [(rate, weights) for weights in given.fixed for rate in near]
    return Tried(*map(tuple, zip(*pairs, strict=True)))


def _by_scale(data: Data) -> tuple[tuple[float, ...], ...]:
    """Weights by the loss of constant predictions: over its root, and over itself."""
    losses = _constant_losses(data)
    found = [losses**-power for power in (0.5, 1.0)]
    return tuple(tuple((x / x.sum()).tolist()) for x in found)


def _constant_losses(data: Data) -> np.ndarray:
    """What the tasks lose whose outputs do not depend on the inputs: [P]."""
    y = np.asarray(data.train.y, np.float64)
    if data.targets:
        return y.var(axis=0)
    share = np.clip(y.mean(axis=0), 1e-3, 1 - 1e-3)
    return -(share * np.log(share) + (1 - share) * np.log(1 - share))


def _images(full: bool, folder: str | None) -> Set:
    uneven = ((0.4, 0.6), (0.6, 0.4))
    if has_fashion(folder):
        name, fraction = "multi-fashion", 1.0 if full else 0.05
    else:
        name, fraction = "multi-digits", 1.0
    data = datasets.load(name, fraction, folder)
    if fraction < 1:
        data = studies_of.halved(data, 36, 3000)
    sizes = Sizes(FULL_RATES, 5, 60, 256) if full else Sizes(RATES, 6, 12, 128)
    count, pixels = data.train.x.shape
    return Set(
        name,
        f"Two images of {pixels} pixels, one over the other, {count} pairs to train; "
        "the upper left and the lower right as players; a dense network.",
        data,
        (256, 128) if full else (32,),
        sizes,
        uneven,
    )


def has_fashion(folder: str | None) -> bool:
    """Whether Fashion-MNIST is found; without it digits take its place."""
    labels = "train-labels-idx1-ubyte"
    try:
        files.find("fashion-mnist", [(f"{labels}.gz", labels)], folder)
    except ValueError:
        return False
    return True


def _yeast(full: bool) -> Set:
    data = datasets.load("yeast")
    sizes = Sizes(FULL_RATES, 10, 200, 64) if full else Sizes(RATES, 8, 10, 128)
    return Set(
        "yeast",
        "Genes of yeast, 103 features; 14 labels, each a player; a dense network.",
        data,
        (256, 128) if full else (32,),
        sizes,
        _by_scale(data),
    )


def _worst_cells(full: bool) -> Set:
    data = datasets.load("worst-cells")
    sizes = Sizes(FULL_RATES, 10, 1000, 32) if full else Sizes(HIGH_RATES, 8, 60, 64)
    return Set(
        "worst-cells",
        "Ten measures of the worst cells of a sample, in units of their own, from "
        "twenty of all its cells; each a player; a dense network.",
        data,
        (256, 128) if full else (32,),
        sizes,
        _by_scale(data),
        "Squared errors differ by 9 orders of magnitude. ",
    )


BENCHMARK = Benchmark(
    "Do aggregators and weightings help tasks that share a network, beyond fixed "
    "weights that are tuned as long?",
    studies,
)
