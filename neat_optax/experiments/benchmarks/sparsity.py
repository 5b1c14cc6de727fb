"""What a network loses when its weights are pruned, and what decides it.

The small form trains an MLP on digits; `--full` one on Fashion-MNIST, at 98 % too.
"""

import functools
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from neat_optax.experiments.benchmarks.study import Benchmark, Study
from neat_optax.experiments.benchmarks.trained import of_train
from neat_optax.experiments.candidates import prunings
from neat_optax.experiments.candidates.candidate import Candidate, Lineup
from neat_optax.experiments.candidates.pruning_methods import Rules
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data.tasks import make_task
from neat_optax.experiments.reports.statistics import Interval
from neat_optax.experiments.runs import experiment

METHODS = ("cubic", "once", "set", "rigl", "ste")
SHARES = (0.8, 0.9, 0.95)
BESIDE = ("cubic:0.5", "2:4", "linear:0.9", "feedback:0.9")
"""Methods at one sparsity only."""
REFERENCE = "cubic:0.95"
VARIANTS = {
    "uniform": Rules(allocate="uniform"),
    "global": Rules(allocate="global"),
    "saliency": Rules(score="saliency"),
    "movement": Rules(score="movement"),
    "snip": Rules(score="snip"),
    "random": Rules(score="random"),
}
"""Each changes one rule of the reference."""
SHOWN = {"sparsity": "sparsity"}
NOTES = (
    "All are trained by Adam for the same epochs; a method has five rates to choose "
    "from. Biases stay. Masks end three quarters into the run."
)


def studies(full: bool, folder: str | None) -> list[Study]:
    """Methods at several sparsities, and the rules that one of them follows."""
    shares = (*SHARES, 0.98) if full else SHARES
    asked = tuple(f"{method}:{share:g}" for method in METHODS for share in shares)
    make = functools.partial(_config, full, folder)
    return [
        _study("methods", make((*asked, *BESIDE)), None, (prunings.CONTROL,)),
        _study("rules", make((REFERENCE,)), variants(), (REFERENCE, "random")),
    ]


def variants() -> Lineup:
    """The reference, and it with one rule changed each."""
    found: dict[str, Candidate] = {}
    for name, rules in {REFERENCE: Rules(), **VARIANTS}.items():
        known = prunings.lineup((REFERENCE,), rules)
        found[name] = known.candidates[REFERENCE]._replace(control=None)
    usual = prunings.lineup((REFERENCE,), Rules())
    return usual._replace(candidates=found, default=tuple(found))


def _config(full: bool, folder: str | None, prune: Iterable[str]) -> TrainConfig:
    if full:
        return TrainConfig(
            dataset="fashion-mnist",
            data=folder,
            prune=tuple(prune),
            epochs=20,
            seeds=5,
        )
    return TrainConfig(dataset="digits", prune=tuple(prune), epochs=20, seeds=8)


def _study(
    name: str, config: TrainConfig, lineup: Lineup | None, controls: tuple[str, ...]
) -> Study:
    data = experiment.load(config)
    task = make_task(data, network=config.network)
    what = "dense and pruned" if lineup is None else f"{REFERENCE} with other rules"
    about = f"an MLP on {config.dataset}, {what}"
    return of_train(
        name,
        about,
        config,
        data,
        task,
        controls=controls,
        lineup=lineup,
        measures=SHOWN,
        notes=NOTES,
    )


def pictures(result: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Accuracy against sparsity, and the rules beside each other."""
    from neat_optax.experiments.reports import pictures as of_runs  # takes time to load

    study = result["studies"].get("methods")
    if study is None:
        return
    reports = {name: _report(found) for name, found in study["methods"].items()}
    shown = {"config": {"dataset": study["options"]["dataset"]}, "prunings": reports}
    of_runs.draw_sparsity(shown, folder / "bench_sparsity_methods.png")


def _report(found: Mapping[str, Any]) -> dict[str, Any]:
    """As much of a run's report as the picture needs."""
    return {
        "test_accuracy_interval": Interval(**found["interval"]),
        "at_end": {"sparsity": found["curves"]["sparsity"][-1]},
    }


BENCHMARK = Benchmark(
    "What does a network lose with most of its weights, and does it matter how?",
    studies,
    pictures,
)
