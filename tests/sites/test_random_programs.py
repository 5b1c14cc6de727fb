"""Programs put together from layers at random: factored players are the players."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
import running
from neat_optax import _factored, _stacked
from properties import assert_trees_close

P, WIDTH, LENGTH = 4, 6, 3
WEIGHTS = np.float32([0.5, -1, 2, 0.25])


def dense(x, w):
    return jnp.tanh(x @ w)


def on_the_left(x, w):
    return jnp.tanh(w[:, : x.shape[-1]] @ x.T).T


def there_and_back(x, w):
    return jnp.tanh(x @ w) @ w.T


def bias(x, w):
    return x + w[0] if x.ndim == 1 else x + w[: len(x)]


def scale(x, w):
    return x * jnp.broadcast_to(w[0], x.shape)


def rematerialized(x, w):
    return x + jax.checkpoint(dense)(x, w)


def turns(x, w):
    """One weight at every turn, and slices of it."""

    def turn(x, row):
        return jnp.tanh(x @ w + (row if x.ndim == 1 else row[None])), None

    return jax.lax.scan(turn, x, w[:2])[0]


def filtered(x, w):
    """A convolution along the sequence, or of the one place."""
    x = x.reshape(1, -1, WIDTH)
    kernel = jnp.stack([w, 0.5 * w])
    y = jax.lax.conv_general_dilated(
        x, kernel, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    )
    return y.reshape(-1, WIDTH)


def pooled(x, w):
    return jnp.mean(x.reshape(-1, WIDTH), axis=0) @ w


LAYERS = [
    dense,
    on_the_left,
    there_and_back,
    bias,
    scale,
    rematerialized,
    turns,
    filtered,
    pooled,
]


@st.composite
def programs(draw):
    """Layers, which parameter each has, and whether rows of a table come first."""
    layers = draw(st.lists(st.sampled_from(LAYERS), min_size=1, max_size=4))
    owners = draw(st.lists(st.integers(0, 2), min_size=4, max_size=4))
    return layers, owners[: len(layers)], draw(st.booleans())


@pytest.mark.slow
@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(programs(), st.integers(0, 1000))
def test_factored_players_are_the_players(program, seed):
    layers, owners, from_table = program
    rng = np.random.default_rng(seed)
    params = [
        0.5 * rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) for _ in range(3)
    ]
    if from_table:
        rows = rng.integers(0, WIDTH, (P, LENGTH))
    else:
        rows = rng.normal(size=(P, LENGTH, WIDTH)).astype(np.float32)

    def loss(params, row):
        x = params[0][row] if from_table else row
        for layer, owner in zip(layers, owners, strict=True):
            x = layer(x, params[owner])
        return jnp.sum(jnp.tanh(x) ** 2)

    def answers(factored):
        """The gradients, and what aggregators ask of them."""
        of_each = neo.value_and_example_grads(loss, factored=factored)
        _, gradients = of_each(params, rows)
        leaves, _ = _factored.flatten(gradients)
        everyone = jnp.ones(P, bool)
        return {
            "gradients": _factored.explicit(gradients),
            "gramian": _stacked.gramian(leaves),
            "norms": [_stacked.squared_norms(leaf) for leaf in leaves],
            "sums": [_stacked.weighted_sum(WEIGHTS, everyone, x) for x in leaves],
            "products": [
                _stacked.products(leaf, param)
                for leaf, param in zip(leaves, params, strict=True)
            ],
        }

    choices = False, True, lambda _: True
    compiled = running.quick_jit(lambda: [answers(choice) for choice in choices])
    expected, *found = jax.device_get(compiled())
    for some in found:
        assert_trees_close(some, expected, rtol=2e-5, atol=2e-5)
