import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import programs
from neat_optax import _factored, _stacked
from neat_optax._sites import value_and_factored_grads

NAMES = (
    "on the left",
    "twice",
    "there and back",
    "a tied head",
    "a convolution",
    "groups of channels",
    "lookups in a loop",
)
WEIGHTS = np.float32([0.5, -1, 2, 0.25, 1])


def leaf(name):
    loss, params, rows = programs.FACTORED[name]
    with_aux = lambda *arguments: (loss(*arguments), None)  # noqa: E731
    return value_and_factored_grads(with_aux, params, rows)[1]


def answers(stack, vector, finite):
    """What is asked of the gradients of players."""
    weighted = _stacked.weighted_sum(WEIGHTS, finite, stack)
    return {
        "gramian": _stacked.gramian([stack]),
        "scaled": _stacked.gramian([stack], None, jnp.float32(0.25)),
        "norms": _stacked.squared_norms(stack),
        "products": _stacked.products(stack, vector),
        "weighted": weighted,
        "of sums": _stacked.products_of_sums(
            np.stack([WEIGHTS, WEIGHTS**2]), finite, [stack]
        ),
    }


@jax.jit
def of_all():
    everyone = np.ones(programs.PLAYERS, bool)
    found = {}
    for name in NAMES:
        gradients, vector = leaf(name), programs.FACTORED[name][1]
        found[name] = (
            answers(gradients, vector, everyone),
            answers(gradients.explicit(), vector, everyone),
            gradients.largest_entry(),
            jnp.max(jnp.abs(gradients.explicit().reshape(programs.PLAYERS, -1)), 1),
        )
    return found


def test_factors_answer_as_the_gradients_do():
    for name, (found, expected, bound, largest) in jax.device_get(of_all()).items():
        for kind, value in expected.items():
            scale = np.abs(value).max()
            np.testing.assert_allclose(
                found[kind] / scale, value / scale, atol=2e-6, err_msg=f"{name}, {kind}"
            )
        assert np.all(bound >= largest * (1 - 1e-5))


@jax.jit
def at_scale(left, right):
    """A Gramian of gradients whose factors are out of range where they are not."""
    gradients = leaf("on the left")
    terms = [(left * a, right * b) for a, b in gradients.terms]
    scaled = dataclasses.replace(gradients, terms=tuple(terms))
    plain, factor = gradients.gramian(gradients), 1 / (left * right)
    return plain, scaled.gramian(scaled, factor)


@pytest.mark.parametrize("left, right", [(1e-30, 1e20), (1e30, 1e-25)])
def test_factors_out_of_range_do_not_spoil_a_gramian_in_range(left, right):
    plain, scaled = at_scale(np.float32(left), np.float32(right))
    np.testing.assert_allclose(scaled, plain, rtol=1e-4)


def test_players_that_are_not_finite_are_left_out():
    @jax.jit
    def summed(bad):
        gradients = leaf("on the left")
        terms = tuple((a.at[1, 0, 0].mul(bad), b) for a, b in gradients.terms)
        spoiled = dataclasses.replace(gradients, terms=terms)
        finite = jnp.isfinite(spoiled.largest_entry())
        return finite, spoiled.weighted_sum(WEIGHTS, finite)

    for bad in (np.nan, np.inf):
        finite, total = summed(np.float32(bad))
        assert finite.tolist() == [True, False, True, True, True]
        assert np.isfinite(total).all()


def test_it_passes_through_jit_as_a_node_of_a_tree():
    gradients = jax.jit(lambda: leaf("on the left"))()
    assert _factored.is_factored(gradients)
    assert gradients.shape == (programs.PLAYERS, 4, 6)
    assert jax.jit(lambda leaf: leaf.explicit())(gradients).shape == gradients.shape
