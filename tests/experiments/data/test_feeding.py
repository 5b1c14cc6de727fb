import json
import sys

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from neat_optax.experiments.data.batches import Batches
from neat_optax.experiments.data.feeding import DeviceBatches, grain_batches
from neat_optax.experiments.data.parts import Split

X = np.arange(24, dtype=np.float32).reshape(12, 2)


class Rows:
    """What is read example by example, and counts what was read."""

    def __init__(self):
        self.read = 0

    def __repr__(self):  # by which Grain knows a source again
        return "Rows()"

    def __len__(self):
        return len(X)

    def __getitem__(self, number):
        self.read += 1
        return Split(X[number], np.int32(number))


def in_memory():
    return Batches(Split(X, np.arange(12)), 2, seed=1, num_epochs=2)


def listed():
    return [Split(X[i : i + 2], np.arange(i, i + 2)) for i in range(0, 12, 2)]


def by_grain():
    return grain_batches(Rows(), 2, seed=1, num_epochs=2)


def by_loader():
    grain = pytest.importorskip("grain")
    sampler = grain.samplers.IndexSampler(
        num_records=12, shuffle=True, seed=1, num_epochs=2
    )
    return grain.DataLoader(
        data_source=Rows(),
        sampler=sampler,
        operations=[grain.transforms.Batch(2)],
        worker_count=0,
    )


def numbers(batches):
    return [np.asarray(batch.y).tolist() for batch in batches]


@pytest.mark.fast("2-by_grain", "0-by_loader", "2-in_memory", "2-listed")
@pytest.mark.parametrize("make", [in_memory, listed, by_grain, by_loader])
@pytest.mark.parametrize("ahead", [0, 2])
def test_it_goes_on_after_the_last_batch_that_came_out(make, ahead):
    if make is by_grain:
        pytest.importorskip("grain")
    whole = numbers(DeviceBatches(make(), ahead=ahead))
    begun = DeviceBatches(make(), ahead=ahead)
    states = [begun.get_state()]
    for _ in range(4):
        next(begun)
        states.append(begun.get_state())
    for done in (0, 1, 4):
        other = DeviceBatches(make(), ahead=ahead)
        next(other)
        other.set_state(states[done])
        assert numbers(other) == whole[done:]
    assert len(whole) == (6 if make is listed else 12)


def test_a_state_of_grain_can_be_kept_in_json():
    pytest.importorskip("grain")
    begun = DeviceBatches(by_grain())
    next(begun)
    state = json.loads(json.dumps(begun.get_state()))
    other = DeviceBatches(by_grain())
    other.set_state(state)
    assert numbers(other) == numbers(begun)


def test_grain_shuffles_every_epoch_anew():
    pytest.importorskip("grain")
    seen = np.array(numbers(by_grain()))
    first, second = seen[:6].ravel(), seen[6:].ravel()
    assert sorted(first) == sorted(second) == list(range(12))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.sort(first))


def test_batches_wait_on_the_device():
    read = []

    def source():
        for number in range(6):
            read.append(number)
            yield np.float32(number)

    batches = DeviceBatches(source(), ahead=2)
    first = next(batches)
    assert isinstance(first, jax.Array)
    assert read == [0, 1, 2]
    assert [float(x) for x in batches] == [1, 2, 3, 4, 5]


def test_batches_are_sharded():
    mesh = Mesh(jax.devices()[:2], "data")
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    batch = next(DeviceBatches([X], sharding))
    assert batch.sharding == sharding
    np.testing.assert_array_equal(batch, X)


def test_what_cannot_begin_anew_is_refused():
    begun = DeviceBatches(iter([X, X, X]))
    next(begun)
    with pytest.raises(ValueError, match="can begin anew to go on from a state, got a"):
        begun.set_state({"count": 1})


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(ValueError, match=r"Grain is not.*neat-optax\[grain\]"):
        grain_batches(Rows(), 2, seed=0)
