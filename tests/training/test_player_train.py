"""Players: examples, tasks, micro-batches, stacked or never held together."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flax.training.dynamic_scale import DynamicScale

import running
import small_nets
from neat_optax import _factored, aggregators, training
from properties import assert_trees_close

BATCH = small_nets.BATCH
SGD = optax.sgd(1.0)
EXAMPLES = training.examples()
STACKED = optax.chain(aggregators.upgrad(), SGD)
START = np.float32([[1.0, -1.0], [0.5, 2.0], [0.0, 0.3]])


REMEMBERING = aggregators.Weighting(
    "one that remembers", jnp.zeros, lambda _, state: state, needs_num_players=True
)


def linear():
    return training.from_function(lambda w, x: x @ w, START)


def opposed(model, batch):
    """Losses of two tasks that pull apart, with one of them far stronger."""
    outputs = model(batch[0])
    return {
        "up": jnp.mean((outputs - 3) ** 2),
        "down": 9 * jnp.mean((outputs + 1) ** 2),
    }


def after(players, tx=STACKED, model=None, loss=small_nets.loss, **options):
    step = training.player_train_step(
        model or linear(), loss, tx, players=players, **options
    )
    return jax.jit(step.update)(step.init(), BATCH)


def check_without_a_stack(players, loss, rule, chunk):
    tx = optax.chain(aggregators.aggregate(rule), SGD)
    stacked, logs = after(players, tx, loss=loss)
    chunked = players._replace(chunk_size=chunk)
    alone, found = after(chunked, SGD, loss=loss, weighting=rule)
    np.testing.assert_allclose(alone.params, stacked.params, atol=1e-5)
    assert (alone.params != START).any()
    for name, value in logs.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)


def by_neighbors(gramian):
    """Weights that need every entry of the Gramian at its place."""
    return jnp.arange(1.0, 5.0) @ gramian / jnp.trace(gramian)


def test_without_a_stack_the_step_is_the_same():
    players = training.microbatches(4)
    check_without_a_stack(players, small_nets.loss, by_neighbors, 2)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize(
    ("players", "loss"),
    [(training.microbatches(4), small_nets.loss), (training.tasks(), opposed)],
)
def test_without_a_stack_upgrad_is_the_same(players, loss, chunk):
    check_without_a_stack(players, loss, aggregators.upgrad_weights, chunk)


@pytest.mark.slow
def test_the_update_of_two_tasks_is_upgrad_of_their_gradients():
    state, logs = after(training.tasks(), loss=opposed)

    def losses(w):
        return jnp.stack(jax.tree.leaves(opposed(lambda x: x @ w, BATCH)))

    jacobian = jax.jit(jax.jacrev(losses))(START)
    flat = np.asarray(jacobian, np.float64).reshape(2, -1)
    update = jnp.tensordot(aggregators.upgrad_weights(flat @ flat.T), jacobian, 1)
    np.testing.assert_allclose(state.params, START - update, rtol=1e-4, atol=1e-5)
    assert sorted(logs) == ["loss", "loss_down", "loss_up"]


def test_examples_are_micro_batches_of_one_and_take_a_loss_scale():
    tx = optax.chain(aggregators.mean(), SGD)
    step = training.player_train_step(
        linear(),
        small_nets.loss,
        tx,
        players=training.examples(),
        scale=DynamicScale(scale=8.0),
    )
    update = jax.jit(step.update)
    one, _ = update(step.init(), BATCH)
    plain = training.train_step(linear(), small_nets.loss, SGD)
    whole, _ = jax.jit(plain.update)(plain.init(), BATCH)
    np.testing.assert_allclose(one.params, whole.params, atol=1e-6)
    bad = np.where(np.arange(8)[:, None] < 7, BATCH[0], np.inf)
    broken, _ = update(one, (np.float32(bad), BATCH[1]))
    np.testing.assert_array_equal(broken.params, one.params)
    assert (one.scale.scale, broken.scale.scale, broken.step) == (8.0, 4.0, 2)


def gradients_seen(players):
    """The kinds of leaves that the first of a chain gets."""
    seen = []

    def look(updates, _):
        seen.extend(map(_factored.is_factored, _factored.flatten(updates)[0]))
        return updates

    tx = optax.chain(optax.stateless(look), aggregators.mean(), SGD)
    step = training.player_train_step(linear(), small_nets.loss, tx, players=players)
    jax.eval_shape(step.update, step.init(), BATCH)
    return seen


def test_gradients_of_examples_are_factored_unless_that_is_refused():
    assert gradients_seen(training.examples()) == [True]
    assert gradients_seen(training.examples(factored=False)) == [False]
    assert gradients_seen(training.examples(chunk_size=2)) == [True]
    assert gradients_seen(training.examples(factored=lambda _: False)) == [False]
    assert gradients_seen(training.microbatches(4)) == [False]
    assert gradients_seen(training.microbatches(4, factored=lambda _: True)) == [True]


FORMED = training.examples(factored=False)


def test_what_knows_no_factors_gets_gradients():
    """Clipping of entries, which factors have none of."""
    tx = optax.chain(optax.clip(0.1), aggregators.mean(), SGD)

    def params(players):
        step = training.player_train_step(
            linear(), small_nets.loss, tx, players=players
        )
        return step.update(step.init(), BATCH)[0].params

    both = jax.jit(lambda: [params(players) for players in (EXAMPLES, FORMED)])
    np.testing.assert_allclose(*both(), atol=1e-6)


class Dropping(nnx.Module):
    """Two layers with dropout in between."""

    def __init__(self, rngs):
        self.inner = nnx.Linear(3, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.outer = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x):
        x = self.dropout(nnx.relu(self.inner(x)))
        return self.outer(x).astype(jnp.float32)


class LinenDropping(nn.Module):
    """The same in linen."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(nn.Dense(8)(x)))
        return nn.Dense(2)(x).astype(jnp.float32)


def dropping(kind):
    """A model, and a loss with something beside it."""
    if kind == "linen":
        variables = jax.jit(LinenDropping().init)(jax.random.key(0), BATCH[0])
        model = training.from_linen(LinenDropping(), variables, rngs=("dropout",))
        loss = small_nets.linen_loss
    else:
        model, loss = training.from_nnx(Dropping(nnx.Rngs(0))), small_nets.loss

    def with_aux(model, batch):
        losses = loss(model, batch)
        return losses, {"largest": jnp.max(losses)}

    return model, with_aux


CASES = {
    "nnx": ("nnx", {}, 1e-5),
    "linen": ("linen", {}, 1e-5),
    # Only where they are formed are gradients rounded to 8 digits of a binary number.
    "bfloat16": ("nnx", {"dtype": jnp.bfloat16}, 2**-7),
    "float16": (
        "nnx",
        {"dtype": jnp.float16, "scale": DynamicScale(scale=2.0**10)},
        2**-9,
    ),
    "chunks": ("nnx", {"chunk_size": 3}, 1e-5),
    "a weighting": ("nnx", {"tx": SGD, "weighting": aggregators.upgrad_weights}, 1e-5),
    "scaled chunks": (
        "nnx",
        {
            "tx": SGD,
            "weighting": aggregators.upgrad_weights,
            "chunk_size": 2,
            "scale": DynamicScale(scale=2.0**10),
        },
        1e-5,
    ),
    "no factors": ("nnx", {"tx": optax.chain(optax.clip(0.1), STACKED)}, 1e-5),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_steps_of_factored_gradients_are_those_of_gradients(name):
    kind, options, tolerance = CASES[name]
    model, loss = dropping(kind)
    options = {"tx": STACKED, "ema": 0.5, **options}
    kept = EXAMPLES._replace(chunk_size=options.pop("chunk_size", None))

    def run(players):
        step = training.player_train_step(model, loss, players=players, **options)
        state, logs = step.init(), {}
        update = running.quick_jit(step.update)
        for _ in range(2):
            state, logs = update(state, BATCH)
        moved = jax.tree.map(jnp.subtract, state.params, model.params)
        return moved, state.ema, logs

    (moved, *found), (expected, *others) = map(run, (kept, FORMED))
    assert_trees_close(found, others, rtol=tolerance, atol=tolerance)
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(expected))
    assert largest > 0.01
    assert_trees_close(moved, expected, rtol=tolerance, atol=tolerance * largest)


def test_statistics_of_micro_batches_are_averaged():
    tx = optax.chain(aggregators.mean(), SGD)
    state, _ = after(training.microbatches(2), tx, model=small_nets.nnx_model())
    x = BATCH[0] @ small_nets.nnx_model().params["linear"]["kernel"]
    np.testing.assert_allclose(
        state.extra["norm"]["mean"], 0.01 * x.mean(0), rtol=1e-4, atol=1e-7
    )


def test_a_player_that_is_not_finite_is_dropped_without_a_stack():
    x = np.where(np.arange(8)[:, None] < 6, BATCH[0], np.inf).astype(np.float32)
    players = training.microbatches(4, chunk_size=1)
    step = training.player_train_step(
        linear(), small_nets.loss, SGD, players=players, weighting=jnp.diagonal
    )
    state, _ = jax.jit(step.update)(step.init(), (x, BATCH[1]))
    assert np.isfinite(state.params).all() and (state.params != START).any()


@pytest.mark.parametrize("kind", ["nnx", "linen"])
@pytest.mark.parametrize("players", [EXAMPLES, FORMED])
def test_statistics_have_no_gradient_of_one_example(kind, players):
    model = getattr(small_nets, f"{kind}_model")()
    loss = small_nets.linen_loss if kind == "linen" else small_nets.loss
    step = training.player_train_step(model, loss, STACKED, players=players)
    message = "`players` must not be examples where .* statistics of batches, got new"
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(step.update, step.init(), BATCH)


@pytest.mark.parametrize(
    ("players", "options", "message"),
    [
        (training.microbatches(3), {}, "`count` must divide the batch of 8 examples"),
        (training.microbatches(4, chunk_size=3), {"weighting": jnp.diagonal}, "divide"),
        (training.tasks(), {"loss": lambda *_: jnp.float32(1)}, "losses of the play"),
        (training.tasks, {}, "must be of type PlayerKind"),
        (training.examples(), {"tx": SGD}, "player axis"),
        (
            training.tasks(),
            {"weighting": REMEMBERING},
            r"must be microbatches\(count\) for one",
        ),
    ],
)
def test_players_that_do_not_fit_are_named(players, options, message):
    options = {"tx": STACKED, "loss": small_nets.loss, **options}
    loss, tx = options.pop("loss"), options.pop("tx")
    with pytest.raises(ValueError, match=message):
        step = training.player_train_step(
            linear(), loss, tx, players=players, **options
        )
        jax.eval_shape(step.update, step.init(), BATCH)


@pytest.mark.slow
def test_memory_without_a_stack_does_not_grow_with_the_players():
    model = training.from_function(
        lambda w, x: jnp.tanh(x @ w["a"]) @ w["b"],
        {"a": np.ones((64, 512), np.float32), "b": np.ones((512, 2), np.float32)},
    )
    size = sum(leaf.nbytes for leaf in model.params.values())
    found = {}
    for count in (4, 32):
        x, y = np.ones((count * 4, 64), np.float32), np.zeros(count * 4, np.int32)
        for name, players, tx, options in (
            ("stacked", training.microbatches(count), STACKED, {}),
            (
                "alone",
                training.microbatches(count, chunk_size=2),
                SGD,
                {"weighting": aggregators.upgrad_weights},
            ),
        ):
            step = training.player_train_step(
                model, small_nets.loss, tx, players=players, **options
            )
            lowered = jax.jit(step.update).lower(step.init(), (x, y)).compile()
            found[name, count] = lowered.memory_analysis().temp_size_in_bytes / size
    assert found["stacked", 32] > 20
    assert found["alone", 32] < found["alone", 4] + 2 < 14, found
