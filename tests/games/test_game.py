"""Products with the Jacobian of a game, against matrices in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
import small_games as small
from neat_optax import games

V = np.random.default_rng(1).normal(size=6)


@pytest.fixture(scope="module")
def found():
    """Everything that a game of three players gives, compiled once."""

    @running.quick_jit
    def all_of_it(players, v):
        game = games.linearize(small.quadratic)(players)
        full, off = game.jacobian(), game.off_diagonal()
        places = list(players)

        def scalar(i, slope):
            others = [j for j in range(3) if j != i]
            return sum((j + 2) * slope(j, v[places[j]])[i] for j in others)

        return {
            "losses": game.losses,
            "grads": game.grads,
            "jvp": full.jvp(v),
            "vjp": full.vjp(v),
            "off_jvp": off.jvp(v),
            "off_vjp": off.vjp(v),
            "loss_grads": game.loss_grads(1),
            "mixed": game.mixed(scalar),
        }

    return all_of_it(small.seat(small.POINT), small.seat(V))


XI, H = small.gradient_and_jacobian(small.POINT)
OFF = small.off_diagonal(H)
SECOND = (small.QUADRATIC[1] + small.QUADRATIC[1].T) @ small.POINT / 2
EXPECTED = {
    "grads": XI,
    "jvp": H @ V,
    "vjp": H.T @ V,
    "off_jvp": OFF @ V,
    "off_vjp": OFF.T @ V,
    "loss_grads": SECOND + small.LINEAR[1],
    "mixed": OFF @ ((small.blocks() + 2) * V),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_products_are_those_of_the_matrices(found, name):
    np.testing.assert_allclose(small.flat(found[name]), EXPECTED[name], atol=2e-6)


def test_trees_keep_the_shapes_of_the_players(found):
    shapes = jax.tree.map(np.shape, small.seat(V))
    for name in EXPECTED:
        assert jax.tree.map(np.shape, found[name]) == shapes


def test_losses_are_in_the_order_of_the_players(found):
    z = small.POINT
    expected = [
        z @ q @ z / 2 + b @ z
        for q, b in zip(small.QUADRATIC, small.LINEAR, strict=True)
    ]
    np.testing.assert_allclose(found["losses"], expected, rtol=1e-5)


def test_a_lone_player_has_nothing_off_the_diagonal():
    def products(x):
        off = games.linearize(lambda z: [jnp.sum(z[0] ** 4)])([x]).off_diagonal()
        return off.jvp([x]), off.vjp([x])

    for (product,) in running.quick_jit(products)(np.ones(2, np.float32)):
        np.testing.assert_array_equal(product, [0, 0])


def test_products_of_low_precision_are_wide():
    def product(x):
        game = games.linearize(small.bilinear)([x, x])
        return game.grads[0], game.jacobian().vjp(game.grads)[0]

    grads, wide = jax.eval_shape(product, jnp.zeros(2, jnp.bfloat16))
    assert (grads.dtype, wide.dtype) == (jnp.bfloat16, jnp.float32)
