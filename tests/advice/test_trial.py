import jax.numpy as jnp
import numpy as np

from neat_optax.advice._problem import Point, Problem
from neat_optax.advice._trial import _divided, _order, judge, trials

SPREAD = np.array([1.0, 1.1, 0.9, 1.05])[:, None] * np.ones(2)
"""[seeds, P]: one of the mean's losses for each seed."""


def judged(**means):
    ends = {name: mean * SPREAD for name, mean in means.items()}
    return judge(ends, np.full((4, 2), 2.0), dict.fromkeys(means, 1.0))


def test_each_is_held_against_the_mean_seed_by_seed():
    found = judged(mean=2.0, a=1.0)
    np.testing.assert_allclose(found["a"].difference, -np.log(2), atol=1e-12)
    np.testing.assert_allclose(found["mean"].score, np.log(SPREAD).mean())
    assert found["mean"].difference == (0.0, 0.0, 0.0)
    np.testing.assert_allclose(found["a"].apart, [-np.log(2)] * 2)
    left = np.log(SPREAD / 2).mean(axis=0)
    np.testing.assert_allclose(found["a"].left, left)


def test_what_is_not_finite_is_the_worst():
    assert judged(mean=1.0, a=np.nan)["a"].difference.low > 100


def test_losses_below_zero_are_compared_by_differences():
    found = judged(mean=-1.0, a=-2.0)
    np.testing.assert_allclose(found["a"].difference.mean, -0.5 * SPREAD.mean())


class Descent:
    """Stands for a compiled step: towards 0, by a rate of its own."""

    def __init__(self, rate):
        self.rate = rate
        self.used = []

    def init(self, params):
        del params

    def step(self, point, state, batch, factor):
        self.used.append((batch, float(factor)))
        kept = max(1 - self.rate * float(factor), -2.0)
        return point._replace(params=point.params * kept), state


def test_each_tries_all_factors_once_and_goes_on_with_the_best():
    def losses(point, batch):
        del batch
        return jnp.stack([point.params**2, 2 * point.params**2]), ()

    batches = list(np.arange(8.0))
    start = Point(np.float32(1), ())
    problem = Problem(start, None, losses, batches, [], ("a", "b"), (True,))
    steps = {"mean": Descent(0.1), "a": Descent(1.0)}
    found = trials(problem, steps, (0.3, 1.0, 3.0), steps=6, seeds=3, alike=False)
    assert (found["mean"].factor, found["a"].factor) == (3.0, 1.0)
    assert (found["mean"].edge, found["a"].edge) == ("largest", "")
    assert found["a"].difference.high < 0
    for one in steps.values():
        assert len(one.used) == 6 * (3 + 2)
        first = one.used[:6]
        assert [factor for _, factor in first] == sorted(
            (factor for _, factor in first), reverse=True
        )
    batches_of = [[batch for batch, _ in one.used] for one in steps.values()]
    assert batches_of[0] == batches_of[1]
    alike = trials(problem, steps, (1.0,), steps=6, seeds=2, alike=True)
    assert alike["a"].losses.shape == (2, 1)
    assert alike["a"].edge == ""  # there was one factor


def test_a_quarter_of_the_batches_is_not_trained_on():
    train, held = _divided(list(range(8)), seed=0)
    assert (train, held) == ([0, 1, 2, 4, 5, 6], [3, 7])
    assert _divided(list(range(8)), seed=1)[1] == [2, 6]
    assert _divided([0, 1], seed=0) == ([0], [1])
    assert _divided([0], seed=0) == ([0], [0])


def test_every_batch_comes_once_before_one_comes_again():
    order = _order(5, 12, seed=3)
    assert len(order) == 12
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert (order == _order(5, 12, seed=3)).all()
    assert (order != _order(5, 12, seed=4)).any()
