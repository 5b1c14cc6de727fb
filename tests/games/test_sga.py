"""Symplectic gradient adjustment: the authors' numbers, signs, kinds of games."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
import small_games as small
from neat_optax import games


@pytest.mark.parametrize("name", small.RECORDED)
def test_it_has_the_authors_gradients(name):
    players, expected = small.authors(name)
    of_game = games.value_and_grad(getattr(small, name), games.sga())
    _, grads = small.at_points(of_game, players)
    for found, wanted in zip(grads, expected["sga"], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=3e-4)


def test_three_players_have_the_turn_of_the_matrix():
    xi, jacobian = small.gradient_and_jacobian(small.POINT)
    of_game = games.value_and_grad(small.quadratic, games.sga(0.5, align=False))
    _, grads = running.quick_jit(of_game)(small.seat(small.POINT))
    expected = xi + 0.5 * (jacobian.T - jacobian) / 2 @ xi
    np.testing.assert_allclose(small.flat(grads), expected, atol=2e-6)


def mixed(players, curve):
    """A saddle that rotates: stable where `curve` is positive."""
    x, y = players
    return [curve * x**2 / 2 + x * y, curve * y**2 / 2 - x * y]


def test_it_pulls_to_stable_points_and_pushes_from_others():
    """There the turn is (-xi_y, xi_x), <xi, H' xi> is curve |xi|^2, and <A' xi, H' xi>
    is |xi|^2."""
    of_game = games.value_and_grad(mixed, games.sga(epsilon=0.0))
    curves = np.array([0.5, -0.5], np.float32)
    at_both = jax.vmap(of_game, (None, 0))
    _, grads = running.quick_jit(at_both)([np.float32(2), np.float32(1)], curves)
    xi = np.stack([curves * 2 + 1, curves - 2])
    turn = np.stack([-xi[1], xi[0]])
    np.testing.assert_allclose(grads, xi + [1, -1] * turn, rtol=1e-6)


def test_a_potential_game_stays_as_it_is():
    def potential(players):
        value = jnp.sum(players[0] ** 3 * players[1]) + jnp.sum(players[1] ** 2)
        return [value, value]

    plain = games.value_and_grad(potential)
    adjusted = games.value_and_grad(potential, games.sga())
    at = [np.array([1.0, 2], np.float32), np.array([0.5, -1], np.float32)]
    (_, one), (_, two) = running.quick_jit(lambda z: (plain(z), adjusted(z)))(at)
    np.testing.assert_allclose(one, two, rtol=1e-6)


def test_a_hamiltonian_game_spirals_inward_by_its_factor():
    """Of 1 - rate (1 + i), where the plain step grows by that of 1 - rate i."""
    adjusted = games.value_and_grad(small.bilinear, games.sga())
    plain = games.value_and_grad(small.bilinear)
    start = [np.ones(1, np.float32), np.zeros(1, np.float32)]
    run = jax.jit(
        lambda z: [small.played(f, z, 0.1, 100)[0] for f in (adjusted, plain)]
    )
    inward, outward = map(np.linalg.norm, run(start))
    np.testing.assert_allclose(inward, np.hypot(0.9, 0.1) ** 100, rtol=1e-4)
    np.testing.assert_allclose(outward, np.hypot(1, 0.1) ** 100, rtol=1e-4)


def test_a_bad_argument_is_named():
    with pytest.raises(ValueError, match="`epsilon` must be in"):
        games.sga(epsilon=-1.0)
    with pytest.raises(ValueError, match="`align` must be True or False"):
        games.sga(align=1)
