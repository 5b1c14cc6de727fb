"""Iterables that are gone on with: by their own state, or by counting."""

import json

import numpy as np
import pytest

from neat_optax.experiments.data import Batches, grain_batches
from neat_optax.training._folder import Progress
from neat_optax.training._reader import Reader


class Noted:
    """A source of Grain's that notes what is read of it."""

    def __init__(self):
        self.read = set()

    def __len__(self):
        return 12

    def __getitem__(self, number):
        self.read.add(int(number))
        return np.int32(number)


def of_grain(source):
    return grain_batches(source, 2, seed=0, num_epochs=1)  # it reads ahead


def of_batches(source):
    """`Batches` that read each example from the source."""
    batches = Batches(np.arange(12), 2, seed=0)
    chosen = batches._chosen
    batches._chosen = lambda numbers: [source[x] for x in chosen(numbers)]
    return batches


class Bytes:
    """An iterator whose state is bytes, as that of Grain's loader."""

    def __init__(self, source):
        self.source, self.at = source, 0

    def __iter__(self):
        return self

    def __next__(self):
        self.at += 1
        return self.source[self.at - 1]

    def get_state(self):
        return str(self.at).encode()

    def set_state(self, state):
        self.at = int(state.decode())


def taken(reader, progress, count):
    batches = reader.batches(progress)
    return [np.asarray(next(batches)).tolist() for _ in range(count)]


GRAIN = pytest.param(of_grain, marks=pytest.mark.slow)


@pytest.mark.parametrize("make", [GRAIN, of_batches, Bytes])
@pytest.mark.parametrize("steps", [4, None])
def test_an_iterator_with_a_state_goes_on_without_reading_what_was_seen(make, steps):
    whole = taken(Reader(make(Noted()), steps), Progress(), 4)
    first = Reader(make(Noted()), steps)
    assert taken(first, Progress(), 3) == whole[:3]
    state = json.loads(json.dumps(first.state()))
    source = Noted()
    again = Reader(make(source), steps)
    assert taken(again, Progress(position=3, data=state), 1) == whole[3:]
    assert source.read.isdisjoint(np.ravel(whole[:3]).tolist())


def test_one_iterator_goes_through_all_epochs_of_so_many_steps():
    reader = Reader(range(9), 3)
    epochs = [list(reader.batches(Progress(epoch))) for epoch in (0, 1)]
    assert epochs == [[0, 1, 2], [3, 4, 5]]
    assert list(Reader(range(9), 3).batches(Progress(2, 1))) == [7, 8]


def test_without_a_number_of_steps_every_epoch_begins_anew():
    reader = Reader(lambda epoch: [epoch, epoch + 1], None)
    assert list(reader.batches(Progress(5))) == [5, 6]
    assert list(reader.batches(Progress(6, 1))) == [7]
    assert reader.state() is None


def test_the_end_of_an_epoch_leaves_a_state_only_where_the_iterator_goes_on():
    states = []
    for steps in (None, 2):
        reader = Reader(Batches(np.arange(4), 2, seed=0, num_epochs=1), steps)
        assert len(list(reader.batches(Progress()))) == 2
        states.append(reader.state(ended=True))
    assert states[0] is None
    assert states[1]["epoch"] == 1


def test_a_state_that_json_does_not_keep_is_left_out():
    reader = Reader(Bytes(range(3)), None)
    next(reader.batches(Progress()))
    for state in ({1: 2}, object(), (1, 2)):
        reader._current.get_state = lambda state=state: state
        assert reader.state() is None


def test_too_few_batches_are_named():
    with pytest.raises(ValueError, match=r"must have 3 batches .*, got 2 in epoch 0"):
        list(Reader([1, 2], 3).batches(Progress()))
