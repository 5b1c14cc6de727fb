"""Forms of players and losses, modules, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import running
import small_games as small
from neat_optax import games

X = np.arange(3, dtype=np.float32)
Y = np.array([1.0, -1, 2], np.float32)


def first(players, scale=1.0):
    return scale * jnp.sum(players["x"] ** 2 * players["y"])


def second(players, scale=1.0):
    return -scale * jnp.sum(players["x"] * players["y"] ** 3)


FORMS = {
    "array": lambda z, s: jnp.stack([first(z, s), second(z, s)]),
    "list": lambda z, s: [first(z, s), second(z, s)],
    "dictionary": lambda z, s: {"y": second(z, s), "x": first(z, s)},
    "functions": {"y": second, "x": first},
}


def test_all_forms_of_losses_have_the_same_gradients():
    of_forms = [games.value_and_grad(form) for form in FORMS.values()]
    run = running.quick_jit(lambda z: [f(z, 2.0) for f in of_forms])
    for losses, grads in run({"y": Y, "x": X}):
        np.testing.assert_allclose(losses, [2 * X**2 @ Y, -2 * X @ Y**3])
        np.testing.assert_allclose(grads["x"], 4 * X * Y)
        np.testing.assert_allclose(grads["y"], -6 * X * Y**2)


def test_aux_comes_back_and_an_adjustment_may_be_any_function():
    def losses(players):
        x, y = players
        return jnp.stack([x * y, -x * y]), {"sum": x + y}

    def doubled(game):
        return jax.tree.map(lambda g: 2 * g + game.aux["sum"], game.grads)

    of_game = games.value_and_grad(losses, doubled, has_aux=True)
    (values, aux), grads = running.quick_jit(of_game)((np.float32(1), np.float32(2)))
    assert isinstance(grads, tuple)
    np.testing.assert_array_equal(values, [2, -2])
    np.testing.assert_array_equal([aux["sum"], *grads], [3, 7, 1])


class Player(nnx.Module):
    """A layer with statistics, which are carried and not differentiated."""

    def __init__(self, seed):
        self.layer = nnx.Linear(2, 1, rngs=nnx.Rngs(seed))
        self.norm = nnx.BatchNorm(1, rngs=nnx.Rngs(seed))
        self.calls = nnx.Variable(jnp.int32(0))

    def __call__(self, x):
        self.calls[...] += 1
        return self.norm(self.layer(x))


def module_losses(players, x):
    one, two = players["one"](x), players["two"](x)
    return {"one": jnp.mean(one * two + one**3), "two": jnp.mean(two**2 - one * two)}


@running.quick_jit
def modules_and_states(x):
    """A step of modules, and one of their states, merged by the caller."""
    modules = {"one": Player(0), "two": Player(1)}
    split = {name: nnx.split(model, nnx.Param, ...) for name, model in modules.items()}
    adjust = games.sga()

    def of_states(states, x):
        merged = {
            name: nnx.merge(graph, states[name], jax.tree.map(jnp.copy, rest))
            for name, (graph, _, rest) in split.items()
        }
        return module_losses(merged, x)

    states = {
        name: jax.tree.map(jnp.copy, part) for name, (_, part, _) in split.items()
    }
    _, plain = games.value_and_grad(of_states, adjust)(states, x)
    losses, grads = games.value_and_grad(module_losses, adjust)(modules, x)
    for name, model in modules.items():
        optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
        optimizer.update(model, grads[name])
    moved = {name: nnx.state(model, nnx.Param) for name, model in modules.items()}
    carried = [(model.calls[...], model.norm.mean[...]) for model in modules.values()]
    return losses, grads, plain, states, moved, carried


def test_modules_are_players_and_what_they_carry_moves_once():
    x = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    _, grads, plain, before, after, carried = modules_and_states(x)
    moved = jax.tree.map(lambda p, g: p - 0.1 * g, before, plain)
    assert jax.tree.structure(grads) == jax.tree.structure(plain)
    same = (grads, plain), (after, moved)
    for found, wanted in same:
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(one, other, atol=1e-6)
    for calls, mean in carried:
        assert calls == 1 and np.any(mean)


def test_gradients_have_the_dtypes_of_their_players():
    of_game = games.value_and_grad(small.bilinear, games.sos(0.1))
    mixed = [jnp.zeros(2, jnp.bfloat16), jnp.zeros(2, jnp.float32)]
    _, grads = jax.eval_shape(of_game, mixed)
    assert [g.dtype for g in grads] == [jnp.bfloat16, jnp.float32]


def test_one_optimizer_for_all_or_one_for_each():
    """By optax's own means: a label for each player."""
    players = {"x": X, "y": Y}
    rates = {"x": optax.sgd(0.1), "y": optax.sgd(0.01)}
    tx = optax.partition(rates, {"x": "x", "y": "y"})

    def step(players):
        _, grads = games.value_and_grad(FORMS["list"])(players, 1.0)
        updates, _ = tx.update(grads, tx.init(players), players)
        return updates

    updates = running.quick_jit(step)(players)
    np.testing.assert_allclose(updates["x"], -0.2 * X * Y, rtol=1e-6)
    np.testing.assert_allclose(updates["y"], 0.03 * X * Y**2, rtol=1e-6)


@pytest.mark.parametrize(
    "players, losses, message",
    [
        (X, FORMS["array"], "`players` must be a list, tuple or dictionary"),
        ({}, FORMS["array"], "`players` must be a list, tuple or dictionary"),
        (nnx.Dict(x=X, y=Y), FORMS["list"], "for each player, got Dict."),
        ({"x": X, "y": 1}, FORMS["list"], "`players` must have floating"),
        ({"x": X, "y": Y + 1j}, FORMS["list"], "`players` must have real leaves"),
        ({"x": X, "y": Y}, lambda z, s: [first(z, s)], "of the 2 players, got 1"),
        (
            {"x": X, "y": Y},
            lambda z, s: {"x": first(z, s), "z": second(z, s)},
            "`loss_fn` must name its losses like the players, x and y, got x and z",
        ),
        (
            {"x": X, "y": Y},
            lambda z, s: z["x"] * s,
            "one loss for each of the 2 players",
        ),
    ],
)
def test_what_is_no_game_is_refused(players, losses, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: games.value_and_grad(losses)(players, 1.0))


def test_an_adjustment_must_return_a_tree_like_the_players():
    of_game = games.value_and_grad(FORMS["list"], lambda game: game.grads["x"])
    with pytest.raises(ValueError, match="`result of adjust` must have the tree"):
        jax.eval_shape(of_game, {"x": X, "y": Y}, 1.0)
    with pytest.raises(ValueError, match="`adjust` must be a function"):
        games.value_and_grad(FORMS["list"], adjust=1.0)
