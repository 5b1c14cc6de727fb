import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.players._dependence import dependence

SHAPES = {"a": (3, 2), "b": (3, 1), "t": (4, 3)}
PARAMS = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
X = jax.ShapeDtypeStruct((5, 4), jnp.float32)
ALONE = [[True, False, True], [False, True, True]]  # [players, a b t]
ALL = [[True, True, True], [True, True, True]]


def heads(params, x):
    """Results [5, 1] of two heads on one trunk."""
    hidden = jnp.tanh(x @ params["t"])
    return jnp.mean(hidden @ params["a"], -1, keepdims=True), hidden @ params["b"]


def stacked(params, x):
    return jnp.stack([jnp.mean(h) for h in heads(params, x)])


def as_array(params, x):
    return jnp.array([jnp.mean(h) for h in heads(params, x)])


def joined(params, x):
    """Losses that are told apart along the last axis, until the end."""
    logits = jnp.concatenate(heads(params, x), axis=-1)
    return jnp.mean(jax.nn.log_sigmoid(logits) * jnp.ones((1, 2)), axis=0)


def reshaped(params, x):
    logits = jnp.concatenate(heads(params, x), axis=1).T.reshape(2, 5, 1)
    return jnp.squeeze(logits, 2).sum(1)


def flattened(params, x):
    return jnp.concatenate([h[:1] for h in heads(params, x)], axis=1).reshape(2)


def sliced(params, x):
    losses = stacked(params, x)
    return jnp.concatenate([losses[:1], losses[1:]]) / jnp.array([1.0, 2.0])


def under_calls(params, x):
    inner = jax.jit(jax.checkpoint(stacked))
    return jnp.where(True, inner(params, x), 0.0)


FOLLOWED = [
    stacked,
    as_array,
    joined,
    reshaped,
    flattened,
    sliced,
    under_calls,
]


@pytest.mark.parametrize("fn", FOLLOWED, ids=lambda fn: fn.__name__)
def test_heads_are_told_apart(fn):
    np.testing.assert_array_equal(dependence(fn, PARAMS, X), ALONE)


def scanned(params, x):
    return jax.lax.scan(lambda c, _: (c, stacked(params, x)), 0.0, length=1)[1][0]


def branched(params, x):
    fn = functools.partial(stacked, params)
    return jax.lax.cond(x.sum() > 0, fn, lambda y: 2 * fn(y), x)


def mixed(params, x):
    return jnp.ones((2, 2)) @ stacked(params, x)


def added_up(params, x):
    return jnp.cumsum(stacked(params, x))


NOT_FOLLOWED = [scanned, branched, mixed, added_up]


@pytest.mark.parametrize("fn", NOT_FOLLOWED, ids=lambda fn: fn.__name__)
def test_what_is_not_followed_depends_on_everything(fn):
    np.testing.assert_array_equal(dependence(fn, PARAMS, X), ALL)


def test_values_do_not_count():
    zeros = jax.tree.map(np.zeros_like, PARAMS)
    found = dependence(stacked, zeros, np.zeros((5, 4), np.float32))
    np.testing.assert_array_equal(found, ALONE)


def test_no_gradient_is_no_dependence():
    def losses(p):
        through_integers = jnp.round(p["a"]).astype(jnp.int32).astype(jnp.float32)
        return jnp.stack([p["b"], jax.lax.stop_gradient(p["t"]), through_integers])

    params = {"a": 1.0, "b": 2.0, "t": 3.0}
    found = dependence(losses, params)
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 0], [0, 0, 0]])


def test_a_custom_gradient_counts():
    """A rounding whose gradient passes straight through."""

    @jax.custom_vjp
    def rounded(x):
        return x.astype(jnp.int32).astype(jnp.float32)

    rounded.defvjp(lambda x: (rounded(x), None), lambda _, g: (g,))
    found = dependence(lambda p: jnp.stack([rounded(p), 0 * p]), jnp.array(1.0))
    np.testing.assert_array_equal(found, [[1], [1]])


def test_integer_parameters_have_no_gradient():
    found = dependence(lambda p: p["n"] * jnp.stack([p["x"]]), {"n": 2, "x": 1.0})
    np.testing.assert_array_equal(found, [[0, 1]])


def test_a_mutable_array_hides_what_it_changes():
    def losses(p):
        kept = jax.new_ref(jnp.zeros(2))
        kept[0] = p["a"]
        kept[1] = p["b"]
        return kept[...]

    found = dependence(losses, {"a": 1.0, "b": 2.0})
    np.testing.assert_array_equal(found, [[1, 1], [1, 1]])


def test_agrees_with_the_jacobian():
    """Random values: an entry of the Jacobian is zero where nothing depends."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: np.float32(rng.normal(size=p.shape)), PARAMS)
    x = np.float32(rng.normal(size=X.shape))

    @jax.jit
    def jacobians(params, x):
        return [jax.jacrev(fn)(params, x) for fn in FOLLOWED]

    for fn, jacobian in zip(FOLLOWED, jacobians(params, x), strict=True):
        rows = [np.asarray(leaf).reshape(2, -1) for leaf in jax.tree.leaves(jacobian)]
        found = np.stack([(row != 0).any(axis=1) for row in rows], axis=1)
        np.testing.assert_array_equal(found, dependence(fn, PARAMS, X), fn.__name__)
