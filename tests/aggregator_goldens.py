"""Recorded answers of aggregators to named matrices, in float64.

- `exact`: solved without regularization, by other routes than the oracle's.
- `aggregators`, `random_aggregators`, `sequences`, `scalarizers`: answers of TorchJD
  0.18.0 and conflictfree 0.1.8; `meta` lists the versions.
- `gramians`: realistic inner products, with exact inner products of the answers.
- `orders`: the orders that torch drew for PCGrad and GradVac, by players and seed.
"""

import json
import pathlib

import numpy as np

_FILE = pathlib.Path(__file__).parent / "data" / "aggregators.json"

DATA = json.loads(_FILE.read_text())
MATRICES = {m["name"]: np.array(m["data"], float) for m in DATA["matrices"]}


def preference(j):
    """The preference of all recordings with one."""
    weights = np.arange(1.0, len(j) + 1)
    return weights / weights.sum()


def cases(kind, name):
    """Recorded vectors by matrix; None where nothing came back."""
    recorded = DATA[kind][name]["cases"]
    return {
        matrix: np.array(case["vector"], float) if "vector" in case else None
        for matrix, case in recorded.items()
    }


def error(actual, expected, j):
    """Distance in units of the answer.

    The unit is never below 1e-6 of the longest row, and is that row for an answer of 0.
    """
    longest, length = np.linalg.norm(j, axis=1).max(), np.linalg.norm(expected)
    unit = max(length, 1e-6 * longest) if length > 0 else longest
    return np.linalg.norm(np.asarray(actual) - expected) / unit
