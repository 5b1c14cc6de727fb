import jax
import numpy as np
import pytest

import running
from neat_optax.experiments.benchmarks import toy_objectives
from neat_optax.experiments.benchmarks.toy_running import (
    PIECES,
    Bench,
    pack,
    pieces_of,
    starts_of,
    unpack,
)

SQUARES = toy_objectives.Objective(
    "squares",
    toy_objectives.squares,
    np.zeros((1, 2)),
    np.array([10.0, 10.0]),
    np.array([[3.0, -2.0], [0.0, -3.0]]),
    ((-5.0, 5.0), (1.0, 2.0)),
    False,
    (0.05, 0.5),
    32,
)


def test_places_are_kept_to_a_64th():
    points = np.array([[-8.5, 7.5], [15.99, -16.0], [0.01, 1e9]], np.float32)
    kept = unpack(running.quick_jit(pack)(points))
    np.testing.assert_allclose(kept[:2], points[:2], atol=1 / 64)
    np.testing.assert_allclose(kept[2], [0, 16], atol=1 / 64)


def test_pieces_grow_and_are_the_whole_run():
    for steps in (50, 2500):
        pieces = pieces_of(steps)
        assert len(pieces) == PIECES and pieces.sum() == steps and pieces.min() >= 1
        assert pieces[-1] == pieces.max()


def test_the_first_seed_reports_the_given_starts():
    starts = starts_of(SQUARES, 3)
    np.testing.assert_array_equal(starts[0, 1:], SQUARES.starts)
    assert (abs(starts[1:, 1:] - SQUARES.starts) > 1e-3).all()
    assert ((starts[:, 0, 1] > 1) & (starts[:, 0, 1] < 2)).all()
    assert len(np.unique(starts[:, 0, 0])) == 3


@pytest.mark.slow
def test_the_mean_descends_as_it_does_by_hand():
    """On squares a step of the mean takes a share of each number, the rate."""
    with running.quickly():
        trainer = Bench((SQUARES,), 2).trainer("mean", 0)
        replicas = trainer.init()
        for piece in range(PIECES):
            replicas, row = trainer.epoch(replicas, piece)
        scores = trainer.scores(replicas.params, None)
    starts = np.tile(starts_of(SQUARES, 2), (2, 1, 1))
    shrunk = np.array([0.95, 0.95, 0.5, 0.5])[:, None, None] ** 32
    np.testing.assert_allclose(replicas.params, starts * shrunk, rtol=1e-3, atol=1e-7)
    far = np.linalg.norm((starts * shrunk) ** 2 / 10, axis=-1)
    np.testing.assert_allclose(
        row["validation_distance"], far[:, 0], rtol=1e-2, atol=1e-12
    )
    ended = far[:, 1:].mean(axis=1)
    np.testing.assert_allclose(scores["distance"], np.maximum(ended, 0.02), rtol=1e-3)
    assert (np.asarray(row["test_conflict"]) == 0).all()
    path = unpack(row["test_path_1"])
    np.testing.assert_allclose(path[0], replicas.params[0, 1], atol=1 / 64)
    np.testing.assert_array_equal(path[0], path[1])  # that of the first seed


@pytest.mark.slow
def test_what_is_compiled_serves_all_problems():
    """Also by another optimizer, and where JAX has forgotten what it compiled."""
    other = SQUARES._replace(losses=toy_objectives.bowls, by_adam=True)
    with running.quickly():
        bench = Bench((SQUARES, other), 2)
        first = bench.trainer("pcgrad", 0)
        first.epoch(first.init(), 0)
        jax.clear_caches()
        second = bench.trainer("pcgrad", 1)
        begun = second.init()
        replicas, _ = second.epoch(begun, 0)
        assert len(bench._runs) == 1
        again = Bench((other,), 2).trainer("pcgrad", 0)
        alone, _ = again.epoch(again.init(), 0)
    np.testing.assert_allclose(replicas.params, alone.params, rtol=1e-5)
    # The first step of Adam is as long as its rate.
    moved = abs(np.asarray(replicas.params - begun.params))
    np.testing.assert_allclose(moved[0].max(), 0.05, rtol=0.1)
