"""Self-normalized resets."""

import jax
import numpy as np
import optax
import pytest

import layer_chains as chains
import neat_optax as neo
import running
import unit_reset_goldens as goldens

UNITS = 6
PARAMS = chains.dense_params(sizes=(3, UNITS, UNITS, 2))
LAYERS = chains.LAYERS


def play(tx, activity):
    """For each step the records, and which biases were set to zero."""

    def step(state, seen):
        still = jax.tree.map(np.zeros_like, PARAMS)
        updates, state = tx.update(still, state, PARAMS, unit_activity=seen)
        resets = {name: updates[name]["bias"] != 0 for name in LAYERS[:-1]}
        return state, (state.records, resets)

    run = running.quick_jit(lambda seen: jax.lax.scan(step, tx.init(PARAMS), seen)[1])
    return jax.device_get(run(activity))


def test_resets_and_thresholds_are_those_of_the_authors_program():
    stored = goldens.stored()["silence"]
    activity = {
        name: goldens.bits(stored[name]["fires"], UNITS).astype(np.float32)
        for name in LAYERS[:-1]
    }
    tx = neo.continual.self_normalized_resets(
        optax.sgd(0.1), LAYERS, quantile=0.9, every=40, longest=20
    )
    records, resets = play(tx, activity)
    for record, name in zip(records, LAYERS[:-1], strict=True):
        expected = goldens.bits(stored[name]["resets"], UNITS)
        np.testing.assert_array_equal(resets[name], expected)
        assert 40 < expected.sum() < 80
        thresholds = record.threshold[39::40].tolist()
        assert thresholds == stored[name]["thresholds"]


@pytest.mark.slow
def test_activities_that_are_not_finite_leave_a_layer_alone():
    rng = np.random.default_rng(0)
    activity = {n: (rng.random((12, UNITS)) < 0.4).astype("f4") for n in LAYERS[:-1]}
    gap = {name: np.insert(a, 5, 1, axis=0) for name, a in activity.items()}
    gap["first"][5, 2] = np.nan
    tx = neo.continual.self_normalized_resets(
        optax.sgd(0.1), LAYERS, every=100, longest=3
    )
    (expected, _), _ = play(tx, activity)
    (found, other), resets = play(tx, gap)
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(np.delete(one, 5, axis=0), two)
    assert not np.any(resets["first"][5])
    assert np.all(other.run[5] == 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(quantile=1.5), r"^`quantile` must be in \[0, 1\], got 1\.5\.$"),
        (dict(expansion=0.5), r"^`expansion` must be in \[1, inf\), got 0\.5\.$"),
        (dict(longest=0), r"^`longest` must be an integer >= 1, got 0\.$"),
        (dict(every=0), r"^`every` must be an integer >= 1, got 0\.$"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        neo.continual.self_normalized_resets(optax.sgd(0.1), LAYERS, **options)
