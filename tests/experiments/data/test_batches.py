import itertools

import numpy as np
import pytest

from neat_optax.experiments.data.batches import Batches, epoch_order
from neat_optax.experiments.data.parts import Split

ARRAYS = Split(np.arange(10), 10 * np.arange(10))


def make(**options):
    return Batches(ARRAYS, **{"batch_size": 3, "seed": 5, **options})


def test_an_order_follows_from_seed_and_epoch():
    orders = [tuple(epoch_order(*x, 50)) for x in ((0, 0), (0, 1), (1, 0))]
    assert len(set(orders)) == 3
    assert orders[0] == tuple(epoch_order(0, 0, 50))
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_an_epoch_has_every_example_once_and_labels_stay_beside_inputs():
    seen = list(make(num_epochs=2))
    assert len(seen) == 6
    for epoch, three in enumerate((seen[:3], seen[3:])):
        x = np.concatenate([batch.x for batch in three])
        np.testing.assert_array_equal(x, epoch_order(5, epoch, 10)[:9])
    assert all((batch.y == 10 * batch.x).all() for batch in seen)


def test_the_batches_of_an_epoch_are_those_of_the_iterator():
    seen = list(make(num_epochs=2))
    again = [batch for epoch in range(2) for batch in make().of_epoch(epoch)]
    np.testing.assert_array_equal([b.x for b in seen], [b.x for b in again])


@pytest.mark.parametrize("done", [0, 1, 3, 4, 6])
def test_it_goes_on_from_any_state(done):
    begun = make(num_epochs=3)
    list(itertools.islice(begun, done))
    state = begun.get_state()
    rest = [batch.x for batch in begun]
    other = make(num_epochs=3)
    list(itertools.islice(other, 2))
    other.set_state(state)
    np.testing.assert_array_equal([batch.x for batch in other], rest)
    assert len(rest) == 9 - done


def test_a_state_of_other_batches_is_refused():
    state = make().get_state()
    for name, value in (("seed", 6), ("batch_size", 2)):
        with pytest.raises(ValueError, match=f"of batches with a {name}"):
            make(**{name: value}).set_state(state)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="at most the 10 examples, got 11"):
        make(batch_size=11)
    with pytest.raises(ValueError, match="same number of examples, got 3, 4"):
        Batches((np.zeros(3), np.zeros(4)), 2, seed=0)
