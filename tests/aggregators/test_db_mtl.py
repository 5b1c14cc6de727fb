import jax
import numpy as np
import pytest

import stepping
from neat_optax.aggregators._db_mtl import db_mtl, db_mtl_weights
from stepping import LOSSES, gradients

TX = db_mtl(num_players=3)


def test_weights_by_hand():
    weights = stepping.call(db_mtl_weights, np.diag([1.0, 4.0, 0.0]))
    np.testing.assert_allclose(weights, [2.0, 1.0, 0.0])


def test_run_agrees_with_the_formulas():
    rng = np.random.default_rng(0)
    tx, average = db_mtl(0.7, num_players=3), 0.0
    state = stepping.start(tx, np.zeros((3, 5)))
    for t in range(4):
        j, losses = rng.normal(size=(3, 5)), rng.uniform(0.1, 2.0, size=3)
        update, state = stepping.step(tx, j, state, losses=losses)
        average = 0.7 * average + 0.3 * j / losses[:, None]
        rows = average / (1 - 0.7 ** (t + 1))
        lengths = np.linalg.norm(rows, axis=1)
        expected = (lengths.max() / lengths) @ rows
        np.testing.assert_allclose(update, expected, rtol=1e-4, atol=1e-5)


def test_absent_players():
    stepping.check_absent_players(TX, losses=LOSSES)


def test_units_of_losses_do_not_matter():
    g, units = gradients(0), np.array([1e-3, 1.0, 1e6])
    scaled = jax.tree.map(lambda x: x * units.reshape(-1, *[1] * (x.ndim - 1)), g)
    first, _ = stepping.step(TX, g, losses=LOSSES)
    second, _ = stepping.step(TX, scaled, losses=LOSSES * units)
    np.testing.assert_allclose(first["w"], second["w"], rtol=1e-4)


def test_losses_without_a_logarithm():
    g = gradients(0)
    zero, _ = stepping.step(TX, g, losses=np.array([1.0, 0.0, 2.0]))
    absent, _ = stepping.step(TX, g, losses=np.array([1.0, np.inf, 2.0]))
    np.testing.assert_allclose(zero["w"], absent["w"], rtol=1e-5)


def test_without_losses_or_memory_rows_get_one_length():
    updates, _ = stepping.play(db_mtl(0.0, num_players=3), [gradients(1), gradients(0)])
    update = updates[-1]
    rows = np.concatenate([x.reshape(3, -1) for x in gradients(0).values()], axis=1)
    lengths = np.linalg.norm(rows, axis=1)
    expected = (lengths.max() / lengths) @ rows
    flat = np.concatenate([np.ravel(x) for x in (update["w"], update["b"])])
    np.testing.assert_allclose(flat, expected, rtol=1e-5, atol=1e-5)


def test_errors():
    with pytest.raises(ValueError, match=r"`decay` must be in \[0, 1\), got 1.0\."):
        db_mtl(1.0, num_players=2)
    with pytest.raises(ValueError, match=r"`losses` must have one entry for each of"):
        stepping.step(TX, gradients(0), losses=np.ones(2))
