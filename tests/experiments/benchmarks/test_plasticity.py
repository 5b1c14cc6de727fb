import jax
import numpy as np
import pytest

from neat_optax.experiments.benchmarks import plasticity, plasticity_tuning


@pytest.mark.slow
def test_small_parts_take_as_many_steps():
    made = [plasticity.on_digits(fraction, 5) for fraction in plasticity.FRACTIONS]
    steps = [study.num_epochs * (int(study.about.split()[0]) // 32) for study in made]
    assert max(steps) < 1.2 * min(steps)
    assert all(study.controls == plasticity.CONTROLS for study in made)


def test_weights_of_signals_sum_to_one():
    found = plasticity.weights("memory")
    assert found == {
        "activity_weight": 0.5,
        "gradient_weight": 0.5,
        "memory_weight": 0.0,
    }
    assert sum(plasticity.weights("activity").values()) == pytest.approx(1)


@pytest.mark.slow
def test_every_variant_takes_a_step():
    for study in (plasticity.ablation(5), plasticity_tuning.study(5)):
        for name in study.methods:
            trainer = study.trainer(name)
            replicas, _ = jax.eval_shape(trainer.epoch, trainer.like(), 0)
            assert jax.tree.structure(replicas) == jax.tree.structure(trainer.like())


def test_trials_are_as_many_and_reach_as_far():
    assert len(plasticity_tuning.ALONE) == len(plasticity_tuning.GRID) == 36
    rates = plasticity_tuning.GRID[:, 0]
    reach = rates.min(), rates.max()
    np.testing.assert_allclose(plasticity_tuning.ALONE[[0, -1]], reach, rtol=1e-6)


def test_the_table_shows_the_selected_trial():
    row = {"mean": 0.9, "scores": [0.89, 0.9, 0.91], "learning_rate": 35.0}
    methods = dict.fromkeys(("gradient alone", "off", "full"), row)
    second = {name: [0.7, 0.8, 0.9] for name in methods}
    table = plasticity_tuning.table(methods, second)
    rows = {x[0]: x for x in table.rows}
    assert rows["full"][:4] == (
        "full",
        "97.46",
        "rate 3, warm-up 2, strength 2",
        "90.00",
    )
    assert rows["off"][2] == "rate 3"
    assert rows["full"][5] == "80.00"
    assert {len(x) for x in table.rows} == {len(table.head)}
