"""NNX modules with statistics of batches and random numbers as what is trained."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import neat_optax as neo
from neat_optax import aggregators

X = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
Y = np.stack([X[:, 0], -X[:, 1]])


class TwoHeads(nnx.Module):
    """A trunk with batch normalization and dropout."""

    def __init__(self, rngs):
        self.trunk = nnx.Linear(3, 4, rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.up = nnx.Linear(4, 1, rngs=rngs)
        self.down = nnx.Linear(4, 1, rngs=rngs)

    def __call__(self, x):
        hidden = self.dropout(nnx.relu(self.norm(self.trunk(x))))
        return {"up": self.up(hidden)[..., 0], "down": self.down(hidden)[..., 0]}


def losses_of(model, x, y):
    outputs = model(x)
    errors = zip(outputs.items(), y, strict=True)
    return {name: jnp.mean((out - target) ** 2) for (name, out), target in errors}


def carried(model):
    """Statistics and the counter of random numbers."""
    return model.norm.mean[...], model.norm.var[...], model.dropout.rngs.count[...]


@jax.jit
def joint_and_alone(x, y):
    """The gradients of both players at once, and by `nnx.grad` one by one."""
    model = TwoHeads(nnx.Rngs(0))
    copies = [nnx.clone(model) for _ in "ab"]
    losses, grads = neo.value_and_player_grads(losses_of)(model, x, y)
    alone = [
        nnx.grad(lambda m, name=name: losses_of(m, x, y)[name])(copy)
        for name, copy in zip(("down", "up"), copies, strict=True)
    ]
    return losses, grads, alone, carried(model), carried(copies[0])


def test_parameters_are_differentiated_and_the_rest_is_carried_on_once():
    losses, grads, alone, here, there = joint_and_alone(X, Y)
    assert losses.shape == (2,)
    expected = jax.tree.map(lambda *rows: np.stack(rows), *alone)
    assert jax.tree.structure(grads) == jax.tree.structure(expected)
    for row, one in zip(jax.tree.leaves(grads), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(row, one, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, here, there)
    assert here[2] == 1 and np.any(here[0])


def test_functions_of_one_module_are_called_in_turn():
    """The second player's loss sees what the first one's has changed."""

    class Counting(nnx.Module):
        def __init__(self):
            self.weight = nnx.Param(jnp.float32(2))
            self.calls = nnx.Variable(jnp.float32(0))

        def __call__(self):
            self.calls[...] += 1
            return self.weight[...] * self.calls[...]

    @jax.jit
    def step():
        model = Counting()
        terms = [lambda m: m() + 0.0, lambda m: m() + 1.0]
        losses, grads = neo.value_and_player_grads(terms)(model)
        return losses, grads["weight"][...], model.calls[...]

    losses, rows, calls = step()
    np.testing.assert_array_equal(losses, [2.0, 5.0])
    np.testing.assert_array_equal(rows, [1.0, 2.0])
    assert calls == 2


def example_loss(model, x, y):
    outputs = model(x)
    return (outputs["up"] - y) ** 2 + 0 * outputs["down"]


def test_statistics_have_no_gradient_of_one_example():
    def step():
        model = TwoHeads(nnx.Rngs(0))
        return neo.value_and_example_grads(example_loss)(model, X, Y[0])

    message = r"^`loss_fn` must leave the statistics .* new ones at norm.mean: those"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(step)


class Masked(nnx.Module):
    def __init__(self, rngs):
        self.bias = nnx.Param(jnp.ones(8))
        self.dropout = nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return jnp.sum(self.dropout(x * self.bias[...]))


@pytest.mark.fast("3")
@pytest.mark.parametrize("num_players", [None, 3])
def test_each_example_draws_a_mask_of_its_own(num_players):
    @jax.jit
    def step(x):
        model = Masked(nnx.Rngs(0))
        of_each = neo.value_and_example_grads(Masked.__call__, num_players=num_players)
        _, grads = of_each(model, x)
        return grads["bias"][...], model.dropout.rngs.count[...]

    rows, count = step(np.ones((6, 8), np.float32))
    assert len(np.unique(rows, axis=0)) == len(rows) == (num_players or 6)
    assert count == 1


def test_what_is_shared_has_the_structure_that_an_optimizer_sees():
    model = nnx.eval_shape(lambda: TwoHeads(nnx.Rngs(0)))
    shared = neo.shared_params(losses_of, model, X, Y)
    pure = nnx.as_pure(nnx.state(model, nnx.Param))
    assert jax.tree.structure(shared) == jax.tree.structure(pure)
    assert all(jax.tree.leaves([shared["trunk"], shared["norm"]]))
    assert not any(jax.tree.leaves([shared["up"], shared["down"]]))


def test_several_modules_are_taken_apart_together():
    """An actor and a critic, say; statistics of either are no parameters."""

    @jax.jit
    def step(x):
        models = nnx.Linear(3, 2, rngs=nnx.Rngs(0)), nnx.BatchNorm(3, rngs=nnx.Rngs(0))

        def losses(models, x):
            linear, norm = models
            return jnp.mean(linear(norm(x)) ** 2, axis=0)

        _, grads = neo.value_and_player_grads(losses)(models, x)
        return nnx.as_pure(grads), models[1].mean[...]

    grads, mean = step(X)
    assert {x.shape for x in jax.tree.leaves(grads)} == {(2, 2), (2, 3, 2), (2, 3)}
    assert len(jax.tree.leaves(grads)) == 4
    np.testing.assert_allclose(mean, 0.01 * X.mean(0), rtol=1e-5)


@pytest.mark.slow
def test_a_module_in_training_mode_learns():
    model = TwoHeads(nnx.Rngs(0))
    shared = neo.shared_params(losses_of, model, X, Y)
    tx = optax.chain(
        neo.aggregate_shared(aggregators.upgrad(), shared), optax.adam(0.05)
    )
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        losses, grads = neo.value_and_player_grads(losses_of)(model, X, Y)
        optimizer.update(model, grads)
        return losses.sum()

    history = [step(model, optimizer) for _ in range(100)]
    assert np.mean(history[-10:]) < 0.5 * np.mean(history[:10])
