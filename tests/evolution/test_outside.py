"""Fitness from plain Python."""

import concurrent.futures
import re
import threading
import time

import numpy as np
import pytest

from neat_optax import evolution as evo
from neat_optax.evolution import _asking, _loading, _outside
from search_runs import NEARBY

PARAMS = {"w": np.ones(3, np.float32)}
STACKED = {"w": np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)}


def fitness(params):
    return float(params["w"].sum())


def run(evaluate, **options):
    """Of given weights: around others they would be drawn first."""
    options = {"generations": 4, "population_size": STACKED, **options}
    return evo.search(0, PARAMS, evaluate, NEARBY, **options)


def score(evaluator, known=None):
    """The scores of one generation, and what was raised."""
    state = _asking.start(NEARBY, 1, 0, STACKED)
    return _outside.scores_outside(
        evaluator, _loading.TREE, state, state.key, (), (), known
    )


def test_python_is_called_only_for_those_without_a_fitness():
    seen = []

    def evaluate(params):
        assert isinstance(params["w"], np.ndarray)
        seen.append(params["w"])
        return float(params["w"].sum())

    found = run(evo.outside_jax(evaluate))
    assert len(seen) == 10 + 3 * 8 == found.history["evaluations"][-1]


def test_an_executor_scores_side_by_side():
    def evaluate(params):
        time.sleep(0.01 * float(params["w"][0] > 1))  # who comes first ends last
        return float(params["w"].sum())

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = run(evo.outside_jax(evaluate, executor=pool))
    alone = run(evo.outside_jax(evaluate))
    np.testing.assert_array_equal(found.history["mean"], alone.history["mean"])


def test_an_error_names_the_individual():
    calls = []

    def evaluate(params):
        calls.append(1)
        if len(calls) == 13:  # ten, then two elites that are not scored
            raise KeyError("lost")
        return float(params["w"].sum())

    with pytest.raises(
        RuntimeError, match="score individual 4 of generation 1, got Key"
    ):
        run(evo.outside_jax(evaluate))


def test_an_error_side_by_side_names_the_first_and_keeps_the_others():
    """Those that have begun end, and no others begin."""
    seen, both = [], threading.Barrier(2)

    def evaluate(params):
        number = int(np.flatnonzero((STACKED["w"] == params["w"]).all(axis=1))[0])
        seen.append(number)
        if number < 4:
            both.wait(timeout=10)  # 0 and 1, then 2 and 3
        if number not in (0, 1, 3):
            time.sleep(0.05)  # 3 is the first to raise
        if number in (2, 3):
            raise OSError(f"port {number}")
        return float(number)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        scores, raised = score(evo.outside_jax(evaluate, executor=pool))
    assert re.search("individual 2 of generation 0, got OSError: port 2", str(raised))
    assert isinstance(raised.__cause__, OSError)
    assert len(seen) < 10
    assert scores[:2].tolist() == [0, 1]
    others = [number for number in seen if number not in (2, 3)]
    assert np.flatnonzero(~np.isnan(scores)).tolist() == sorted(others)


class Full(concurrent.futures.Executor):
    """Takes three calls and no more."""

    def __init__(self, error):
        self.left, self.error = 3, error

    def submit(self, function, /, *args, **kwargs):
        if not self.left:
            raise self.error
        self.left -= 1
        future = concurrent.futures.Future()
        future.set_result(function(*args, **kwargs))
        return future


@pytest.mark.parametrize("error", [RuntimeError("gone"), KeyboardInterrupt()])
def test_what_an_executor_has_scored_is_kept(error):
    pool = Full(error)
    scores, raised = score(evo.outside_jax(lambda p: 1.0, executor=pool))  # noqa: ARG005
    assert np.nan_to_num(scores).tolist() == [1, 1, 1, *[0] * 7]
    assert raised is error or re.search("individual 3 of .* RuntimeError", str(raised))


def test_known_scores_are_not_asked_for_again():
    known = np.float32([np.nan, 7, np.nan, *[3] * 7])
    evaluate = evo.outside_jax(lambda p: float(p["w"].sum()))
    scores, _ = score(evaluate, known.copy())
    asked = np.isnan(known)
    np.testing.assert_array_equal(scores[~asked], known[~asked])
    sums = STACKED["w"].sum(axis=1)
    np.testing.assert_allclose(scores[asked], sums[asked], rtol=1e-6)


def test_bad_input():
    with pytest.raises(ValueError, match="`executor` must be of type Executor"):
        evo.outside_jax(fitness, executor=map)


@pytest.mark.parametrize("value", [None, [1.0, 2.0], 1j, "high"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(
        ValueError, match=r"one real number, got .* for individual 0 of gen"
    ):
        run(evo.outside_jax(lambda params: value))  # noqa: ARG005


def test_nan_from_python_is_a_failure():
    found = run(evo.outside_jax(lambda p: np.nan if p["w"][0] > 0 else 1.0))
    assert found.history["failed"][0] > 0
    assert found.best_fitness == 1.0
