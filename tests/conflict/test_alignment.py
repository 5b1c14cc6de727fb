"""Cosines, ratios and bounds from three inner products."""

import jax
import numpy as np
import pytest
from hypothesis import given

import samplers
from neat_optax import _tree
from neat_optax.conflict._alignment import Alignment, Contest


def align(gradient, opponent):
    """The three inner products, in NumPy: `_tree.gram` has tests of its own."""
    g, o = np.asarray(gradient, np.float64), np.asarray(opponent, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return Alignment(*(np.asarray(x, np.float32) for x in (g @ g, g @ o, o @ o)))


def make_contest(gradient, opponent, **fields):
    """A contest of one scope, with nothing decided."""
    alignment = align(gradient, opponent)
    zero = np.zeros((), np.float32)
    blank = dict(
        step=np.zeros((), np.int32),
        size=np.asarray(np.size(gradient), np.float32),
        alignment=alignment,
        raw=alignment,
        noise=None,
        steadiness=None,
        conflict=zero,
        strength=np.ones((), np.float32),
        alpha=zero,
        on_gradient=zero,
        on_opponent=zero,
    )
    return Contest(**(blank | fields))


def test_by_hand():
    """g = [3, 4], o = [-2, 0]: cosine -.6, |o|/|g| = .4, g.o/o.o = -1.5."""
    alignment = align([3.0, 4.0], [-2.0, 0.0])
    np.testing.assert_allclose(alignment.cosine, -0.6, rtol=1e-6)
    np.testing.assert_allclose(alignment.norm_ratio, 0.4, rtol=1e-6)
    np.testing.assert_allclose(alignment.component, -1.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("gradient", "opponent"),
    [
        ([0.0], [1.0]),
        ([1.0], [0.0]),
        ([np.nan], [1.0]),
        ([1.0], [np.inf]),
        ([1e30], [1.0]),
    ],
)
def test_without_an_angle_all_is_zero(gradient, opponent):
    alignment = align(gradient, opponent)
    assert not alignment.comparable
    assert (alignment.cosine, alignment.norm_ratio, alignment.component) == (0, 0, 0)


@pytest.mark.parametrize("scale", [1e-18, 1e-12, 1e12, 1e18])
def test_the_cosine_has_no_scale(scale):
    for factors in ((scale, 1.0), (1.0, scale), (scale, scale)):
        gradient, opponent = (np.array(f, "float32") for f in factors)
        assert align(
            gradient * [3.0, 4.0], opponent * [-2.0, 0.0]
        ).cosine == pytest.approx(-0.6, rel=1e-5)


def test_the_cosine_never_leaves_its_range():
    vector = np.full(1001, 0.1, np.float32)
    assert align(vector, -vector).cosine >= -1.0
    assert align(vector, vector).cosine <= 1.0


@given(samplers.pairs())
def test_correction_ratio_is_the_norm_of_the_correction(pair):
    gradient, opponent = pair
    contest = make_contest(gradient, opponent)
    a, b = 0.25, -0.5 * float(contest.raw.component)
    contest = contest._replace(on_gradient=np.float32(a), on_opponent=np.float32(b))
    wide = gradient.astype(np.float64), opponent.astype(np.float64)
    expected = np.linalg.norm(a * wide[0] + b * wide[1]) / np.linalg.norm(wide[0])
    np.testing.assert_allclose(contest.correction_ratio, expected, rtol=1e-4, atol=1e-3)


def test_scaled():
    contest = make_contest([1.0], [-1.0], on_gradient=np.float32(1.0))
    contest = contest._replace(on_opponent=np.float32(-3.0)).scaled(np.float32(0.5))
    assert (contest.on_gradient, contest.on_opponent) == (0.5, -1.5)


def test_zeros_have_finite_derivatives():
    ones = np.ones(2, np.float32)

    @jax.jit
    @jax.grad
    def derivative(g):
        return Alignment(*_tree.gram(g, ones)).cosine

    np.testing.assert_array_equal(derivative(np.zeros(2, np.float32)), [0.0, 0.0])
