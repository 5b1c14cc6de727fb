"""States of other parameters, as from a checkpoint of another model, are refused."""

import numpy as np
import optax
import pytest

import neat_optax as neo

SHAPES = (8, 4), (4, 4)
TRANSFORMATIONS = {
    "prune_to_sparsity": neo.sparsity.prune_to_sparsity(0.5),
    "adapt_pruning": neo.sparsity.adapt_pruning(0.5),
    "n_of_m": neo.sparsity.n_of_m(2, 4),
    "grow_and_prune": neo.sparsity.grow_and_prune(optax.sgd(0.1), 0.5),
    "keep_mask": neo.sparsity.keep_mask(neo.sparsity.nonzero),
    "straight_through": neo.sparsity.straight_through(neo.sparsity.nonzero),
    "l2_to_init": neo.continual.l2_to_init(0.1),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_a_state_of_other_parameters(name):
    tx = TRANSFORMATIONS[name]
    one, other = ({"w": np.ones(shape, "f4")} for shape in SHAPES)
    message = (
        rf"^`state of {name}` must have the shapes of `params`, got \(4, 4\) for "
        r"\(8, 4\) at \['w'\]\.$"
    )
    with pytest.raises(ValueError, match=message):
        tx.update(one, tx.init(other), one)
