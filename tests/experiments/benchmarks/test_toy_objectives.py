import functools
import math

import jax
import numpy as np
import pytest

import running
from neat_optax.experiments.benchmarks import toy_objectives as toy

BENT = toy.Objective(
    "a front with a corner",
    toy.squares,
    np.array([[0.0, 2.0], [0.0, 0.0], [4.0, 0.0]]),
    np.array([2.0, 1.0]),
    np.zeros((1, 2)),
    ((0.0, 1.0), (0.0, 1.0)),
    False,
    (0.1,),
    1,
)


@functools.cache
def measured():
    """Distance and place of a few losses, on the front with a corner."""
    points = np.array([[0, 2], [4, 0], [1, 1], [6, 0], [2, 3]], np.float32)
    jitted = running.quick_jit(lambda x: toy.measure(x, BENT))
    return [tuple(map(float, jitted(point))) for point in points]


def test_distances_are_in_units_and_places_along_the_front():
    at_first, at_second, inside, beyond, far = measured()
    assert at_first == (0, 0)
    assert at_second == (0, 1)
    # In units the front is 2 long down and 2 long across.
    np.testing.assert_allclose(inside, (0.5, 0.25))
    np.testing.assert_allclose(beyond, (1, 1))
    np.testing.assert_allclose(far, (math.sqrt(2), 0), atol=1e-6)


def test_gradients_that_cancel_in_some_mean_are_stationary():
    of = running.quick_jit(toy.stationarity)
    for gradients, short in (
        ([[1.0, 0.0], [-3.0, 0.0]], 0.0),
        ([[1.0, 0.0], [0.0, 1.0]], math.sqrt(0.5)),
        ([[1.0, 0.0], [4.0, 0.0]], 0.25),  # no mean is shorter than the shorter one
        ([[0.0, 0.0], [4.0, 0.0]], 0.0),
    ):
        found = of(np.array(gradients, np.float32))
        np.testing.assert_allclose(found, short, atol=1e-6)


def test_the_valley_has_the_losses_of_its_authors():
    """By hand, at a point above, where only the logarithms count, and one below."""
    both = running.quick_jit(toy.valley_losses)
    above = math.tanh(1.0)
    first = (math.log(3.5 - math.tanh(2.0)) + 6) * above
    second = (math.log(3.5 - math.tanh(2.0)) + 6) * above
    np.testing.assert_allclose(
        both(np.array([0, 2], np.float32)), [0.1 * first, second], rtol=1e-5
    )
    below = math.tanh(4.0)
    np.testing.assert_allclose(
        both(np.array([7, -8], np.float32)), [-2 * below, -0.4 * below], rtol=1e-5
    )


@pytest.mark.slow
def test_no_point_is_better_than_the_front_in_both_losses():
    for name, problem in toy.objectives(False).items():
        axes = [np.linspace(low, high, 60) for low, high in problem.box]
        points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2).astype(np.float32)
        values = np.asarray(running.quick_jit(jax.vmap(problem.losses))(points))
        slack = 1e-3 * problem.unit
        better = (values[:, None] < problem.front - slack).all(axis=-1)
        assert not better.any(), name


@pytest.mark.slow
def test_fronts_go_from_the_least_of_one_loss_to_that_of_the_other():
    for name, problem in toy.objectives(False).items():
        if name != "squares":
            assert (np.diff(problem.front[:, 0]) > 0).all(), name
            assert (np.diff(problem.front[:, 1]) < 0).all(), name


def test_the_bowls_are_least_at_their_centers():
    front = toy.bowls_front()
    np.testing.assert_allclose(front[0, 0], 0, atol=1e-6)
    np.testing.assert_allclose(front[-1, 1], 0, atol=1e-6)
    # A = R diag(1, .01) R^T, and the other center is 2 to the left.
    cos, sin = math.cos(math.pi / 16), math.sin(math.pi / 16)
    np.testing.assert_allclose(front[-1, 0], 4 * (cos**2 + 0.01 * sin**2), rtol=1e-4)
