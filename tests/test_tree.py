"""Inner products, guarded division and names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import _tree
from running import quick_jit

inner = quick_jit(_tree.inner)
gram = jax.jit(_tree.gram, compiler_options={"xla_allow_excess_precision": False})
SIZES = pytest.mark.parametrize("size", [7, _tree.SMALL_LEAF + 1])


def test_inner_by_hand():
    assert inner(np.float32([[1, 2]]), np.float32([[3, -4]])) == -5.0


def test_root_is_flat_at_zero():
    """Elsewhere the derivative of the root of 4 is 1/4."""
    slopes = jax.jit(jax.vmap(jax.grad(_tree.root)))(np.float32([0.0, 4.0]))
    np.testing.assert_array_equal(slopes, [0.0, 0.25])


def test_counts_stay_at_the_largest_number():
    add = quick_jit(_tree.add_counts)
    counts = add(np.int32([2**31 - 3, 5]), np.int32([7, 7]))
    np.testing.assert_array_equal(counts, [2**31 - 1, 12])


def test_inner_of_complex_numbers_is_real():
    """<1 + 2i, 3 - i> = 1*3 + 2*(-1) = 1."""
    product = inner(np.complex64([1 + 2j]), np.complex64([3 - 1j]))
    assert product == 1.0
    assert product.dtype == jnp.float32


@SIZES
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "complex64"])
def test_gram_in_float32(size, dtype):
    """Sums of low-precision leaves are as accurate as float32, and do not overflow."""
    rng = np.random.default_rng(0)
    a, b = ((100 * x).astype(jnp.dtype(dtype)) for x in rng.normal(size=(2, size)))
    wide_a, wide_b = (np.asarray(x, np.complex128) for x in (a, b))
    expected = [np.vdot(x, y).real for x, y in ((wide_a,) * 2, (wide_a, wide_b))]
    aa, ab, bb = gram(a, b)
    assert {x.dtype for x in (aa, ab, bb)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(
        [aa, bb], [expected[0], np.vdot(wide_b, wide_b).real], 2e-6
    )
    bound = np.sqrt(float(aa) * float(bb))
    np.testing.assert_allclose(ab, expected[1], rtol=0, atol=2e-6 * bound)


def test_gram_in_float64():
    with jax.enable_x64(True):
        a = np.array([1.0, 1e-9])
        aa, _, _ = gram(a, a)
        assert aa.dtype == jnp.float64
        assert float(aa) - 1.0 == pytest.approx(1e-18, abs=3e-16)
        assert float(inner(a, np.array([0.0, 1.0]))) == 1e-9


@SIZES
def test_gram_is_the_three_inner_products(size):
    a, b = np.float32(np.linspace(-1, 1, size)), np.float32(np.cos(np.arange(size)))
    expected = [inner(x, y) for x, y in ((a, a), (a, b), (b, b))]
    np.testing.assert_allclose(gram(a, b), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_gram_of_scalars_and_empty_leaves(shape):
    x = np.full(shape, 2.0, np.float32)
    np.testing.assert_array_equal(gram(x, -x), [4 * x.size, -4 * x.size, 4 * x.size])


def test_safe_divide():
    divide = quick_jit(_tree.safe_divide)
    quotient = divide(np.float32([6, 6, 0]), np.float32([2, 0, 0]))
    np.testing.assert_array_equal(quotient, [3.0, 0.0, 0.0])


def test_safe_divide_has_finite_derivatives():
    slopes = quick_jit(jax.vmap(jax.grad(lambda x: _tree.safe_divide(1.0, x))))
    np.testing.assert_array_equal(slopes(np.float32([0, 2])), [0.0, -0.25])


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [("bfloat16", "float32"), ("float32", "float32"), ("complex64", "complex64")],
)
def test_widen(dtype, wide):
    x = jax.ShapeDtypeStruct((2,), jnp.dtype(dtype))
    assert jax.eval_shape(_tree.widen, x).dtype == wide


def test_running_mean():
    """The mean of what was seen, whatever the start; each entry may count its own."""
    running_mean = quick_jit(_tree.running_mean)
    mean = {"a": np.full(2, 7, np.float32), "b": None}
    for step, value in enumerate((1.0, 3.0, 8.0)):
        new = {"a": np.float32([value, 2 * value]), "b": None}
        mean = running_mean(mean, new, np.int32(step))
    np.testing.assert_array_equal(mean["a"], [4.0, 8.0])
    one, three = np.float32([[1, 1], [3, 3]])
    new = running_mean(one, three, np.int32([0, 3]))
    np.testing.assert_array_equal(new, [3.0, 1.5])


def test_leaf_names():
    tree = {"dense": {"kernel": 1, "bias": 2}, "scales": [3, None]}
    assert _tree.leaf_names(tree) == ["dense/bias", "dense/kernel", "scales/0"]
