import jax
import numpy as np
import pytest

import neat_optax as neo
import programs
import running
from neat_optax import _factored, _program
from properties import assert_trees_close

LOSS, PARAMS, ROWS = programs.FACTORED["dense layers"]


def gradients(unit=1.0):
    loss = lambda *arguments: unit * LOSS(*arguments)  # noqa: E731
    return neo.value_and_example_grads(loss, factored=True)(PARAMS, *ROWS)[1]


def norms(gradients):
    return neo.example_norms(gradients), neo.example_norms(gradients, each_leaf=True)


@running.quick_jit
def found_and_formed(unit):
    g = gradients(unit)
    return norms(g), _factored.explicit(g)


@pytest.mark.parametrize("unit", [1.0, 1e-25, 1e25])
def test_norms_of_arrays_and_factors(unit):
    """With squares that leave single precision."""
    (whole, leaves), formed = jax.device_get(found_and_formed(np.float32(unit)))
    squares = jax.tree.map(
        lambda g: np.sum(np.square(g / unit, dtype=float), (*range(1, g.ndim),)), formed
    )
    lengths = jax.tree.map(lambda x: unit * np.sqrt(x), squares)
    assert_trees_close(leaves, lengths, rtol=1e-5)
    total = unit * np.sqrt(sum(squares.values()))
    np.testing.assert_allclose(whole, total, rtol=1e-5)


def test_no_gradient_is_formed():
    factors = jax.eval_shape(gradients)
    program = jax.make_jaxpr(norms)(factors)
    size = max(
        v.aval.size for e in _program.equations(program.jaxpr) for v in e.outvars
    )
    kernels = [leaf for leaf in _factored.flatten(factors)[0] if leaf.ndim == 3]
    assert size < min(leaf.size for leaf in kernels)


def test_a_player_that_is_not_finite_spoils_its_own_norm_only():
    g = np.array([[3.0, 4.0], [np.inf, 0.0], [np.nan, 1.0]], np.float32)
    found = np.asarray(neo.example_norms({"w": g}))
    assert found[0] == 5
    assert not np.isfinite(found[1:]).any()


def test_errors():
    with pytest.raises(ValueError, match="`each_leaf` must be True or False"):
        neo.example_norms(np.ones((2, 3)), each_leaf=1)
    with pytest.raises(ValueError, match="a leading player axis of one size"):
        neo.example_norms([np.ones((2, 3)), np.ones(3)])
    assert neo.example_norms(()).shape == (0,)
