"""Epochs: data of both kinds, shuffling, means, callbacks, exact resumption."""

import functools
import warnings

import jax
import numpy as np
import optax
import pytest

import small_nets
from neat_optax import training
from neat_optax.experiments.data import Batches, grain_batches

DATA = small_nets.X, small_nets.Y
BATCHES = [tuple(part[i : i + 4] for part in DATA) for i in range(0, 20, 4)]


@functools.cache
def step():
    """A step in which everything is carried: statistics, dropout, moments, average."""
    model = small_nets.nnx_model()
    return training.train_step(model, small_nets.loss, optax.adam(0.1), ema=0.5)


def fit(data=DATA, *, epochs=3, **options):
    if data is DATA:
        options = {"batch_size": 4, **options}
    return training.fit(step(), data, epochs=epochs, **options)


@functools.cache
def uninterrupted():
    validation = {"validation": DATA, "metrics": small_nets.metrics}
    return fit(**validation)


def resumed(folder, *, at, every, **options):
    options |= {"validation": DATA, "metrics": small_nets.metrics}
    options["checkpoint"] = training.Checkpoint(folder, every=every)
    with pytest.raises(KeyboardInterrupt):
        fit(callbacks=[small_nets.Stop(at)], **options)
    return fit(**options)


def check_equal(one, other):
    small_nets.same(one.state, other.state)
    assert one.history.rows == other.history.rows


def test_an_interrupted_training_equals_an_uninterrupted_one(tmp_path):
    """Stopped in the middle of the second epoch, a step after a checkpoint."""
    check_equal(resumed(tmp_path, at=8, every=2), uninterrupted())
    kept = {path.name for path in tmp_path.iterdir()}
    assert kept == {".lock", "step_14", "step_15"}


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 5, 6, 10, 14])
@pytest.mark.parametrize("every", [None, 1, 4, 7])
def test_wherever_it_is_interrupted(tmp_path, at, every):
    check_equal(resumed(tmp_path, at=at, every=every), uninterrupted())


@pytest.mark.slow
def test_an_iterable_goes_on_where_it_was(tmp_path):
    checkpoint = training.Checkpoint(tmp_path, every=3)
    with pytest.raises(KeyboardInterrupt):
        fit(BATCHES, checkpoint=checkpoint, callbacks=[small_nets.Stop(7)])
    seen = []

    def watched(epoch):
        for batch in BATCHES:
            seen.append(epoch)
            yield batch

    check_equal(fit(watched, checkpoint=checkpoint), fit(BATCHES))
    assert seen == [1] * 5 + [2] * 5


class Watched:
    """Another iterator, with its state, that counts what it has given."""

    def __init__(self, batches):
        self.batches, self.given = iter(batches), 0
        self.get_state, self.set_state = self.batches.get_state, self.batches.set_state

    def __iter__(self):
        return self

    def __next__(self):
        self.given += 1
        return next(self.batches)


def of_grain():
    examples = list(zip(*DATA, strict=True))
    return Watched(grain_batches(examples, 4, seed=0))


def of_batches():
    return Watched(Batches(DATA, 4, seed=0))


@pytest.mark.slow
@pytest.mark.parametrize("make", [of_grain, of_batches])
@pytest.mark.parametrize("at", [5, 6, 8])
def test_an_iterator_with_a_state_goes_on_without_reading_again(tmp_path, make, at):
    options = {"epochs": 3, "steps_per_epoch": 4}
    expected = fit(make(), **options)
    options["checkpoint"] = training.Checkpoint(tmp_path, every=2)
    with pytest.raises(KeyboardInterrupt):
        fit(make(), callbacks=[small_nets.Stop(at)], **options)
    rest = make()
    check_equal(fit(rest, **options), expected)
    assert rest.given == 12 - 2 * ((at - 1) // 2)


@pytest.mark.slow
def test_callbacks_that_may_be_told_late_are_told_the_same():
    told = {True: [], False: []}
    for ahead, rows in told.items():
        callback = training.Callback()
        callback.ahead = ahead
        callback.on_epoch_end = lambda epoch, logs, rows=rows: rows.append(
            (epoch, logs["loss"])
        )
        fit(BATCHES, callbacks=[callback])
    assert told[True] == told[False]


def test_an_epoch_begins_before_the_logs_of_the_one_before_are_read():
    order, callback = [], training.Callback()
    callback.ahead = True
    callback.on_epoch_begin = lambda epoch: order.append(("begin", epoch))
    callback.on_epoch_end = lambda epoch, _: order.append(("end", epoch))
    fit(BATCHES[:1], epochs=2, callbacks=[callback])
    late = [("begin", 0), ("begin", 1), ("end", 0), ("end", 1)]
    assert order == late
    order.clear()
    callback.ahead = False
    fit(BATCHES[:1], epochs=2, callbacks=[callback])
    assert order == [late[i] for i in (0, 2, 1, 3)]


@pytest.mark.slow
def test_a_truncated_checkpoint_is_put_aside(tmp_path):
    options = {"checkpoint": training.Checkpoint(tmp_path, every=2)}
    fit(**options)
    file = next((tmp_path / "step_15" / "state" / "d").iterdir())
    file.write_bytes(file.read_bytes()[:9])
    with pytest.warns(UserWarning, match="step_15 is damaged, step_14 serves instead"):
        again = fit(**options)
    small_nets.same(again.state, uninterrupted().state)


@pytest.mark.slow
def test_the_best_epoch_is_kept(tmp_path):
    options = {"validation": DATA, "metrics": small_nets.metrics}
    best = training.Checkpoint(tmp_path, best="val_loss", mode="max")
    history = fit(checkpoint=best, **options).history
    state = training.load_checkpoint(best, step().init(), best=True)
    assert state.step == 5 * (1 + int(np.argmax(history["val_loss"])))
    with pytest.raises(ValueError, match=r"`best` must be in the logs, .*, got f1"):
        fit(checkpoint=training.Checkpoint(tmp_path / "other", best="f1"), epochs=1)


@pytest.mark.slow
def test_a_folder_of_another_training_is_refused(tmp_path):
    options = {"checkpoint": tmp_path / "run", "epochs": 1}
    fit(**options)
    with pytest.raises(ValueError, match=r"`seed` must be .*, 0, got 1"):
        fit(seed=1, **options)
    with pytest.raises(ValueError, match=r"`batch_size` must be .*, 4, got 5"):
        fit(batch_size=5, **options)
    other = training.train_step(small_nets.nnx_model(), small_nets.loss, optax.sgd(0.1))
    with pytest.raises(ValueError, match="with another model, optimizer or step"):
        training.fit(other, DATA, batch_size=4, **options)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"a folder of its own, got .* with notes.txt"):
        fit(epochs=1, checkpoint=tmp_path)


def test_every_epoch_shuffles_anew_by_the_seed():
    seen = []

    def update(state, batch):
        return state._replace(step=state.step + 1), {"first": batch[0]}

    watched = training.Step(step().model, lambda seed: step().init(seed), update)
    for seed in (0, 0, 1):
        order = []
        watch = training.Callback()
        watch.on_batch_end = lambda _, logs, order=order: order.append(logs["first"])
        training.fit(
            watched,
            np.arange(22),
            epochs=2,
            batch_size=11,
            seed=seed,
            callbacks=[watch],
        )
        seen.append(np.concatenate(jax.device_get(order)).tolist())
    assert seen[0] == seen[1] != seen[2]
    assert seen[0][:2] != seen[0][2:]


def test_the_history_holds_means_over_the_steps_of_an_epoch():
    rows = uninterrupted().history.rows
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert sorted(rows[0]) == ["epoch", "loss", "val_loss"]
    losses, state, update = [], step().init(0), small_nets.compiled(step().update)
    for batch in BATCHES:
        state, logs = update(state, batch)
        losses.append(float(logs["loss"]))
    one = fit(BATCHES, epochs=1)
    np.testing.assert_allclose(one.history["loss"], [np.mean(losses)], rtol=1e-6)


def test_evaluation_counts_every_example_with_the_average_of_parameters():
    state = uninterrupted().state
    found = training.evaluate(
        step().model, state, DATA, small_nets.metrics, batch_size=4
    )
    plain = state._replace(params=state.ema, ema=None)
    whole = training.evaluate(step().model, plain, [DATA], small_nets.metrics)
    np.testing.assert_allclose(found["loss"], whole["loss"], rtol=1e-6)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (DATA, {"batch_size": 23}, "`batch_size` must be at most the 22 examples"),
        (np.ones(()), {"batch_size": 1}, "one leading axis of examples"),
        (3, {}, "`data` must be arrays with a batch_size, an iterable"),
        (iter(()), {}, "got none in epoch 0"),
        (
            DATA,
            {"validation": DATA, "batch_size": 2},
            "`validation` and `metrics` must be given to",
        ),
        (
            (*DATA,),
            {},
            "`data` must be an iterable of batches where batch_size is None",
        ),
        ({"x": DATA[0]}, {}, "got arrays in a dict: give a batch_size, or put the ba"),
        ([DATA], {"batch_size": 2}, "got a list of tuple: leave batch_size out for"),
        (
            [DATA],
            {"validation": DATA, "metrics": small_nets.metrics},
            "`validation` must be an iterable of batches where",
        ),
    ],
)
def test_data_that_cannot_be_trained_on_are_named(data, options, message):
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        fit(data, epochs=1, **options)
