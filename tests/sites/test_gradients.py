import jax
import jax.numpy as jnp
import numpy as np
import pytest

import programs
from neat_optax import _factored
from neat_optax._sites import value_and_factored_grads
from properties import assert_trees_close


def factored(name):
    """Losses and gradients of all players of a program."""
    loss, params, rows = programs.ALL[name]
    with_aux = lambda *arguments: (loss(*arguments), None)  # noqa: E731
    (losses, _), gradients = value_and_factored_grads(with_aux, params, rows)
    return losses, gradients


def mapped(name):
    """The same by a backward pass of each player."""
    loss, params, rows = programs.ALL[name]
    return jax.vmap(jax.value_and_grad(loss), (None, *[0] * len(rows)))(params, *rows)


@jax.jit
def of_all():
    """Both of every program, compiled once."""
    found = {name: factored(name) for name in programs.ALL}
    return _factored.explicit(found), {name: mapped(name) for name in programs.ALL}


def test_factors_stand_for_the_gradients_of_every_player():
    found, expected = jax.device_get(of_all())
    for name in programs.ALL:
        assert_trees_close(found[name], expected[name], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", programs.ALL)
def test_what_is_kept_as_factors(name):
    """Where they are dearer, or a parameter is used in another way, it is an array."""
    _, gradients = jax.eval_shape(lambda: factored(name))
    kept = [_factored.is_factored(leaf) for leaf in _factored.flatten(gradients)[0]]
    assert any(kept) == (name in programs.FACTORED)


def test_low_precision_keeps_the_dtypes_of_the_parameters():
    def loss(params, x):
        return programs.size(x.astype(jnp.bfloat16) @ params.astype(jnp.bfloat16)), None

    shapes = jax.ShapeDtypeStruct((6, 4), np.float32)
    row = jax.ShapeDtypeStruct((programs.PLAYERS, 6), np.float32)
    find = lambda p, x: value_and_factored_grads(loss, p, (x,))  # noqa: E731
    _, gradient = jax.eval_shape(find, shapes, row)
    assert _factored.is_factored(gradient)
    assert gradient.dtype == np.float32
    assert gradient.terms[0][0].dtype == jnp.bfloat16


@pytest.mark.parametrize("size", [1, 2, 7])
def test_chunks_are_put_together(size):
    loss, params, rows = programs.FACTORED["a tied head"]
    with_aux = lambda *arguments: (loss(*arguments), None)  # noqa: E731

    @jax.jit
    def found():
        whole = value_and_factored_grads(with_aux, params, rows)
        parts = value_and_factored_grads(with_aux, params, rows, chunk_size=size)
        return _factored.explicit((whole, parts))

    whole, parts = jax.device_get(found())
    assert_trees_close(whole, parts, rtol=1e-5, atol=1e-6)


def test_the_choice_is_the_caller_s():
    """Of parameters that can be factored only: it is not asked about others."""
    loss, params, rows = programs.FACTORED["dense layers"]
    params = {**params, "also": np.ones(3, np.float32)}
    asked = []

    def penalized(params, x):
        return loss(params, x) + jnp.sum(params["also"] ** 2), None

    def choose(leaf):
        asked.append(leaf.path)
        return leaf.path == "out"

    shapes = jax.eval_shape(
        lambda: value_and_factored_grads(penalized, params, rows, choose)
    )[1]
    kept = {key for key, leaf in shapes.items() if _factored.is_factored(leaf)}
    assert kept == {"out"}
    assert sorted(asked) == ["bias", "in", "out"]
