"""Bounds on all individuals."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import properties
from neat_optax import by_path
from neat_optax import evolution as evo


def test_clips_what_where_says_and_forgets_the_fitness_of_the_changed():
    params = {
        "a": jnp.array([[-3.0, 0.5], [0.25, 0.5]], jnp.bfloat16),
        "b": jnp.array([9.0, 9.0]),
        "n": jnp.array([5, 5]),
    }
    given = evo.Population(params, jnp.array([1.0, 2.0]))
    step = evo.clip_population(
        -1.0, math.inf, mask=by_path(lambda path, _: path == "a")
    )
    clipped, state = step.update(0, given, step.init(given))
    expected = {**params, "a": params["a"].at[0, 0].set(-1.0)}
    properties.assert_trees_equal(clipped.params, expected)
    np.testing.assert_array_equal(clipped.fitness, [np.nan, 2.0])
    again, _ = step.update(0, clipped, state)
    properties.assert_trees_equal(again, clipped)


def test_elites_within_the_bounds_keep_their_fitness():
    step = evo.chain(
        evo.breeder(evo.truncation(2), mutation=evo.gaussian(9.0, 1.0)),
        evo.clip_population(-1.0, 1.0),
    )
    given = evo.Population(jnp.linspace(-1, 1, 24).reshape(6, 4), jnp.arange(6.0))
    bred, _ = step.update(0, given, step.init(given))
    assert bred.fitness[:2].tolist() == [5.0, 4.0]
    assert np.max(np.abs(bred.params)) == 1


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ((1.0, -1.0), r"^`low, high` must be \(minimum, maximum\) in order, got"),
        ((math.nan, 1.0), r"^`low, high` must be in \[-inf, inf\], got nan\.$"),
    ],
)
def test_bad_input(bounds, message):
    with pytest.raises(ValueError, match=message):
        evo.clip_population(*bounds)
