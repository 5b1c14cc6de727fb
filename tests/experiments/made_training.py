"""Training that takes no time: numbers that follow from epoch, seed and rate."""

import numpy as np

from neat_optax.experiments.runs import experiment
from neat_optax.experiments.runs.loop import Replicas, Trainer

SHARES = (
    "conflict",
    "opposed",
    "correction_ratio",
    "update_alignment",
    "conflicting_pairs",
    "worst_cosine",
    "plasticity",
    "plasticity_std",
    "modulation_share",
    "sparsity",
    "dormant",
    "weight_norm",
)


def make_trainer(*_, seeds, rates, view=None, **__):
    """In the place of `loop.make_trainer`; an epoch's numbers depend on all before."""
    seed = np.tile(np.arange(seeds), len(rates))
    rate = np.repeat(np.float32(rates), seeds)

    def init():
        start = np.zeros(len(seed), np.float32)
        return Replicas({"weight": start}, {"steps": np.zeros(len(seed), np.int32)})

    def epoch(replicas, number):
        weight = np.asarray(replicas.params["weight"])
        weight = 0.5 * weight + rate / np.float32(2 + seed + number)
        score = weight / (1 + weight)
        row = {"loss": 1 - score, "validation_accuracy": score}
        row |= {name: score / (2 + i) for i, name in enumerate(SHARES)}
        row["nonzeros"] = np.full_like(score, 100)
        if view is not None:
            row["test_accuracy"] = score / 2
        steps = np.asarray(replicas.opt_state["steps"]) + 1
        return Replicas({"weight": weight}, {"steps": steps}), row

    def scores(params, split):
        weight = np.asarray(params["weight"])
        return {"accuracy": weight / (1 + weight) / len(split.y)}

    return Trainer(init, init, epoch, scores)


def install(patch):
    """Makes runs train so.

    Args:
      patch: of pytest, which takes it back.
    """
    patch.setattr(experiment, "make_trainer", make_trainer)
