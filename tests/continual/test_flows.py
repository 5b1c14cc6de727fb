"""Which layers have activities: traced only, nothing is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
from neat_optax import read_activities

PARAMS = {name: np.ones((4, 4), np.float32) for name in "abc"}
X = np.ones((3, 4), np.float32)


def layers_of(apply_fn, params=PARAMS, *data):
    found = jax.eval_shape(read_activities(apply_fn), params, *(data or (X,)))
    return {name: unit.shape for name, unit in found.unit_activity.items()}


def flattened(p, x):
    """Places and units, in turn, become one axis and two again."""
    hidden = jnp.repeat(x[:, None], 2, axis=1) @ p["a"]
    flat = jax.nn.relu(hidden.reshape(3, 8)).reshape(3, 2, 4)
    return jnp.swapaxes(flat, 1, 2).mean(axis=2) @ p["b"]


def in_calls(p, x):
    block = jax.jit(lambda w, x: jax.nn.relu(x @ w))
    return jax.checkpoint(block)(p["b"], block(p["a"], x)) @ p["c"]


def looped(p, x):
    x = jax.lax.scan(lambda x, _: (jnp.tanh(x @ p["b"]), None), x @ p["a"], length=2)[0]
    return x @ p["c"]


CASES = {
    "a chain": (lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"] @ p["c"], "ab"),
    "a skip": (lambda p, x: (x @ p["a"] + (x @ p["a"]) @ p["b"]) @ p["c"], "a"),
    "a skip from the start": (lambda p, x: (x + x @ p["a"]) @ p["b"], ""),
    "a gate": (lambda p, x: (x @ p["a"] * jax.nn.sigmoid(x @ p["b"])) @ p["c"], ""),
    "joined": (
        lambda p, x: jnp.concatenate([x @ p["a"], x @ p["b"]])[:3] @ p["c"],
        "",
    ),
    "two heads": (lambda p, x: (h := jnp.tanh(x @ p["a"])) @ p["b"] + h @ p["c"], "a"),
    "kept apart by a mask of numbers": (
        lambda p, x: jnp.where(jnp.sum(x) > 0, x @ p["a"], 0) @ p["b"],
        "a",
    ),
    "flattened": (flattened, "a"),
    "in calls": (in_calls, "ab"),
    "a loop": (looped, "a"),
    "attention": (
        lambda p, x: jax.nn.softmax((h := x @ p["a"]) @ h.T) @ x @ p["b"],
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_layers_that_others_see_alone(name):
    apply_fn, found = CASES[name]
    assert layers_of(apply_fn) == {layer: (4,) for layer in found}


def test_what_is_seen_comes_before_a_pool_and_after_the_activation():
    """By its mean: of the largest of each pair it would be larger."""

    def apply_fn(p, x):
        hidden = jnp.abs(x @ p["a"])
        pooled = jax.lax.reduce_window(
            hidden, -jnp.inf, jax.lax.max, (2, 1), (1, 1), "SAME"
        )
        return pooled @ p["b"]

    x = np.arange(12, dtype=np.float32).reshape(3, 4) - 5
    read = running.quick_jit(read_activities(apply_fn))
    found = read({**PARAMS, "a": np.eye(4, dtype=np.float32)}, x)
    np.testing.assert_allclose(found.unit_activity["a"], np.abs(x).mean(axis=0))
    assert sorted(found.unit_activity) == ["a"]


def test_several_axes_of_outputs_have_no_units():
    heads = {"a": np.ones((4, 2, 2), np.float32), "b": np.ones((2, 2, 4), np.float32)}

    def apply_fn(p, x):
        return jnp.einsum("thk,hkd->td", jnp.tensordot(x, p["a"], 1), p["b"])

    assert layers_of(apply_fn, heads) == {}
