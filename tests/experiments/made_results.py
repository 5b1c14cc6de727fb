"""Results such as a run has, small enough to be read."""

import numpy as np

from neat_optax.experiments.reports import layouts
from neat_optax.experiments.reports.statistics import Interval


def make_result():
    def one(low):
        return {
            "learning_rate": 0.2,
            "learning_rates_tried": [0.2],
            "test_accuracy": [0.89, 0.91],
            "test_accuracy_interval": Interval(0.9, low, 1.8 - low),
            "mean_over_run": {"opposed": 0.25, "correction_ratio": 0.01},
            "curves": {
                key: np.full((3, 2), 0.5).tolist()
                for key, _ in layouts.OPTIMIZERS.curves
            },
        }

    difference = {"interval": Interval(0.0123, 0, 1), "verdict": "it is what it is."}
    return {
        "config": {
            "dataset": "digits",
            "players": None,
            "seeds": 2,
            "epochs": 3,
            "learning_rate": None,
        },
        "optimizers": {"neat": one(0.89), "control": one(float("nan"))},
        "differences": {"neat": {"control": difference}},
    }


def make_player_result():
    def one(turn):
        return {
            "learning_rate": 0.0009,
            "learning_rates_tried": [0.0009],
            "test_accuracy": [0.79, 0.81],
            "test_accuracy_interval": Interval(0.8, 0.78, 0.82),
            "test_macro_f1_interval": Interval(0.374, 0.3, 0.4),
            "mean_over_run": {
                "conflicting_pairs": 0.465,
                "opposed": 1.0,
                "worst_cosine": -0.15,
                "correction_ratio": turn,
            },
            "curves": {
                key: np.full((3, 2), 0.5).tolist()
                for key, _ in layouts.AGGREGATORS.curves
            },
        }

    result = make_result()
    result["config"] |= {"dataset": "yeast", "players": "tasks"}
    del result["optimizers"]
    return result | {
        "aggregators": {
            "upgrad": one(0.22),
            "aligned-mtl": one(1.25),
            "mean": one(0.0),
        },
        "differences": {"upgrad": {"mean": result["differences"]["neat"]["control"]}},
    }


def make_pruning_result():
    def one(sparsity, accuracy):
        return {
            "learning_rate": 0.003,
            "learning_rates_tried": [0.003],
            "mean_over_run": {},
            "test_accuracy": [accuracy, accuracy],
            "test_accuracy_interval": Interval(
                accuracy, accuracy - 0.01, accuracy + 0.01
            ),
            "at_end": {"sparsity": sparsity, "nonzeros": 17226 * (1 - sparsity)},
            "curves": {
                key: np.full((3, 2), 0.5).tolist() for key, _ in layouts.PRUNINGS.curves
            },
        }

    result = make_result()
    rules = {"allocate": "uniform", "score": "magnitude", "granularity": "entries"}
    result["config"] |= {"prune": ["cubic", "2:4"], **rules}
    del result["optimizers"]
    return result | {
        "prunings": {
            "dense": one(0.0, 0.98),
            "cubic:0.98": one(0.9801, 0.77),
            "cubic:0.5": one(0.5, 0.975),
            "2:4": one(0.5, 0.97),
        },
        "differences": {
            "cubic:0.5": {"dense": result["differences"]["neat"]["control"]}
        },
    }


def make_stream_result():
    def one(late):
        return {
            "learning_rate": 0.003,
            "learning_rates_tried": [0.003],
            "test_accuracy": [0.93, 0.95],
            "test_accuracy_interval": Interval(0.94, 0.93, 0.95),
            "late_minus_early": Interval(late, late - 0.01, late + 0.01),
            "mean_over_run": {"plasticity": 0.8},
            "at_end": {"dormant": 0.19, "weight_norm": 33.6},
            "curves": {
                key: np.full((3, 2), 0.5).tolist() for key, _ in layouts.STREAM.curves
            },
        }

    result = make_result()
    result["config"] |= {"stream": "permuted:3"}
    difference = result["differences"]["neat"]["control"]
    return result | {
        "optimizers": {"l2-to-init": one(0.0), "adam": one(-0.051)},
        "differences": {"l2-to-init": {"adam": difference}},
    }
