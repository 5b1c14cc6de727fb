import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from neat_optax import (
    aggregators,
    diagnostics,
    neat_correction,
    value_and_example_grads,
    value_and_player_grads,
)
from neat_optax.training import PlayerTrainState

PARAMS = {"w": np.float32([1.0, 2.0])}


def weighted_by_losses():
    """The players' mean, weighted by the extra argument `losses=`, which it needs."""

    def update(updates, state, params=None, *, losses, **extra):
        del params, extra
        share = losses / losses.sum()
        return jax.tree.map(lambda g: jnp.tensordot(share, g, 1), updates), state

    return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)


def make(tx, kind=PlayerTrainState, **fields):
    return kind.create(apply_fn=None, params=PARAMS, tx=tx, **fields)


def test_extra_arguments_reach_the_optimizer():
    state = make(optax.chain(weighted_by_losses(), optax.sgd(1.0)))
    grads = {"w": jnp.array([[1.0, 0.0], [0.0, 1.0]])}
    losses = jnp.array([3.0, 1.0])
    state = jax.jit(lambda s: s.apply_gradients(grads=grads, losses=losses))(state)
    np.testing.assert_allclose(state.params["w"], [0.25, 1.75])
    assert state.step == 1


def test_without_extra_arguments_it_steps_like_flax():
    grads = {"w": jnp.array([1.0, -1.0])}
    tx = optax.adam(0.1)
    mine, flaxs = make(tx), make(tx, TrainState)
    step = jax.jit(lambda state: state.apply_gradients(grads=grads))
    for _ in range(3):
        mine, flaxs = step(mine), step(flaxs)
    np.testing.assert_array_equal(mine.params["w"], flaxs.params["w"])
    assert mine.step == flaxs.step == 3
    assert mine.tx is tx


def test_an_optimizer_that_knows_no_extra_arguments_ignores_them():
    tx = optax.GradientTransformation(*optax.sgd(1.0))
    state = make(tx).apply_gradients(grads=PARAMS, losses=jnp.ones(2))
    np.testing.assert_array_equal(state.params["w"], [0.0, 0.0])


@pytest.mark.parametrize("name", ["losses", "present", "preference", "second_batch"])
def test_flaxs_train_state_is_refused_what_it_would_keep(name):
    state = make(optax.chain(aggregators.gls(), optax.sgd(1.0)), TrainState)
    grads, given = {"w": np.ones((3, 2), np.float32)}, np.ones(3, np.float32)
    message = rf"^`{name}` must reach the optimizer, .* neat_optax.*PlayerTrainState\."
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda: state.apply_gradients(grads=grads, **{name: given}))


class Kept(TrainState):
    present: object = None


def test_a_field_of_a_train_state_is_its_own():
    state = make(optax.chain(aggregators.mean(), optax.sgd(1.0)), Kept)
    grads = {"w": np.ones((3, 2), np.float32)}
    step = jax.eval_shape(lambda: state.apply_gradients(grads=grads, present=True))
    assert step.params["w"].shape == (2,)


class Counted(PlayerTrainState):
    seen: int = 0


def test_fields_are_replaced_next_to_extra_arguments():
    state = make(optax.chain(weighted_by_losses(), optax.sgd(1.0)), Counted)
    grads = {"w": jnp.zeros((2, 2))}
    state = state.apply_gradients(grads=grads, seen=5, losses=jnp.ones(2))
    assert state.seen == 5
    assert state.step == 1


def test_the_optimizer_itself_may_be_replaced():
    other = optax.sgd(0.5)
    state = make(optax.sgd(1.0)).apply_gradients(grads=PARAMS, tx=other)
    assert state.tx is other


def test_players_that_nothing_reduces_are_refused():
    message = r"got \(3, 2\) for \(2,\) at \['w'\]. A leading player axis must be"
    with pytest.raises(ValueError, match=message):
        make(optax.sgd(1.0)).apply_gradients(grads={"w": jnp.ones((3, 2))})


def test_steps_of_one_state_compile_once():
    state = make(optax.chain(weighted_by_losses(), optax.adam(1.0)))
    traces = []

    @jax.jit
    def step(state, grads, losses):
        traces.append(1)
        return state.apply_gradients(grads=grads, losses=losses)

    for _ in range(3):
        state = step(state, {"w": jnp.ones((2, 2))}, jnp.ones(2))
    assert len(traces) <= 2  # Flax counts the first step from a Python 0


def test_its_measures_are_found():
    state = make(optax.chain(neat_correction(0.1, monitor=True), optax.sgd(1.0)))
    assert diagnostics(state.apply_gradients(grads=PARAMS))["conflict"].latest == 0


X = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
Y = X @ np.float32([1.0, -1.0, 0.5])


def test_a_linen_model_trains_on_examples_with_their_losses():
    model = nn.Dense(1)
    state = PlayerTrainState.create(
        apply_fn=model.apply,
        params=model.init(jax.random.key(1), X)["params"],
        tx=optax.chain(weighted_by_losses(), optax.sgd(0.1)),
    )

    @jax.jit
    def step(state):
        def loss(params, x, y):
            return jnp.sum((state.apply_fn({"params": params}, x)[0] - y) ** 2)

        losses, grads = value_and_example_grads(loss)(state.params, X, Y)
        return state.apply_gradients(grads=grads, losses=losses), losses.mean()

    history = []
    for _ in range(20):
        state, value = step(state)
        history.append(value)
    assert history[-1] < 0.5 * history[0]


def test_nnx_hands_extra_arguments_on_by_itself():
    model = nnx.Linear(3, 1, rngs=nnx.Rngs(0))
    tx = optax.chain(weighted_by_losses(), optax.sgd(0.1))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        graph, params = nnx.split(model, nnx.Param)

        def losses(params):
            return (nnx.merge(graph, params)(X)[:, 0] - Y) ** 2

        values, grads = value_and_player_grads(losses)(params)
        optimizer.update(model, grads, losses=values)
        return values.mean()

    history = [step(model, optimizer) for _ in range(20)]
    assert history[-1] < 0.5 * history[0]
