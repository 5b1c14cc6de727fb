"""Bounds on all individuals."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import properties
from neat_optax import by_path
from neat_optax import evolution as evo
from running import quick_jit


def test_clips_what_where_says_and_forgets_the_fitness_of_the_changed():
    params = {
        "a": np.array([[-3.0, 0.5], [0.25, 0.5]], jnp.bfloat16),
        "b": np.float32([9, 9]),
        "n": np.int32([5, 5]),
    }
    given = evo.Population(params, np.float32([1, 2]))
    step = evo.clip_population(
        -1.0, math.inf, mask=by_path(lambda path, _: path == "a")
    )
    update = quick_jit(step.update)
    clipped, state = update(0, given, step.init(given))
    within = np.array([[-1.0, 0.5], [0.25, 0.5]], jnp.bfloat16)
    properties.assert_trees_equal(clipped.params, {**params, "a": within})
    np.testing.assert_array_equal(clipped.fitness, [np.nan, 2.0])
    again, _ = update(0, clipped, state)
    properties.assert_trees_equal(again, clipped)


def test_elites_within_the_bounds_keep_their_fitness():
    step = evo.chain(
        evo.breeder(evo.truncation(2), mutation=evo.gaussian(9.0, 1.0)),
        evo.clip_population(-1.0, 1.0),
    )
    params = np.linspace(-1, 1, 24, dtype=np.float32).reshape(6, 4)
    given = evo.Population(params, np.arange(6, dtype=np.float32))
    bred, _ = quick_jit(lambda given: step.update(0, given, step.init(given)))(given)
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
