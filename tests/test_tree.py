"""Inner products, guarded division and names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import _tree

SIZES = pytest.mark.parametrize("size", [7, _tree.SMALL_LEAF + 1])


def test_inner_by_hand():
    assert _tree.inner(jnp.array([[1.0, 2.0]]), jnp.array([[3.0, -4.0]])) == -5.0


def test_root_is_flat_at_zero():
    """Elsewhere the derivative of the root of 4 is 1/4."""
    slopes = jax.jit(jax.vmap(jax.grad(_tree.root)))(np.float32([0.0, 4.0]))
    np.testing.assert_array_equal(slopes, [0.0, 0.25])


def test_counts_stay_at_the_largest_number():
    counts = _tree.add_counts(np.int32([2**31 - 3, 5]), np.int32([7, 7]))
    np.testing.assert_array_equal(counts, [2**31 - 1, 12])


def test_inner_of_complex_numbers_is_real():
    """<1 + 2i, 3 - i> = 1*3 + 2*(-1) = 1."""
    product = _tree.inner(jnp.array([1 + 2j]), jnp.array([3 - 1j]))
    assert product == 1.0
    assert product.dtype == jnp.float32


@SIZES
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "complex64"])
def test_gram_in_float32(size, dtype):
    """Sums of low-precision leaves are as accurate as float32, and do not overflow."""
    rng = np.random.default_rng(0)
    a, b = (jnp.asarray(100 * x, dtype) for x in rng.normal(size=(2, size)))
    wide_a, wide_b = (np.asarray(x, np.complex128) for x in (a, b))
    expected = [np.vdot(x, y).real for x, y in ((wide_a,) * 2, (wide_a, wide_b))]
    aa, ab, bb = _tree.gram(a, b)
    assert {x.dtype for x in (aa, ab, bb)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(
        [aa, bb], [expected[0], np.vdot(wide_b, wide_b).real], 2e-6
    )
    bound = np.sqrt(float(aa) * float(bb))
    np.testing.assert_allclose(ab, expected[1], rtol=0, atol=2e-6 * bound)


def test_gram_in_float64():
    with jax.enable_x64(True):
        a = jnp.asarray([1.0, 1e-9])
        aa, _, _ = _tree.gram(a, a)
        assert aa.dtype == jnp.float64
        assert float(aa) - 1.0 == pytest.approx(1e-18, abs=3e-16)
        assert float(_tree.inner(a, jnp.asarray([0.0, 1.0]))) == 1e-9


@SIZES
def test_gram_is_the_three_inner_products(size):
    a, b = jnp.linspace(-1, 1, size), jnp.cos(jnp.arange(size))
    expected = [_tree.inner(x, y) for x, y in ((a, a), (a, b), (b, b))]
    np.testing.assert_allclose(_tree.gram(a, b), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_gram_of_scalars_and_empty_leaves(shape):
    x = jnp.full(shape, 2.0)
    np.testing.assert_array_equal(
        _tree.gram(x, -x), [4 * x.size, -4 * x.size, 4 * x.size]
    )


def test_safe_divide():
    quotient = _tree.safe_divide(jnp.array([6.0, 6.0, 0.0]), jnp.array([2.0, 0.0, 0.0]))
    np.testing.assert_array_equal(quotient, [3.0, 0.0, 0.0])


def test_safe_divide_has_finite_derivatives():
    gradient = jax.grad(lambda x: _tree.safe_divide(1.0, x))
    assert gradient(0.0) == 0.0
    assert gradient(2.0) == -0.25


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [("bfloat16", "float32"), ("float32", "float32"), ("complex64", "complex64")],
)
def test_widen(dtype, wide):
    assert _tree.widen(jnp.ones(2, dtype)).dtype == wide


def test_running_mean():
    """The mean of what was seen, whatever the start; each entry may count its own."""
    mean = {"a": jnp.full(2, 7.0), "b": None}
    for step, value in enumerate((1.0, 3.0, 8.0)):
        new = {"a": value * jnp.array([1.0, 2.0]), "b": None}
        mean = _tree.running_mean(mean, new, jnp.int32(step))
    np.testing.assert_array_equal(mean["a"], [4.0, 8.0])
    new = _tree.running_mean(jnp.ones(2), jnp.full(2, 3.0), jnp.array([0, 3]))
    np.testing.assert_array_equal(new, [3.0, 1.5])


def test_leaf_names():
    tree = {"dense": {"kernel": 1, "bias": 2}, "scales": [3, None]}
    assert _tree.leaf_names(tree) == ["dense/bias", "dense/kernel", "scales/0"]
