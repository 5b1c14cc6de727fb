"""Training steps whose gradients have a player axis, in `fit`."""

import functools

import jax
import keras
import numpy as np
import optax
import pytest

import neat_optax as neo
from keras_nets import BATCH, LOSS, assert_same, digits, network, train, weights
from neat_optax import aggregators
from neat_optax.keras import ExamplePlayers, OptaxOptimizer, TaskPlayers

pytestmark = pytest.mark.slow


@keras.saving.register_keras_serializable("tests")
class Examples(ExamplePlayers, keras.Sequential):
    pass


@keras.saving.register_keras_serializable("tests")
class Tasks(TaskPlayers, keras.Model):
    pass


@keras.saving.register_keras_serializable("tests")
def by_upgrad(learning_rate, players=8):
    return optax.chain(
        aggregators.upgrad(num_players=players, monitor=True), optax.sgd(learning_rate)
    )


def mean_of_players():
    return OptaxOptimizer(optax.chain(aggregators.mean(), optax.sgd(0.1)))


def fit_weighted(model, optimizer, **options):
    x, y = digits(96)
    weight = np.linspace(0.5, 2, 96, dtype="float32")
    model.compile(optimizer, loss=LOSS, metrics=["accuracy"], **options)
    run = model.fit(x, y, BATCH, 2, 0, shuffle=False, sample_weight=weight)
    return run.history


@pytest.mark.parametrize("options", [{}, {"num_players": 4, "chunk_size": 2}])
def test_the_mean_over_examples_is_the_step_of_keras(options):
    """With penalties, loss scale, weights and metrics."""
    found = []
    penalties = {"kernel_regularizer": "l2", "activity_regularizer": "l1"}
    middle = functools.partial(keras.layers.Dense, 8, name="middle", **penalties)
    for kind in (keras.Sequential, Examples):
        model = network(kind, middle)
        plain = kind is keras.Sequential
        scaled = OptaxOptimizer(
            optax.chain(*([] if plain else [aggregators.mean()]), optax.sgd(0.1)),
            loss_scale_factor=4.0,
        )
        logs = fit_weighted(model, scaled, **({} if plain else options))
        found.append((weights(model), logs))
    assert_same(model, found[0][0])
    for name, values in found[0][1].items():
        np.testing.assert_allclose(found[1][1][name], values, rtol=1e-5)


def test_an_aggregator_weighs_players_as_in_a_loop_of_optax():
    start = network()
    tx = by_upgrad(0.1)
    paths = [v.path for v in start.trainable_variables]
    params = dict(zip(paths, (v.value for v in start.trainable_variables), strict=True))

    def loss_fn(params, x, y):
        outputs, _ = start.stateless_call([params[p] for p in paths], [], x[None])
        return LOSS(y[None], outputs)

    @jax.jit
    def step(params, state, x, y):
        _, grads = neo.value_and_example_grads(loss_fn, num_players=8)(params, x, y)
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state, (x, y) = tx.init(params), digits(96)
    for begin in range(0, 96, BATCH):
        params, state = step(params, state, x[begin:][:BATCH], y[begin:][:BATCH])
    model = network(Examples)
    optimizer = OptaxOptimizer(by_upgrad, 0.1)
    train(model, optimizer, epochs=1, count=96, num_players=8)
    for path, value in weights(model).items():
        np.testing.assert_allclose(value, params[f"net/{path}"], atol=1e-6)
    measured = neo.diagnostics(optimizer)["weights"].mean
    np.testing.assert_allclose(measured, neo.diagnostics(state)["weights"].mean, 1e-4)
    assert np.ptp(measured) > 0


def test_examples_draw_dropout_masks_of_their_own_and_seeds_move_on():
    """A kernel's gradient has no row for an input that dropout has left out."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dropout(0.5, seed=7), keras.layers.Dense(3)]
    model = Examples([keras.Input((4,)), *layers])
    seen = []
    look = optax.stateless(lambda grads, _: seen.append(grads) or grads)
    tx = optax.chain(look, aggregators.mean(), optax.sgd(0.1))
    model.compile(OptaxOptimizer(tx), loss="mse", run_eagerly=True)
    (seed,) = (v for v in model.non_trainable_variables if "seed" in v.name)
    before = np.asarray(seed.value)
    data = np.ones((6, 4), np.float32), np.ones((6, 3), np.float32)
    model.fit(*data, epochs=2, verbose=0)
    masks = []
    for grads in seen:
        (kernel,) = (g for g in jax.tree.leaves(grads) if g.shape == (6, 4, 3))
        masks += (np.abs(np.asarray(kernel)).sum(-1) > 0).tolist()
    assert len(set(map(tuple, masks))) > 4
    assert masks[:6] != masks[6:]
    assert (np.asarray(seed.value) - before).tolist() == [0, 2]


WEIGHT = np.linspace(0.5, 2, 96, dtype="float32")
WEIGHTS_OF_TASKS = {
    "none": None,
    "one for all": WEIGHT,
    "each": {"digit": WEIGHT, "even": WEIGHT[::-1]},
}


@pytest.mark.parametrize("weighted", WEIGHTS_OF_TASKS)
def test_each_output_is_a_player_and_statistics_are_carried(weighted):
    found = []
    for kind in (keras.Model, Tasks):
        keras.utils.set_random_seed(3)
        x = keras.Input((64,))
        plain = kind is keras.Model
        penalty = keras.regularizers.L2(0.02 if plain else 0.01)  # once for each player
        trunk = keras.layers.Dense(8, kernel_regularizer=penalty, name="trunk")(x)
        trunk = keras.layers.BatchNormalization(name="norm")(trunk)
        trunk = keras.layers.Dropout(0.2, seed=1)(trunk)
        heads = {
            "digit": keras.layers.Dense(10, name="first")(trunk),
            "even": keras.layers.Dense(1, name="second")(trunk),
        }
        model = kind(x, heads, name="net")
        reduce = [] if plain else [aggregators.sum()]
        optimizer = OptaxOptimizer(optax.chain(*reduce, optax.sgd(0.1)))
        model.compile(optimizer, loss={"digit": LOSS, "even": "mse"})
        pixels, label = digits(96)
        y = {"digit": label, "even": (label % 2 == 0).astype("float32")[:, None]}
        weight = WEIGHTS_OF_TASKS[weighted]
        run = model.fit(pixels, y, BATCH, 2, 0, shuffle=False, sample_weight=weight)
        statistics = [np.asarray(v.value) for v in model.non_trainable_variables]
        found.append((weights(model), statistics, run.history))
    plain, tasks = found
    for path, value in plain[0].items():
        np.testing.assert_allclose(tasks[0][path], value, atol=1e-6)
    for one, other in zip(plain[1], tasks[1], strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)
    assert tasks[2].keys() == plain[2].keys() >= {"loss", "digit_loss", "even_loss"}
    for name in ("digit_loss", "even_loss"):
        np.testing.assert_allclose(tasks[2][name], plain[2][name], rtol=1e-5)


def test_saved_loaded_and_continued_equals_uninterrupted(tmp_path):
    """Without dropout, whose seeds Keras does not save."""
    whole, half = network(Examples), network(Examples)
    train(whole, OptaxOptimizer(by_upgrad, 0.1), epochs=2, num_players=8)
    train(half, OptaxOptimizer(by_upgrad, 0.1), epochs=1, num_players=8)
    half.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    assert (type(loaded), loaded.num_players) == (Examples, 8)
    train(loaded, None, epochs=1)
    assert_same(loaded, weights(whole), 0)


@pytest.mark.parametrize(
    "optimizer, hidden, options, sentence",
    [
        (
            lambda: "sgd",
            (),
            {},
            "`optimizer` must be a neat_optax.keras.Opt",
        ),
        (lambda: OptaxOptimizer(optax.sgd(0.1)), (), {}, "must be reduced first"),
        (
            lambda: OptaxOptimizer(by_upgrad, 0.1, global_clipnorm=1.0),
            (),
            {},
            "`global_clipnorm` must be None for players",
        ),
        (
            mean_of_players,
            (keras.layers.BatchNormalization,),
            {},
            "moving_mean` must not change in the loss of one example",
        ),
        (
            mean_of_players,
            (),
            {"num_players": 5},
            "`num_players` must divide every batch, got 5 for one of 32 examples: ch",
        ),
    ],
)
def test_what_cannot_work_is_one_sentence(optimizer, hidden, options, sentence):
    model = network(Examples, *hidden)
    with pytest.raises(ValueError, match=sentence):
        train(model, optimizer(), **options)


@pytest.mark.parametrize("bias, rule", [(True, "axis of one size"), (False, "shape")])
def test_an_aggregator_in_an_ordinary_model_is_told_of_the_mixins(bias, rule):
    model = keras.Sequential(
        [keras.Input((64,)), keras.layers.Dense(10, use_bias=bias)]
    )
    with pytest.raises(ValueError, match=f"{rule}.*TaskPlayers or ExamplePlayers of"):
        train(model, mean_of_players())


def test_tasks_need_a_loss_each():
    x = keras.Input((64,))
    model = Tasks(x, [keras.layers.Dense(10)(x), keras.layers.Dense(10)(x)])
    images, labels = digits(32)
    model.compile(mean_of_players(), loss=LOSS)
    with pytest.raises(ValueError, match="`loss` must be a list or a dictionary"):
        model.fit(images, [labels, labels], verbose=0)
