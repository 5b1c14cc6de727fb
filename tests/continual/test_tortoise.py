"""Fast weights go back to their slow average."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neat_optax.continual import hare_and_tortoise
from running import run


def array(*entries, dtype=np.float32):
    return np.array(entries, dtype)


def expected(updates, start, every, decay):
    """The loop of the paper, in float64."""
    hare = tortoise = float(start)
    found = []
    for step, update in enumerate(updates, 1):
        hare += update
        tortoise = decay * tortoise + (1 - decay) * hare
        hare = tortoise if step % every == 0 else hare
        found.append((hare, tortoise))
    return np.array(found).T


def test_it_is_the_loop_of_the_paper():
    moves = np.random.default_rng(1).normal(size=9)
    tx = hare_and_tortoise(3, 0.75)
    _, after, state = run(tx, {"w": moves.astype(np.float32)}, {"w": array(2.0)[0]})
    hares, tortoises = expected(moves, 2.0, 3, 0.75)
    np.testing.assert_allclose(after["w"], hares, rtol=1e-5)
    slow = optax.tree.get(state, "slow")["w"]
    np.testing.assert_allclose(slow, tortoises[-1], rtol=1e-5)


def test_the_caller_says_when_and_a_mask_says_what():
    tx = hare_and_tortoise(decay=0.5, mask={"w": True, "b": False})
    params = {"w": array(0), "b": array(0)}
    steps = {"w": np.full((3, 1), 4, np.float32), "b": np.full((3, 1), 4, np.float32)}
    due = np.array([False, True, False])
    _, after, _ = run(tx, steps, params, new_task=due)
    assert after["w"].ravel().tolist() == [4, 5, 9]
    assert after["b"].ravel().tolist() == [4, 8, 12]


def test_the_average_moves_in_low_precision_and_stays_finite():
    steps = jnp.array([[1.0, 1.0], [0.0, np.nan]], jnp.bfloat16)
    tx = hare_and_tortoise(100, 0.999)
    _, _, state = run(tx, steps, array(1, 1, dtype=jnp.bfloat16))
    np.testing.assert_allclose(state.slow, [1 + 0.001999, 1.001], rtol=1e-6)


def test_bad_input():
    message = r"^`decay` must be in \[0, 1\), got 1\.0\.$"
    with pytest.raises(ValueError, match=message):
        hare_and_tortoise(2, 1.0)
    with pytest.raises(ValueError, match=r"^`every` must be an integer >= 1, got 0\.$"):
        hare_and_tortoise(0)
    tx, w = hare_and_tortoise(), array(1)
    with pytest.raises(ValueError, match=r"^`new_task` must be passed to update for"):
        tx.update(w, tx.init(w), w)
    message = r"^`state of hare_and_tortoise` must have the shapes of `params`"
    with pytest.raises(ValueError, match=message):
        tx.update(array(1, 1), tx.init(w), array(1, 1), new_task=False)
