import jax
import numpy as np
import optax
import pytest

import running
import stepping
from neat_optax import _program, aggregators
from properties import assert_trees_close

TX = aggregators.clip_example_norms(2.0)
ROWS = np.array([[3.0, 4.0], [0.0, -1.0], [0.0, 0.0]], np.float32)


def test_by_hand():
    """The lengths are 5, 1 and 0: the first is shortened to 2."""
    rule = aggregators.clip_example_norms_weights
    gramian, present = ROWS @ ROWS.T, np.array([True, True, False])
    weights = stepping.call(rule, gramian, 2.0, None, stepping.EVERYONE)
    np.testing.assert_allclose(weights, [0.4 / 3, 1 / 3, 1 / 3], rtol=1e-6)
    weights = stepping.call(rule, gramian, 2.0, None, present)
    np.testing.assert_allclose(weights, [0.2, 0.5, 0], rtol=1e-6)


@running.quick_jit
def first_update(g, c):
    tx = aggregators.clip_example_norms(lambda step: c + step)
    return tx.update(g, tx.init(jax.tree.map(lambda x: x[0], g)))[0]


def clipped(g, c):
    lengths = np.sqrt(sum(np.sum(x.reshape(3, -1) ** 2, axis=1) for x in g.values()))
    weights = np.minimum(1, c / lengths) / 3
    return jax.tree.map(lambda x: np.tensordot(weights, x, 1), g)


@pytest.mark.parametrize("power", [-30, 0, 30])
def test_agrees_with_numpy(power):
    """The lengths are 1.5, 2.6 and 2.9, some with squares beyond single precision."""
    g, unit = stepping.gradients(), np.float32(10.0**power)
    found = first_update(jax.tree.map(lambda x: x * unit, g), 2.5 * unit)
    back = jax.tree.map(lambda x: x / unit, found)
    assert_trees_close(back, clipped(g, 2.5), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_agrees_with_optax_without_noise():
    private = optax.contrib.differentially_private_aggregate(2.0, 0.0, 0)
    g = stepping.gradients()
    expected, _ = stepping.step(private, g, jax.jit(private.init)(stepping.like(g)))
    assert_trees_close(stepping.step(TX, g)[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "tx",
    [
        TX,
        aggregators.gradnorm(num_players=3),
        aggregators.db_mtl(num_players=3),
    ],
)
def test_no_products_between_players_are_taken(tx):
    g, losses = stepping.gradients(), stepping.LOSSES
    state = jax.eval_shape(tx.init, stepping.like(g))
    program = jax.make_jaxpr(lambda g, s: tx.update(g, s, losses=losses))(g, state)
    products = [
        eqn.outvars[0].aval.shape
        for eqn in _program.equations(program.jaxpr)
        if eqn.primitive.name == "dot_general"
    ]
    assert products  # the weighted sum of each leaf
    assert (3, 3) not in products


def test_errors():
    with pytest.raises(
        ValueError, match=r"`max_norm` must be in \(0, inf\), got 0.0\."
    ):
        aggregators.clip_example_norms(0.0)
    with pytest.raises(ValueError, match="`preference` must be nonnegative numbers"):
        aggregators.clip_example_norms(1.0, preference=(1.0, -1.0))
