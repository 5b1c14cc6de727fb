"""The studies: aggregators and optimizers on each problem, and parts on one."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from neat_optax.experiments.benchmarks.pinn import methods as known
from neat_optax.experiments.benchmarks.pinn import training
from neat_optax.experiments.benchmarks.pinn.equations import PROBLEMS
from neat_optax.experiments.benchmarks.pinn.methods import Method
from neat_optax.experiments.benchmarks.pinn.training import Run, Sizes
from neat_optax.experiments.benchmarks.study import Probe, Score, Study, Table

SCORE = Score(
    "relative L2 error",
    "relative_l2",
    "validation_error",
    larger_is_better=False,
    as_ratio=True,
)
MEASURES = {
    "conflicting pairs": "conflicting_pairs",
    "worst cosine": "worst_cosine",
    "worst cosine where it acts": "inner_worst_cosine",
    "turn from the mean": "correction_ratio",
}
SEEDS, FULL_SEEDS = 8, 3
SMALL = {
    "burgers": Sizes(steps=4000, pieces=16),
    "schroedinger": Sizes(end=0.5),
    "kovasznay": Sizes(),
    "beltrami": Sizes(inside=100),
    "allen-cahn": Sizes(end=0.3),
}
"""Two equations end earlier: so few steps find nothing of their later solutions."""
FIRST, FIRST_SEEDS = Sizes(steps=2000), 5
_FULL = functools.partial(Sizes, width=50, hidden=5, steps=100_000, pieces=1000)
FULL = {
    "burgers": _FULL(inside=10_000, outside=250, steps=30_000, pieces=300),
    "schroedinger": _FULL(inside=20_000, outside=500),
    "kovasznay": _FULL(inside=20_000, outside=1000),
    "beltrami": _FULL(inside=25_000, outside=5000),
    "allen-cahn": _FULL(inside=8000, outside=400),
}
"""The sizes of the ConFIG paper; of Allen-Cahn those of DeepXDE's example."""
NOTES = (
    "Players are the terms of the loss: residual{players}, on points of their own, so "
    "that no sample is shared, and new ones in each step. A random half of the "
    "reference's points selects the learning rate, the other half tests. All "
    "aggregators but m-config, which is an optimizer itself and here gets all "
    "gradients in every step, stand before Adam."
)
OPTIMIZER_NOTES = (
    " `upgrad-in-NAME` is UPGrad between the gradients in the metric that NAME divides "
    "by: for SOAP and Shampoo in the eigenbases of its factors. `upgrad-before-NAME` "
    "hands NAME what UPGrad makes of the plain gradients."
)


def studies(full: bool, data: str | None) -> list[Study]:
    """All studies, Burgers' equation first.

    Args:
      full: whether in the sizes of the papers.
      data: is not used.
    """
    del data
    sizes, seeds = (FULL, FULL_SEEDS) if full else (SMALL, SEEDS)
    found = []
    for name in PROBLEMS:
        own = functools.partial(study, name, sizes=sizes[name], seeds=seeds)
        costs = full or name == "burgers"
        found += [
            own(known.AGGREGATORS, ("sum", "random", "neat-control"), costs=costs),
            own(
                known.OPTIMIZERS if costs else known.FEW_OPTIMIZERS,
                ("sum", "soap", "muon", "shampoo"),
                suffix="-optimizers",
                costs=costs,
                notes=OPTIMIZER_NOTES,
            ),
        ]
    parts = study(
        "burgers",
        known.PARTS,
        ("sum", "neat-control"),
        sizes=sizes["burgers"],
        seeds=seeds,
        suffix="-parts",
        notes="`-cold` is without the warm-up of the learning rate over the first "
        "hundredth of the steps.",
    )
    return [*found, parts]


def first_look() -> Study:
    """A few methods on Burgers' equation, which take less than a minute."""
    controls = ("sum", "random")
    return study("burgers", known.FIRST, controls, sizes=FIRST, seeds=FIRST_SEEDS)


def study(
    name: str,
    methods: Mapping[str, Method],
    controls: tuple[str, ...],
    *,
    sizes: Sizes,
    seeds: int,
    suffix: str = "",
    costs: bool = False,
    notes: str = "",
) -> Study:
    """Methods on one problem.

    Args:
      name: of the problem, one of `PROBLEMS`.
      methods: by name, the first control first.
      controls: of them, those that stand for doing nothing.
      sizes: of network, points and steps.
      seeds: how many.
      suffix: of the study's name.
      costs: whether time and memory of a step are measured.
      notes: what is said besides.
    """
    problem = PROBLEMS[name]
    run = make_run(name, sizes)
    players = ", ".join(problem.players[1:])
    network = f"a tanh network with {sizes.hidden} layers of {sizes.width}"
    about = problem.about + (f", until {sizes.end}" if sizes.end else "")
    return Study(
        name=name + suffix,
        about=f"{about}: {network}, {sizes.steps} steps",
        methods={method: own.rates for method, own in methods.items()},
        controls=controls,
        trainer=lambda method: training.make_trainer(
            run, methods[method], methods[method].rates, seeds
        ),
        held_out=run.reference.test,
        score=SCORE,
        seeds=seeds,
        num_epochs=sizes.pieces,
        settings=sizes._asdict(),
        measures=MEASURES,
        step=(lambda method: training.plain_step(run, methods[method]))
        if costs
        else None,
        probe=lambda: probe_of(run),
        notes=NOTES.format(players=f", {players}") + notes,
        kept=("mse", "picture"),
    )


@functools.cache
def make_run(name: str, sizes: Sizes) -> Run:
    """The run of a problem, whose reference is computed once."""
    return training.make_run(PROBLEMS[name], sizes)


def probe_of(run: Run, batches: int = 24) -> Probe:
    """Losses of the layers' parameters on several draws of points."""
    terms = training.terms_of(run)

    def losses_fn(params: Any, batch: Any) -> jax.Array:
        return jnp.stack(terms(ravel_pytree(params)[0], batch))

    points = training.points_of(run, 1, 0)
    drawn = [{key: x[0, i] for key, x in points.items()} for i in range(batches)]
    params = run.network.layers(run.network.init(jax.random.key(0)))
    return Probe(losses_fn, params, tuple(drawn), _halves, run.problem.players)


def _halves(batch: Mapping[str, np.ndarray]) -> tuple[Any, Any]:
    """Every second point, and the others."""
    first = {key: x[::2] for key, x in batch.items()}
    return first, {key: x[1::2] for key, x in batch.items()}


def tables(full: bool, results: Mapping[str, Any]) -> list[Table]:
    """Mean squared errors of all methods on all problems.

    Args:
      full: is not used.
      results: of the studies that are finished, by name.
    """
    del full
    wholes = {x: results[x] for x in results if not x.endswith("-parts")}
    problems = tuple(x for x in PROBLEMS if any(y.startswith(x) for y in wholes))
    rows: dict[str, dict[str, str]] = {}
    for name, found in wholes.items():
        for method, row in found["methods"].items():
            errors = [np.nan if x is None else x for x in row["kept"]["mse"]]
            cells = rows.setdefault(method, {})
            cells[name.removesuffix("-optimizers")] = f"{np.mean(errors):.2e}"
    if not rows:
        return []
    return [
        Table(
            "Mean squared error",
            "On the tested half of the reference, mean over seeds.",
            ("method", *problems),
            tuple((x, *(row.get(y, "") for y in problems)) for x, row in rows.items()),
        )
    ]
