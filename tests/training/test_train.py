"""One gradient: any model, any chain, in parts, scaled, averaged."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.training.dynamic_scale import DynamicScale

import neat_optax as neo
import small_nets
from neat_optax import training

BATCH = small_nets.BATCH
SGD = optax.sgd(0.5)


def linear_step(**options):
    return training.train_step(small_nets.linear(), small_nets.loss, SGD, **options)


def gradient(w, batch):
    """By hand: `x^T (softmax - one_hot) / B`."""
    x, y = batch
    e = np.exp(x @ w)
    return x.T @ (e / e.sum(1, keepdims=True) - np.eye(2)[y]) / len(x)


def test_a_step_is_that_of_the_mean_loss_by_hand():
    step = linear_step()
    state, logs = small_nets.compiled(step.update)(step.init(), BATCH)
    np.testing.assert_allclose(
        state.params, -0.5 * gradient(np.zeros((3, 2)), BATCH), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(logs["loss"], np.log(2), rtol=1e-6)
    assert state.step == 1


def test_parts_add_up_to_the_whole():
    step, parts = linear_step(), linear_step(accumulate=4)
    whole, _ = small_nets.compiled(step.update)(step.init(), BATCH)
    several, logs = small_nets.compiled(parts.update)(parts.init(), BATCH)
    np.testing.assert_allclose(several.params, whole.params, atol=1e-7)
    np.testing.assert_allclose(logs["loss"], np.log(2), rtol=1e-6)


def test_statistics_pass_through_the_parts_one_after_another():
    model = small_nets.nnx_model()
    step = training.train_step(model, small_nets.loss, SGD, accumulate=2)
    state, _ = small_nets.compiled(step.update)(step.init(), BATCH)
    x = BATCH[0] @ model.params["linear"]["kernel"]
    mean = 0.99 * 0.01 * x[:4].mean(0) + 0.01 * x[4:].mean(0)
    np.testing.assert_allclose(state.extra["norm"]["mean"], mean, rtol=1e-4)


def test_a_step_with_an_overflow_is_left_out_and_halves_the_scale():
    step = linear_step(scale=DynamicScale(scale=8.0))
    update = small_nets.compiled(step.update)
    state, _ = update(step.init(), BATCH)
    plain = linear_step()
    exact, _ = small_nets.compiled(plain.update)(plain.init(), BATCH)
    np.testing.assert_allclose(state.params, exact.params, rtol=1e-6)
    broken, _ = update(state, (BATCH[0] * np.float32(np.inf), BATCH[1]))
    np.testing.assert_array_equal(broken.params, state.params)
    assert (broken.scale.scale, broken.step) == (4.0, 2)


def test_the_loss_sees_the_narrow_dtype_and_the_masters_stay_wide():
    seen = []

    def loss(model, batch):
        seen.append(model(batch[0]).dtype)
        return small_nets.loss(model, batch)

    options = {"dtype": jnp.bfloat16, "ema": 0.5}
    step = training.train_step(small_nets.linear(), loss, SGD, **options)
    state, logs = jax.eval_shape(step.update, step.init(), BATCH)
    assert {str(x) for x in seen} == {"bfloat16"}
    assert state.params.dtype == state.ema.dtype == logs["loss"].dtype == jnp.float32


def test_the_average_of_parameters():
    step = linear_step(ema=0.75)
    state, _ = small_nets.compiled(step.update)(step.init(), BATCH)
    np.testing.assert_allclose(state.ema, 0.25 * state.params, rtol=1e-6)


def test_extra_arguments_and_measures():
    def loss(model, batch):
        values = small_nets.loss(model, batch)
        return values, {"opposed": jnp.ones((3, 2)), "inner": {"no": values}}

    tx = optax.chain(
        neo.neat_correction(1.0, opponent=neo.opponents.given(), monitor=True), SGD
    )
    step = training.train_step(
        small_nets.linear(),
        loss,
        tx,
        extras=lambda aux: {"opponent": -aux["opposed"]},
        measures=lambda s: {"conflict": neo.diagnostics(s)["conflict"].latest},
    )
    _, logs = jax.eval_shape(step.update, step.init(), BATCH)
    assert sorted(logs) == ["conflict", "loss", "opposed"]


@pytest.mark.parametrize(
    ("options", "loss", "tx", "message"),
    [
        ({"accumulate": 3}, None, SGD, "`accumulate` must divide the batch of 8"),
        ({}, lambda *_: {"a": 1.0, "b": 2.0}, SGD, "`loss` must return one real"),
        ({}, lambda *_: (1.0, 2.0), SGD, "and a dictionary, got a second float"),
        ({}, None, neo.aggregators.upgrad(), "player axis"),
        ({"ema": 1.5}, None, SGD, r"`ema` must be in \[0, 1\), got 1.5"),
    ],
)
def test_what_cannot_be_trained_is_named(options, loss, tx, message):
    with pytest.raises(ValueError, match=message):
        step = training.train_step(
            small_nets.linear(), loss or small_nets.loss, tx, **options
        )
        jax.eval_shape(step.update, step.init(), BATCH)
