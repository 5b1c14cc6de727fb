import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import programs
from neat_optax import _factored, aggregators
from neat_optax._sites import value_and_factored_grads

LOSS, PARAMS, ROWS = programs.FACTORED["dense layers"]


def gradients():
    """Of which two leaves are factored and one is not."""
    with_aux = lambda *arguments: (LOSS(*arguments), None)  # noqa: E731
    return value_and_factored_grads(with_aux, PARAMS, ROWS)[1]


def test_closed_leaves_open_for_those_who_know_factors_only():
    def look():
        closed = _factored.closed(gradients())
        for tx in (optax.clip(0.1), optax.scale(0.5), optax.scale_by_adam()):
            with pytest.raises(_factored.Opened):
                tx.update(closed, tx.init(PARAMS), PARAMS)
        mean = aggregators.aggregate(jnp.diagonal)
        return mean.update(closed, mean.init(PARAMS), PARAMS)[0]

    assert jax.tree.structure(jax.eval_shape(look)) == jax.tree.structure(PARAMS)


@pytest.mark.slow
def test_dividing_factors_divides_their_products_exactly():
    def both():
        found = gradients()
        divided = _factored.divide(found, jnp.float32(1024))
        return _factored.explicit(divided), _factored.explicit(found)

    divided, found = jax.device_get(jax.jit(both)())
    for name, leaf in divided.items():
        np.testing.assert_array_equal(leaf, found[name] / 1024)
