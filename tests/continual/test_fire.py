"""At a change of the task kernels become isometries."""

import jax
import numpy as np
import optax
import pytest

from neat_optax.continual import fire, fire_weights
from running import quick_jit, run
from weight_goldens import GOLDEN, assert_close

KERNEL = np.random.default_rng(6).normal(size=(6, 4)).astype(np.float32)


def test_it_is_the_program_of_the_authors():
    change = quick_jit(lambda params: fire_weights(params, iterations=5))
    assert_close(change(GOLDEN["net"]), "fire")


def test_only_kernels_change_and_each_layer_of_a_stack_by_itself():
    stack = np.stack([KERNEL, 1e-20 * KERNEL, 0 * KERNEL])
    params = {
        "stack": {"kernel": stack, "bias": np.ones((3, 4), np.float32)},
        "norm": {"scale": np.full((3, 4), 3.0, np.float32)},
        "embed": {"embedding": KERNEL},
        "broken": {"kernel": np.where(KERNEL > 1, np.nan, KERNEL)},
        "left": {"kernel": KERNEL},
    }
    mask = {name: name != "left" for name in params}
    change = lambda params: fire_weights(params, iterations=25, mask=mask)  # noqa: E731
    new = jax.tree.map(np.asarray, quick_jit(change)(params))
    u, _, v = np.linalg.svd(KERNEL.astype(float), full_matrices=False)
    for number in (0, 1):
        found = new["stack"]["kernel"][number]
        np.testing.assert_allclose(found, np.sqrt(4 / 6) * u @ v, rtol=1e-4, atol=1e-5)
    assert np.all(new["stack"]["kernel"][2] == 0)
    for same in ("norm", "embed", "broken", "left"):
        jax.tree.map(np.testing.assert_array_equal, new[same], params[same])
    np.testing.assert_array_equal(new["stack"]["bias"], params["stack"]["bias"])


def test_a_chain_changes_the_new_weights_when_it_is_told_to():
    params = {"kernel": KERNEL}
    tx = optax.chain(optax.sgd(1.0), fire(iterations=25))
    steps = {"kernel": -np.ones((3, 6, 4), np.float32)}
    due = np.array([False, True, False])
    _, after, _ = run(tx, steps, params, new_task=due)
    before = {"kernel": KERNEL + 2}
    change = lambda params: fire_weights(params, iterations=25)  # noqa: E731
    wanted = np.asarray(quick_jit(change)(before)["kernel"])
    np.testing.assert_allclose(after["kernel"][0], KERNEL + 1, rtol=1e-6)
    np.testing.assert_allclose(after["kernel"][1], wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after["kernel"][2], wanted + 1, rtol=1e-4, atol=1e-5)
    _, by_steps, _ = run(
        optax.chain(optax.sgd(1.0), fire(2, iterations=25)), steps, params
    )
    np.testing.assert_allclose(by_steps["kernel"], after["kernel"], rtol=1e-6)


def test_bad_input():
    message = r"^`iterations` must be an integer >= 1, got 0\.$"
    for call in (lambda: fire(iterations=0), lambda: fire_weights({}, iterations=0)):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=r"^`every` must be an integer >= 1, got 0\.$"):
        fire(0)
    state, zero = fire().init(KERNEL), np.zeros_like(KERNEL)
    message = r"^`new_task` must be passed to update for fire without `every`, got None"
    with pytest.raises(ValueError, match=message):
        fire().update(zero, state, KERNEL)
    message = r"^`new_task` must be one True or False, got shape \(2,\)\.$"
    with pytest.raises(ValueError, match=message):
        fire().update(zero, state, KERNEL, new_task=np.array([True, False]))
