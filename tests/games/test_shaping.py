"""Look-ahead, LOLA and SOS: the authors' numbers, and the games they were made for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
import small_games as small
from neat_optax import games

METHODS = {
    "la": games.lookahead(0.3),
    "lola": games.lola(0.3),
    "sos": games.sos(0.3),
}


def all_of(game):
    """Gradients of all methods of a game, as one function."""
    of_methods = {name: games.value_and_grad(game, of) for name, of in METHODS.items()}
    return lambda players: {name: f(players) for name, f in of_methods.items()}


NONLINEAR = pytest.param("matching_pennies", marks=pytest.mark.slow)


@pytest.mark.parametrize("name", ["tandem", NONLINEAR, small.RECORDED[1]])
def test_they_have_the_authors_gradients(name):
    """Among the points of the tandem game are all cases of how much SOS shapes."""
    players, expected = small.authors(name)
    found = small.at_points(all_of(getattr(small, name)), players)
    for method, (_, grads) in found.items():
        for one, wanted in zip(grads, expected[method], strict=True):
            np.testing.assert_allclose(one, wanted, rtol=2e-4, atol=2e-4)


def chi(z):
    """In float64: how each player moves the others, by what it has of that."""
    _, jacobian = small.gradient_and_jacobian(z)
    off, owner = small.off_diagonal(jacobian), small.blocks()
    found = np.empty(6)
    for i, (q, b) in enumerate(zip(small.QUADRATIC, small.LINEAR, strict=True)):
        found[owner == i] = (off.T @ ((q + q.T) @ z / 2 + b))[owner == i]
    return found, off


def test_three_players_have_the_numbers_of_matrices():
    ways = [games.lola(0.3), games.lola(0.3, expect=False)]

    @running.quick_jit
    def both(players):
        game = games.linearize(small.quadratic)(players)
        return [adjust(game) for adjust in ways]

    full, shaped = map(small.flat, both(small.seat(small.POINT)))
    xi, _ = small.gradient_and_jacobian(small.POINT)
    shaping, off = chi(small.POINT)
    np.testing.assert_allclose(full, xi - 0.3 * (off @ xi + shaping), atol=3e-6)
    np.testing.assert_allclose(shaped, xi - 0.3 * shaping, atol=3e-6)


def test_lola_fails_in_the_tandem_game_and_the_others_do_not():
    """The fixed points are x + y = 1; LOLA settles where both lose more than there."""

    @jax.jit
    def ends(start):
        adjusted = {
            "la": games.lookahead(0.1),
            "lola": games.lola(0.1),
            "sos": games.sos(0.1),
        }
        found = {}
        for name, adjust in adjusted.items():
            of_game = games.value_and_grad(small.tandem, adjust)
            last, _ = small.played(of_game, start, 0.1, 200)
            found[name] = sum(last), small.tandem(last)[0]
        return found

    found = ends([np.float32(0.1), np.float32(-0.05)])
    np.testing.assert_allclose([found["la"][0], found["sos"][0]], 1, atol=1e-4)
    # both shape: 2 (s - 1)(1 - 2 rate) - 4 rate s = 0 for the sum s
    np.testing.assert_allclose(found["lola"][0], 1.6 / 1.2, atol=1e-4)
    assert found["lola"][1] > found["sos"][1]


@pytest.mark.slow
def test_shaping_finds_tit_for_tat_and_naive_learning_defects():
    """The loss of a step is 1 where both cooperate and 2 where both defect."""
    starts = np.random.default_rng(3).normal(size=(2, 20, 5)).astype(np.float32)
    learners = {"naive": None, "lola": games.lola(1.0), "sos": games.sos(1.0)}

    @jax.jit
    def ends(starts):
        found = {}
        for name, adjust in learners.items():
            of_game = games.value_and_grad(small.prisoners, adjust)

            def run(start, of_game=of_game):
                return small.played(of_game, start, 1.0, 300)[0]

            last = jax.vmap(run)(list(starts))
            losses = jax.vmap(lambda z: jnp.stack(small.prisoners(z)))(last)
            found[name] = last, losses * (1 - small.DISCOUNT)
        return found

    found = jax.device_get(ends(starts))
    means = {name: losses.mean() for name, (_, losses) in found.items()}
    assert means["naive"] > 1.8
    assert means["lola"] < 1.2 and means["sos"] < 1.2
    for name in ("lola", "sos"):
        first = 1 / (1 + np.exp(-found[name][0][0]))
        kind, forgiven, strict, punished = np.median(first[:, 1:], axis=0)[[0, 2, 1, 3]]
        assert kind > 0.8 and forgiven > 0.5 > max(strict, punished), name


def test_nothing_is_shaped_where_nothing_moves():
    """SOS at a fixed point: no division by zero."""
    of_game = games.value_and_grad(small.bilinear, games.sos(0.5))
    _, grads = running.quick_jit(of_game)([np.zeros(2, np.float32)] * 2)
    np.testing.assert_array_equal(grads, np.zeros((2, 2)))


def test_a_bad_argument_is_named():
    for factory in (games.lookahead, games.lola, games.sos):
        with pytest.raises(ValueError, match="`rate` must be in"):
            factory(-0.1)
    with pytest.raises(ValueError, match="`radius` must be in"):
        games.sos(0.1, radius=1.0)
    with pytest.raises(ValueError, match="`alignment` must be in"):
        games.sos(0.1, alignment=0.0)
