"""Utility-based perturbed gradient descent."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import running
from neat_optax.continual import scale_by_upgd, upgd
from weight_goldens import GOLDEN, assert_close, stacked

SILENT = dict(noise=0.0, utility_decay=0.9)
ADAM = optax.scale_by_adam(b1=0.8, b2=0.95)


def optimizer(*arguments, **options):
    """The scaling in the authors' loop: weight decay and the learning rate."""
    scaling = scale_by_upgd(*arguments, **SILENT, **options)
    return optax.chain(scaling, optax.add_decayed_weights(0.01), optax.sgd(0.1))


AUTHORS = {
    "upgd": upgd(0.1, weight_decay=0.01, **SILENT),
    "upgd_local": upgd(0.1, weight_decay=0.01, local=True, **SILENT),
    "upgd_second_order": optimizer(second_order=True),
    "upgd_second_order_local": optimizer(second_order=True, local=True),
    "upgd_adam": optimizer(ADAM),
}


@functools.cache
def played():
    """The last parameters of all variants, compiled once."""

    def last(tx, params, gradients, curvatures):
        def step(carry, seen):
            params, state = carry
            updates, state = tx.update(seen[0], state, params, curvature=seen[1])
            return (optax.apply_updates(params, updates), state), None

        start = params, tx.init(params)
        return jax.lax.scan(step, start, (gradients, curvatures))[0][0]

    @running.quick_jit
    def run(*data):
        return {name: last(tx, *data) for name, tx in AUTHORS.items()}

    return run(GOLDEN["params"], stacked("gradients"), stacked("curvatures"))


@pytest.mark.parametrize("name", AUTHORS)
def test_it_is_the_program_of_the_authors(name):
    assert_close(played()[name], name)


def test_noise_is_held_back_with_the_gradient_or_alone():
    """At a zero gradient every gate is 1/2."""
    params = np.zeros((200, 50), np.float32)
    mixed = {"kernel": params, "twin": params, "bias": np.zeros(50, np.float32)}
    options = dict(noise=0.5, mask={"kernel": True, "twin": True, "bias": False})
    txs = [scale_by_upgd(**options, protect=protect) for protect in (True, False)]
    gradient = jax.tree.map(lambda p: p + 3, mixed)

    @running.quick_jit
    def run():
        states = [tx.init(mixed) for tx in txs]
        pairs = zip(txs, states, strict=True)
        first = [tx.update(gradient, state, mixed) for tx, state in pairs]
        pairs = zip(txs, first, strict=True)
        second = [tx.update(gradient, state, mixed)[0] for tx, (_, state) in pairs]
        return [update for update, _ in first], second

    (held, alone), (later, _) = run()
    assert np.mean(held["kernel"]) == pytest.approx(1.5, abs=0.02)
    assert np.mean(alone["kernel"]) == pytest.approx(3.0, abs=0.02)
    for found in (held, alone):
        assert np.std(found["kernel"]) == pytest.approx(0.25, rel=0.05)
        assert np.all(np.asarray(found["bias"]) == 3)
    for other in (later["kernel"], held["twin"]):
        assert not np.array_equal(held["kernel"], other)


def test_the_unit_of_the_loss_changes_no_gate_and_no_average_is_lost():
    params = {"w": np.array([1.0, -2.0, 0.5], np.float32)}
    gradient = {"w": np.array([[0.3, 0.2, -0.1], [0.1, np.nan, -0.2]], np.float32)}
    tx = scale_by_upgd(noise=0.0)

    def last(scale):
        updates, _, state = running.run(
            tx, jax.tree.map(lambda g: scale * g, gradient), params, move=False
        )
        return updates["w"][0] / scale, np.asarray(state.utility["w"])

    plain, kept = last(np.float32(1.0))
    small, _ = last(np.float32(1e-15))
    np.testing.assert_allclose(small, plain, rtol=1e-5)
    assert np.all(np.isfinite(kept))
    assert kept[1] == pytest.approx(0.001 * 0.4, rel=1e-4)


def test_the_curvature_must_be_given_and_fit():
    tx, w = scale_by_upgd(second_order=True), jnp.ones(2)
    state = tx.init(w)
    message = r"^`curvature` must be passed to update for scale_by_upgd, got None\.$"
    with pytest.raises(ValueError, match=message):
        tx.update(w, state, w)
    with pytest.raises(ValueError, match=r"^`curvature` must have the shapes of"):
        tx.update(w, state, w, curvature=jnp.ones(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(noise=-1.0), r"^`noise` must be in \[0, inf\), got -1\.0\.$"),
        (dict(utility_decay=1.0), r"^`utility_decay` must be in \[0, 1\), got 1\.0\.$"),
        (dict(local=2), r"^`local` must be True or False, got 2\.$"),
        (dict(protect=2), r"^`protect` must be True or False, got 2\.$"),
        (dict(second_order=2), r"^`second_order` must be True or False, got 2\.$"),
        (dict(key="a"), r"^`key` must be an integer, got 'a'\.$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        scale_by_upgd(**options)


def test_bad_weight_decay():
    message = r"^`weight_decay` must be in \[0, inf\), got -1\.0\.$"
    with pytest.raises(ValueError, match=message):
        upgd(0.1, weight_decay=-1.0)
