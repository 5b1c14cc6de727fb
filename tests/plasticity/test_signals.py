"""Signals: their checks, and one of a user's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neat_optax import plasticity
from neat_optax.plasticity import Average, Signal
from neat_optax.plasticity._signals import check_signals

SIGN = Signal(
    "sign", 0.5, lambda _, signs: jnp.abs(signs), (Average("signs", jnp.sign, 0.5),)
)
"""How often a gradient has the same sign."""


def test_a_signal_of_your_own_by_hand():
    """Signs of mean 1/4 and 3/4 over gradients of the sizes 1 and 3."""
    tx = plasticity.coefficients([plasticity.gradient(0.5), SIGN])

    def two(first, second):
        _, state = tx.update(first, tx.init(first))
        return tx.update(second, state)

    first, second = (np.array(x, np.float32) for x in ([-1, 2], [1, 3]))
    alpha, state = jax.jit(two)(first, second)
    np.testing.assert_allclose(state.averages["signs"], [0.25, 0.75])
    np.testing.assert_allclose(alpha, [0.5, 1.5], rtol=1e-6)


def test_what_is_not_finite_in_a_signal_of_your_own_counts_as_zero():
    raw = Signal("raw", 1.0, lambda g: jnp.abs(g))
    tx = plasticity.coefficients([raw], minimum=0.0, maximum=9.0)
    g = np.array([1, np.nan, 3, np.inf], np.float32)
    alpha, _ = jax.jit(lambda g: tx.update(g, tx.init(g)))(g)
    np.testing.assert_allclose(alpha, [1, 0, 3, 0], rtol=1e-6)


def test_that_of_the_gradient_comes_first_and_those_without_weight_go():
    """Whatever their order, the default mixture is summed in one order."""
    memory, gradient, unused = (
        plasticity.memory(),
        plasticity.gradient(),
        plasticity.activity(0),
    )
    assert check_signals([memory, unused, gradient]) == (gradient, memory)
    first, second = check_signals([memory])
    assert (first.name, first.weight, second) == ("gradient", 0, memory)


def test_an_average_of_a_complex_gradient_is_real_where_it_says_so():
    state = plasticity.coefficients().init(np.ones(2, np.complex64))
    kinds = {name: x.dtype for name, x in state.averages.items()}
    assert kinds == dict(
        activity=jnp.float32, momentum=jnp.complex64, variance=jnp.float32
    )


def test_schedules_are_read_at_each_step():
    weight = lambda step: jnp.where(step == 0, 0.0, 1.0)  # noqa: E731
    faded = plasticity.gradient(lambda step: 1 - weight(step))
    tx = plasticity.coefficients([faded, SIGN._replace(weight=weight)])
    g = np.array([1, 3], np.float32)

    def two(g):
        first, state = tx.update(g, tx.init(g))
        return first, tx.update(g, state)[0]

    first, second = jax.jit(two)(g)
    np.testing.assert_allclose(first, [0.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose(second, [1, 1], rtol=1e-6)


def hyperparameters(factory, **numbers):
    """The names of what Optax injects."""
    tx = optax.inject_hyperparams(factory)(**numbers)
    return set(jax.eval_shape(tx.init, np.ones(2, np.float32)).hyperparams)


def test_numbers_of_the_mixture_are_injected_and_those_of_signals_by_a_function():
    names = hyperparameters(plasticity.scale_by_plasticity)
    assert names == {"minimum", "maximum", "strength"}

    def weighed(weight, decay):
        return plasticity.coefficients([SIGN, plasticity.activity(weight, decay)])

    assert hyperparameters(weighed, weight=0.3, decay=0.5) == {"weight", "decay"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plasticity.activity(-1), r"`weight` must be in \[0, inf\), got -1"),
        (lambda: plasticity.activity(decay=1), r"`decay` must be in \[0, 1\), got 1"),
        (
            lambda: plasticity.memory(variance_decay=1.0),
            r"`variance_decay` must be in \[0, 1\), got 1.0",
        ),
        (
            lambda: check_signals([SIGN._replace(weight=-1)]),
            r"`sign.weight` must be in \[0, inf\), got -1",
        ),
        (
            lambda: check_signals([SIGN, SIGN._replace(name="other")]),
            r"`averages` must have names that differ, got \['signs', 'signs'\]",
        ),
        (
            lambda: check_signals(
                [SIGN._replace(averages=(Average("signs", jnp.sign, 2.0),))]
            ),
            r"`signs.decay` must be in \[0, 1\), got 2.0",
        ),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_signal_shows_its_name():
    assert repr(plasticity.memory()) == "<signal memory>"
