"""The smallest model that still scores well, and what it saves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from compaction_models import deaf_to, mlp, normal
from neat_optax.sparsity.compaction._compact import search_compaction
from neat_optax.sparsity.compaction._median_time import latency

X = np.float32([[1.0, 2.0], [-1.0, 0.5]])


def accuracy(model):
    """Falls with every unit that is removed: 4 units score 1."""
    return model.layers[0].out_features / 4


SEARCH = [[[1.0, 2.0, 3.0, 4.0]], [[0.1], [0.2], [0.3], [0.4]]]


def test_search_takes_the_fewest_parameters_that_score_well():
    model, x = mlp(SEARCH), jnp.ones((1, 1))
    found = search_compaction(model, x, [0.35, 0.0, 0.25], accuracy, min_score=0.5)
    assert (found.report.threshold, found.report.units_after) == (0.25, {"layers/0": 2})


@pytest.mark.slow
def test_search_takes_the_smallest_where_all_score_well():
    model, x = mlp(SEARCH), jnp.ones((1, 1))
    found = search_compaction(model, x, [0.15, 0.35], accuracy, min_score=-1.0)
    assert found.report.threshold == 0.35


@pytest.mark.slow
def test_search_returns_the_given_model_when_nothing_smaller_scores_as_well():
    model, x = mlp(SEARCH), jnp.ones((1, 1))
    for thresholds, score in (([0.15, 0.25], accuracy), ([0.0], lambda _: 1.0)):
        found = search_compaction(model, x, thresholds, score)
        assert found.model is model
        assert not found.report.accepted
        assert found.report.parameters_after == found.report.parameters_before
    never = search_compaction(model, x, [0.15], lambda _: np.nan, min_score=0.0)
    assert not never.report.accepted


@pytest.mark.slow
def test_search_scores_the_variables_of_linen():
    layers = [nn.Dense(n, kernel_init=normal) for n in (4, 1)]
    model = nn.Sequential([layers[0], nn.relu, layers[1]])
    variables = model.init(jax.random.key(0), X)
    last = variables["params"]["layers_2"]
    last["kernel"] = deaf_to(last["kernel"], 4, [2, 3])

    def score(model, variables):
        return -jnp.sum(model.apply(variables, X) ** 2)

    found = search_compaction(model, X, [0.0], score, variables=variables)
    assert found.report.units_after == {"layers_0": 2}


def test_search_returns_the_given_model_when_nothing_is_dead():
    model = mlp(SEARCH)
    found = search_compaction(model, np.ones((1, 1), "f4"), [0.0], lambda _: 1.0)
    assert found.model is model
    assert not found.report.accepted


def test_latency_is_a_time():
    calls = []

    def count(x):
        calls.append(x)
        return x + 1

    assert 0 < latency(count, jnp.ones(3), warmup=0, repeats=3) < 10
    assert len(calls) == 1
    with pytest.raises(ValueError, match="`repeats` must be an integer >= 1, got 0"):
        latency(count, 1.0, repeats=0)
