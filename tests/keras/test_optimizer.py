"""An optax chain in `model.compile` and `fit`, against a loop that knows optax only."""

import functools

import jax
import jax.numpy as jnp
import keras
import numpy as np
import optax
import pytest

import neat_optax as neo
import neat_optax.keras
from keras_nets import assert_same, bare_loop, network, train, weights
from neat_optax.keras import OptaxOptimizer

pytestmark = pytest.mark.slow
OF_LAST = neo.by_path(lambda path, _: "last" in path)
CHAINS = {
    "neat": neo.neat(0.1, monitor=True),
    "by role and by name": optax.chain(
        neo.precondition(neo.scale_by_neat()),
        optax.add_decayed_weights(0.5, neo.sparsity.kernels),
        optax.masked(optax.scale(0.5), OF_LAST),
        optax.scale_by_learning_rate(0.01),
    ),
    "with masks and keys": optax.chain(
        neo.neat_correction(scope=neo.whole_tree),
        optax.adam(0.01, mu_dtype=jnp.bfloat16),
        neo.continual.shrink_and_perturb(0.9, 0.01, every=3, key=jax.random.key(1)),
        neo.sparsity.prune_to_sparsity(0.5, every=2),
    ),
    "with the parameters in its state": neo.keep_slow_params(optax.sgd(0.1), 2, 0.5),
}


@keras.saving.register_keras_serializable("tests")
def light(learning_rate, beta=0.9, rates=(0.0, 1.0)):
    rules = neo.neat_rules(0.5, alpha_range=rates)
    scale = neo.scale_by_neat(beta, rules=rules, watch_decay=0.9, monitor=True)
    return optax.chain(
        scale,
        optax.scale_by_learning_rate(learning_rate),
        neo.sparsity.prune_to_sparsity(0.5, every=2),
        optax.add_noise(1e-4, 0.5, jax.random.key(1)),
    )


@pytest.mark.parametrize("name", CHAINS)
def test_the_trajectory_is_that_of_a_bare_loop(name):
    tx = CHAINS[name]
    expected = bare_loop(network(), tx)
    model = network()
    train(model, OptaxOptimizer(tx))
    assert_same(model, expected)
    moved = [np.abs(expected[k] - v).max() for k, v in weights(network()).items()]
    assert min(moved) > 1e-4


def test_a_finished_chain_is_scaled_by_the_rate_and_a_factory_gets_it():
    expected = bare_loop(network(), neo.neat(0.1))
    for tx in (neo.scale_by_neat(), neo.scale_by_neat, neo.neat):
        model = network()
        train(model, OptaxOptimizer(tx, learning_rate=0.1))
        assert_same(model, expected)


def test_schedules_of_keras_act_at_their_steps():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [1, 4], [0.1, 0.2, 0.05]
    )
    by_optax = optax.piecewise_constant_schedule(0.1, {2: 2.0, 5: 0.25})
    expected = bare_loop(network(), neo.neat(by_optax))
    for tx in (neo.neat, neo.scale_by_neat()):
        model = network()
        train(model, OptaxOptimizer(tx, learning_rate=schedule))
        assert_same(model, expected)


def test_callbacks_set_the_rate():
    halved = optax.piecewise_constant_schedule(0.1, {4: 0.5})
    expected = bare_loop(network(), neo.neat(halved))
    model = network()
    optimizer = OptaxOptimizer(neo.neat, learning_rate=0.1)
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 * 0.5**epoch)
    train(model, optimizer, callbacks=[schedule])
    assert_same(model, expected)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=1e6)
    train(model, None, epochs=3, callbacks=[plateau])
    assert float(optimizer.learning_rate.value) == pytest.approx(0.0125)


@pytest.mark.parametrize("accumulated", [None, 2])
def test_the_base_class_clips_decays_averages_and_constrains(accumulated):
    """As for Keras's own SGD, whose step is that of the empty chain."""
    found = []
    constrained = {"kernel_constraint": "non_neg", "name": "middle"}
    middle = functools.partial(keras.layers.Dense, 8, **constrained)
    for kind in (keras.optimizers.SGD, OptaxOptimizer):
        model = network(keras.Sequential, middle)
        optimizer = kind(
            **({} if kind is keras.optimizers.SGD else {"tx": optax.identity()}),
            learning_rate=0.5,
            weight_decay=0.1,
            clipnorm=0.05,
            use_ema=True,
            ema_momentum=0.9,
            loss_scale_factor=8.0,
            gradient_accumulation_steps=accumulated,
        )
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        train(model, optimizer)
        found.append(weights(model))
    assert_same(model, found[0])


def test_mixed_precision_keeps_masters_in_float32():
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = network()
            history = train(model, OptaxOptimizer(neo.neat, 0.3), epochs=8)
        finally:
            keras.config.set_dtype_policy("float32")
        assert history["loss"][-1] < 0.8 * history["loss"][0]
        assert {v.dtype for v in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("schedule", [False, True])
def test_saved_loaded_and_continued_equals_uninterrupted(tmp_path, schedule):
    rate = keras.optimizers.schedules.CosineDecay(0.1, 16) if schedule else 0.1

    def optimizer():
        given = {"beta": 0.8, "rates": (0.0, 0.7)}
        return OptaxOptimizer(light, rate, given, clipvalue=1.0)

    whole = network()
    train(whole, optimizer(), epochs=4)
    half = network()
    train(half, optimizer(), epochs=2)
    half.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    assert same_variables(half.optimizer, loaded.optimizer)
    train(loaded, None, epochs=2)
    assert_same(loaded, weights(whole), 0)
    assert same_variables(whole.optimizer, loaded.optimizer)


def same_variables(*optimizers):
    one, other = ([v.value for v in optimizer.variables] for optimizer in optimizers)
    pairs = zip(one, other, strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_the_state_is_there_for_diagnostics():
    model = network()
    optimizer = OptaxOptimizer(neo.neat(0.1, monitor=True))
    assert optimizer.diagnostic_snapshot() == {}
    train(model, optimizer)
    measured = neo.diagnostics(optimizer, optimizer_params(model), plain=True)
    per_leaf = measured["conflict"]["per_leaf"]
    assert "net/first/kernel" in per_leaf and len(per_leaf) == 4
    snapshot = optimizer.diagnostic_snapshot()
    assert snapshot["mean_conflict_ratio"] == measured["conflict"]["mean"]
    assert snapshot["mean_effective_alpha"] == 0.25
    before = weights(model)
    optimizer.reset_diagnostics()
    assert optimizer.diagnostic_snapshot()["mean_effective_alpha"] == 0
    assert_same(model, before, 0)


def optimizer_params(model):
    net = {}
    for variable in model.trainable_variables:
        _, layer, name = variable.path.split("/")
        net.setdefault(layer, {})[name] = variable.value
    return {"net": net}


def test_what_cannot_work_is_one_sentence():
    with pytest.raises(ValueError, match="`weight_decay` must be None where `learning"):
        OptaxOptimizer(optax.adam(0.1), weight_decay=0.1)
    optimizer = OptaxOptimizer(optax.adam(0.1))
    with pytest.raises(ValueError, match="`learning_rate` must be given to the optim"):
        optimizer.learning_rate = 0.1
    with pytest.raises(ValueError, match="a Keras schedule or a function without arg"):
        OptaxOptimizer(optax.identity(), optax.constant_schedule(0.1))
    with pytest.raises(ValueError, match="`learning_rate` must be a number in"):
        OptaxOptimizer(optax.identity(), "fast")
    one, two = (keras.Variable(np.zeros(2), name=name) for name in "ab")
    with pytest.raises(ValueError, match="got none for b"):
        optimizer.apply([np.ones(2), None], [one, two])
    with pytest.raises(ValueError, match="`updates` must have the shapes of `params`"):
        optimizer.apply([np.ones(2), np.ones((3, 2))], [one, two])
