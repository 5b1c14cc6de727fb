import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
from neat_optax.experiments.benchmarks.pinn import methods, training
from neat_optax.experiments.benchmarks.pinn.equations import KOVASZNAY

SIZES = training.Sizes(width=4, hidden=1, inside=6, outside=4, steps=12, pieces=3)
RATES = (0.01, 0.03)


@pytest.fixture(scope="module")
def run():
    return training.make_run(KOVASZNAY, SIZES)


def test_points_are_drawn_anew_for_each_step_seed_and_piece(run):
    first, again = (training.points_of(run, 2, 0)["residual"] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2, 4, 6, 2)
    later = training.points_of(run, 1, 1)["residual"]
    assert len({x.tobytes() for x in (*first[0], *first[1], *later[0])}) == 12
    np.testing.assert_array_equal(
        training.points_of(run, 1, 0)["residual"][0], first[0]
    )


@pytest.mark.slow
def test_training_goes_on_as_if_it_had_not_stopped(run):
    trainer = training.make_trainer(run, methods.AGGREGATORS["relobralo"], RATES, 2)
    with running.quickly():
        replicas, rows = trainer.init(), []
        for piece in range(3):
            kept = jax.tree.map(jnp.copy, replicas)  # an epoch takes its own
            replicas, row = trainer.epoch(replicas, piece)
            rows.append(row)
        resumed, row = trainer.epoch(kept, 2)
        scores = trainer.scores(replicas.params, run.reference.test)
    for one, other in zip(*map(jax.tree.leaves, (resumed, replicas)), strict=True):
        assert (one == other).all()
    assert row["loss"].shape == (4,) and scores["relative_l2"].shape == (4,)
    like = jax.tree.map(lambda x: (x.shape, x.dtype), trainer.like())
    assert like == jax.tree.map(lambda x: (x.shape, x.dtype), replicas)


@pytest.mark.slow
def test_rates_of_a_seed_begin_alike_and_seeds_differ(run):
    trainer = training.make_trainer(run, methods.AGGREGATORS["sum"], RATES, 2)
    with running.quickly():
        params = np.asarray(trainer.init().params)
        _, row = trainer.epoch(trainer.init(), 0)
    np.testing.assert_array_equal(params[:2], params[2:])
    assert (params[0] != params[1]).any()
    assert len(set(np.asarray(row["validation_error"]).tolist())) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sum", "muon", "upgrad-in-adam"])
def test_a_plain_step_is_that_of_training(run, name):
    method = methods.OPTIMIZERS[name]
    plain = training.plain_step(run, method)

    def both(params, state, batch):
        watched = training.optimizer_of(run, method, 0, method.rates[0])
        replica = training.Replicas(params, watched.init(params))
        replica, _ = training.step_of(run, watched)(replica, batch)
        replica, _ = training.step_of(run, watched)(replica, batch)
        params, state = plain.fn(params, state, batch)
        return plain.fn(params, state, batch)[0], replica.params

    one, other = running.quick_jit(both)(*plain.args)
    assert np.abs(one - plain.args[0]).max() > 1e-4
    np.testing.assert_allclose(one, other, atol=1e-4)
