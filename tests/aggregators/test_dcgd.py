import json
import pathlib

import numpy as np
import pytest
from hypothesis import given

import aggregator_goldens as goldens
import running
import samplers
import stepping
import weight_rules
from neat_optax import aggregators
from neat_optax.aggregators._dcgd import VARIANTS
from oracle import aggregators as oracle
from oracle import quadratic

DATA = pathlib.Path(__file__).parents[1] / "data" / "gradient_methods.json"
RECORDED = json.loads(DATA.read_text())["dcgd"]["cases"]


SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS[:2]]
"""They compile a quadratic program."""


@pytest.mark.parametrize("variant", [*SLOWER, "center"])
def test_recorded(variant):
    """The sum harms nobody in two of the cases, the first player in one."""
    for case in RECORDED:
        j = np.array(case["gradients"])
        with running.quickly():
            found = weight_rules.update("dcgd", j, variant=variant)
        assert goldens.error(found, case[variant], j) < 1e-5


def of_many(j, variant):
    """What is said of more than two players, on the gradients."""
    total = j.sum(axis=0)
    if variant == "projection":
        return quadratic.project_on_cone(total, j)
    if variant == "average":
        return total if np.all(j @ total >= 0) else oracle.upgrad(j)
    c = np.linalg.pinv(j / np.linalg.norm(j, axis=1, keepdims=True)) @ np.ones(len(j))
    return (total @ c) / (c @ c) * c


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@given(j=samplers.improvable(shapes=[(3, 10), (5, 20)], decades=2.0))
def test_more_players_than_two(variant, j):
    update = weight_rules.update("dcgd", j, variant=variant)
    if variant == "center" and weight_rules.condition(j) > 1e3:
        return
    assert goldens.error(update, of_many(j, variant), j) < 1e-3
    lengths = np.linalg.norm(j, axis=1) * np.linalg.norm(update)
    assert np.min(j @ update / lengths) >= -1e-4


@pytest.mark.slow
def test_opposed_and_zero_gradients():
    opposed, alone = np.array([[2.0, 0.0], [-3.0, 0.0]]), np.diag([2.0, 0.0])
    for variant in VARIANTS:
        found = weight_rules.update("dcgd", opposed, variant=variant)
        np.testing.assert_allclose(found, 0, atol=1e-6)
        found = weight_rules.update("dcgd", alone, variant=variant)
        np.testing.assert_allclose(found, [2.0, 0.0], rtol=1e-6)


@pytest.mark.slow
def test_players_that_nearly_cancel_are_measured_again():
    """At an angle of 3e-4, which the Gramian rounds to nothing."""
    angle = 3e-4
    j = np.array([[1.0, 0.0], [-np.cos(angle), np.sin(angle)]]) * [[2.0], [1.0]]
    tx = aggregators.dcgd("projection")
    update, _ = stepping.step(tx, j, preference=np.array([1.0, 5.0]))
    np.testing.assert_allclose(update, [2 * angle**2, 2 * angle], rtol=0.05, atol=1e-6)


@pytest.mark.slow
def test_absent_players():
    for variant in VARIANTS:
        stepping.check_absent_players(aggregators.dcgd(variant))


def test_errors():
    with pytest.raises(ValueError, match="`variant` must be one of projection, "):
        aggregators.dcgd("proj")
