"""Carrying out a study: every method trained, selected, tested once, and kept.

What a method has come to is written when it is there, so that a study that was stopped
goes on with the next, and one to which a method is added trains that one only.
"""

import math
import pathlib
from typing import Any

import jax
import numpy as np

from neat_optax import _timing
from neat_optax._damage import read_json
from neat_optax.experiments.benchmarks import comparing
from neat_optax.experiments.benchmarks.study import Score, Study
from neat_optax.experiments.reports.statistics import interval
from neat_optax.experiments.runs.checkpoints import OPTION
from neat_optax.experiments.runs.experiment import Tick, train_candidate
from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.loop import Trainer
from neat_optax.experiments.runs.provenance import environment
from neat_optax.experiments.runs.reading import RESULT
from neat_optax.experiments.runs.selection import Rows, Trained, at_rate
from neat_optax.experiments.runs.writing import folder_name, plain

POINTS = 50
"""Of a curve that is kept, at most."""
COSTS = "costs.json"
METHOD = "method_"
"""How files of methods begin, which may be called as other files are."""
LATE = "late_minus_early"
"""The measure that a score over the run has beside it."""


def carry_out(study: Study, root: pathlib.Path, tick: Tick) -> dict[str, Any]:
    """All methods of a study, compared; what is there already is not done again.

    Args:
      study: what to do.
      root: where its folder is, or is made.
      tick: called after each piece of a method's training.

    Returns:
      What a page is made of: `about`, `score`, `controls`, `methods`, `conclusion`.
    """
    with RunFolder(str(root), study.name, study.options()) as folder:
        outcomes = {name: _outcome(name, study, folder, tick) for name in study.methods}
        spent = _costs(study, folder)
        found = plain({**_described(study), **_compared(study, outcomes, spent)})
        folder.write(RESULT, found)
    return found


def carried_out(study: Study, root: pathlib.Path) -> dict[str, Any] | None:
    """What a study has come to, or None if it is not finished.

    Args:
      study: which.
      root: where its folder is.
    """
    file = root / study.name / RESULT
    return read_json(file, OPTION) if file.exists() else None


def _outcome(name: str, study: Study, folder: RunFolder, tick: Tick) -> dict[str, Any]:
    file = f"{METHOD}{folder_name(name)}.json"
    if not (folder.path / file).exists():
        trainer = study.trainer(name)
        trained = train_candidate(name, trainer, study, folder, tick)
        folder.write(file, plain(_judged(trained, trainer, study)))
        folder.forget(name)
        jax.clear_caches()  # hundreds of methods are compiled in one process
    else:
        tick(name, study.num_epochs)
    return _with_nan(read_json(folder.path / file, OPTION))


def _judged(trained: Trained, trainer: Trainer, study: Study) -> dict[str, Any]:
    """Selects a trial by its mean on validation data, and only then tests it."""
    score, rows = study.score, trained.rows
    judged = rows if score.over_run else rows[-1:]
    validation = np.mean([row[score.validation] for row in judged], axis=0)
    best = _best(validation.mean(axis=1), score)
    kept = {}
    if score.over_run:
        scores = _over_run(rows, validation, best, score)
    else:
        chosen = at_rate(trained.replicas, best, study.seeds)
        served = trainer.served(chosen)
        found = trainer.scores(served, study.held_out)
        scores = np.asarray(found[score.test])
        kept = {key: np.asarray(found[key]).tolist() for key in study.kept}
    curves = {
        key: np.mean([row[key][best] for row in rows], axis=1)
        for key in rows[0]
        if key != "seconds"
    }
    every = max(1, -(-len(rows) // POINTS))
    measures = {key: float(np.mean(x)) for key, x in curves.items()}
    if score.over_run:
        measures[LATE] = _late(curves[score.test])
    return {
        "learning_rate": trained.rates[best],
        "rates": trained.rates,
        "validation": validation.tolist(),
        "scores": scores.tolist(),
        "measures": measures,
        **({"kept": kept} if kept else {}),
        "curves": {key: x[every - 1 :: every].tolist() for key, x in curves.items()},
        "seconds": sum(row["seconds"] for row in rows),
    }


def _over_run(rows: Rows, validation: np.ndarray, best: int, score: Score) -> Any:
    """The mean over the run of each seed, [seeds].

    Where nothing but the score selects, a seed's trial is the one that is best for the
    others, so that no seed is judged by what it chose itself.
    """
    means = np.mean([row[score.test] for row in rows], axis=0)
    if score.validation != score.test:
        return means[best]
    others = [np.delete(validation, i, axis=1) for i in range(means.shape[1])]
    chosen = [_best(x.mean(axis=1), score) for x in others]
    return np.array([means[trial, i] for i, trial in enumerate(chosen)])


def _late(curve: np.ndarray) -> float:
    """The last tenth of a curve less the first."""
    count = -(-len(curve) // 10)
    return float(np.mean(curve[-count:]) - np.mean(curve[:count]))


def _best(validation: np.ndarray, score: Score) -> int:
    """The number of the best trial, of which those that are not finite are none."""
    signed = validation if score.larger_is_better else -validation
    return int(np.argmax(np.where(np.isfinite(signed), signed, -np.inf)))


def _costs(study: Study, folder: RunFolder) -> dict[str, Any]:
    """Time and memory of one step of every method, as multiples of the control's."""
    if study.step is None:
        return {}
    file = folder.path / COSTS
    known = read_json(file, OPTION) if file.exists() else {}
    if set(known) != set(study.methods):
        steps = {name: study.step(name) for name in study.methods}
        found = _timing.costs(steps)
        base = found[study.controls[0]]
        known = {
            name: {
                "time": cost.times(base),
                "memory": cost.bytes / max(base.bytes, 1),
                "milliseconds": 1e3 * cost.median,
            }
            for name, cost in found.items()
        }
        folder.write(COSTS, known)
    return known


def _described(study: Study) -> dict[str, Any]:
    return {
        "about": study.about,
        "notes": study.notes,
        "score": study.score._asdict(),
        "controls": list(study.controls),
        "options": study.options(),
        "shown": dict(study.measures),
        "environment": environment(),
    }


def _compared(
    study: Study, outcomes: dict[str, dict[str, Any]], spent: dict[str, Any]
) -> dict[str, Any]:
    control, score = study.controls[0], study.score
    scores = {name: x["scores"] for name, x in outcomes.items()}
    against = comparing.compare(scores, control, score)
    for name, outcome in outcomes.items():
        outcome["mean"] = float(np.mean(outcome["scores"]))
        outcome["interval"] = interval(outcome["scores"])
        outcome["cost"] = spent.get(name)
        held = against.get(name)
        outcome["difference"] = held and held.difference
        outcome["verdict"] = held.verdict if held else None
    conclusion = comparing.conclude(outcomes, study.controls, score)
    return {"methods": outcomes, "conclusion": conclusion}


def _with_nan(outcome: Any) -> dict[str, Any]:
    """An outcome as it was before null was written for what is not finite."""
    outcome["scores"] = [math.nan if x is None else x for x in outcome["scores"]]
    return outcome
