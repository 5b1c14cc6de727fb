import itertools

import numpy as np
import pytest

from neat_optax.advice._problem import pose

START = np.zeros(2, np.float32)
BATCH = np.ones(3, np.float32)


def losses(params, batch):
    return (params - batch[:2]) ** 2


def posed(batches, loss=losses, most=5, **options):
    return pose(loss, START, batches, most=most, **options)


@pytest.mark.parametrize(
    "batches",
    [[BATCH] * 9, itertools.repeat(BATCH), lambda number: BATCH * number],
)
def test_no_more_batches_are_read_than_asked_for(batches):
    found = posed(batches)
    assert len(found.batches) == len(found.pairs) == 5
    assert found.is_sampled


def test_a_batch_is_compared_with_the_next_one_or_with_its_other_half():
    many = [BATCH * number for number in range(3)]
    pairs = [(a[0], b[0]) for a, b in posed(many).pairs]
    assert pairs == [(0, 1), (1, 2), (2, 0)]
    halved = posed([BATCH], halves=lambda batch: (batch, 2 * batch))
    assert [(a[0], b[0]) for a, b in halved.pairs] == [(1, 2)]
    assert not posed([BATCH]).is_sampled


def test_names_are_given_or_those_of_the_losses():
    both = {"b": lambda p, _: p[0], "a": lambda p, _: p[1]}
    assert posed([BATCH], both).players == ("a", "b")
    named = posed([BATCH], lambda p, _: {"b": p[0], "a": p[1]})
    assert named.players == ("a", "b")
    assert posed([BATCH]).players == ("player 0", "player 1")
    assert posed([BATCH], players=["x", "y"]).players == ("x", "y")


@pytest.mark.parametrize(
    ("batches", "options", "sentence"),
    [
        ([], {}, "`batches` must hold at least one batch, got none"),
        ({"x": BATCH}, {}, "`batches` must be a list of batches, .*got dict"),
        ([BATCH, BATCH[:2]], {}, "got another for number 1: leave out a last batch"),
        ((BATCH, BATCH[:2]), {}, "got another for number 1: put one batch in a list"),
        (
            [BATCH],
            {"loss": lambda p, x, y: p + x + y},
            "one batch, got one that takes .p, x, y.",
        ),
        ([BATCH], {"players": "abc"}, "each of the 2 losses, got a, b, c"),
    ],
)
def test_what_makes_no_problem_is_refused(batches, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        posed(batches, **options)
