"""What a search found."""

import numpy as np
import pytest

from neat_optax import evolution as evo
from search_runs import assert_same, run


def test_the_best_are_all_different_and_sorted():
    found = run(generations=6)
    top = found.top()
    assert (np.diff(top.fitness) < 0).all()
    assert len(np.unique(np.asarray(top.params["w"]).reshape(3, -1), axis=0)) == 3
    assert found.top(2).fitness.tolist() == top.fitness.tolist()[:2]
    assert_same(found.model(1), evo.individual(top, 1))
    with pytest.raises(ValueError, match="`k` must be less than"):
        found.top(4)
