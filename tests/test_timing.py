import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import _timing


def loops(turns):
    def fn(x):
        for _ in range(turns):
            x = jnp.sin(x @ x)
        return x

    return _timing.Step(fn, (jnp.ones((200, 200)),))


@pytest.fixture(scope="module")
def found():
    return _timing.costs({"one": loops(1), "eight": loops(8)}, rounds=5)


def test_longer_work_takes_longer(found):
    assert found["eight"].times(found["one"]) > 2
    assert found["one"].times(found["one"]) == 1


def test_bytes_hold_the_result_at_least(found):
    assert found["one"].bytes >= 4 * 200 * 200


def test_every_round_is_kept_and_the_first_call_is_not(found):
    assert {len(cost.seconds) for cost in found.values()} == {5}
    assert found["one"].median == sorted(found["one"].seconds)[2]


def test_on_a_cpu_waiting_takes_no_time():
    def fn(x):
        waited = jax.pure_callback(lambda x: (time.sleep(0.05), x)[1], x, x)
        return waited + 1

    waiting = _timing.Step(fn, (np.ones(2, np.float32),))
    assert _timing.costs({"waiting": waiting}, rounds=3)["waiting"].median < 0.03


def test_a_ratio_is_the_median_of_the_ratios_of_rounds():
    slow = _timing.Cost((2.0, 30.0, 8.0), 0)
    fast = _timing.Cost((1.0, 10.0, 2.0), 0)
    assert slow.times(fast) == 3.0
