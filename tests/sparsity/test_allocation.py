"""How an overall sparsity is divided among the arrays."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neat_optax as neo
from neat_optax.sparsity import Allocation, erdos_renyi_kernel, make_mask, uniform

shapes_of = st.lists(
    st.lists(st.integers(0, 12), min_size=0, max_size=4).map(tuple),
    min_size=1,
    max_size=6,
).filter(lambda shapes: any(math.prod(shape) for shape in shapes))
shares = st.integers(0, 1000).map(lambda n: n / 1000)


def densities(shapes, sparsity):
    found = erdos_renyi_kernel.sparsities(shapes, sparsity)
    assert len(found) == len(shapes)
    return 1 - np.asarray(found, np.float64)


def oracle(shapes, sparsity):
    """Fill arrays that would be more than full one round at a time, as RigL does."""
    sizes = np.array([math.prod(shape) for shape in shapes], float)
    sums = np.array([max(sum(shape), 1) for shape in shapes], float)
    raw = np.where(sizes > 0, sums / np.maximum(sizes, 1), 0.0)
    full = np.zeros(len(shapes), bool)
    while True:
        rest = sizes[~full] @ raw[~full]
        left = (1 - sparsity) * sizes.sum() - sizes[full].sum()
        factor = left / rest if rest else 0.0
        over = ~full & (factor * raw > 1)
        if not over.any():
            return np.where(full, 1.0, factor * raw)
        full |= over


def test_uniform_gives_all_the_same():
    assert uniform.sparsities([(2, 3), (4,)], 0.25) == [0.25, 0.25]


def test_erdos_renyi_by_hand():
    """40 of 80 are kept. Ratios 8/16 and 20/64: the factor is 40 / (8 + 20)."""
    found = densities([(4, 4), (4, 16)], 0.5)
    np.testing.assert_allclose(found, [10 / 14, 100 / 224], rtol=1e-14)
    assert found @ [16, 64] == pytest.approx(40, rel=1e-14)


def test_a_convolution_counts_all_its_axes():
    """(3 + 3 + 4 + 8) / 288 against (8 + 36) / 288."""
    conv, dense = densities([(3, 3, 4, 8), (8, 36)], 0.9)
    assert conv / dense == pytest.approx(18 / 44, rel=1e-14)


def test_what_would_be_more_than_full_is_full_and_others_take_the_rest():
    """50 of 100 + 4: the small array would have the density 4/4 * 52 / (20 + 4)."""
    large, small = densities([(10, 10), (2, 2)], 0.5)
    assert small == 1
    assert large == pytest.approx(0.48, rel=1e-14)


@given(shapes=shapes_of, sparsity=shares)
def test_erdos_renyi_agrees_with_filling_round_by_round(shapes, sparsity):
    np.testing.assert_allclose(
        densities(shapes, sparsity), oracle(shapes, sparsity), rtol=1e-12, atol=1e-12
    )


@given(shapes=shapes_of, sparsity=shares)
def test_the_total_is_exact(shapes, sparsity):
    sizes = [math.prod(shape) for shape in shapes]
    kept = densities(shapes, sparsity) @ sizes
    assert kept == pytest.approx((1 - sparsity) * sum(sizes), rel=1e-12, abs=1e-12)


@given(shapes=shapes_of, sparsity=shares)
def test_a_traced_sparsity_gives_the_same(shapes, sparsity):
    shapes = (shapes * 6)[:6]  # one length, so that every operation compiles once
    traced = densities(shapes, jnp.float32(sparsity))
    np.testing.assert_allclose(traced, densities(shapes, sparsity), rtol=0, atol=3e-6)


def test_under_jit():
    shapes = [(10, 10), (2, 2), (5, 40)]
    traced = jax.jit(lambda s: erdos_renyi_kernel.sparsities(shapes, s))(0.7)
    np.testing.assert_allclose(1 - np.stack(traced), oracle(shapes, 0.7), rtol=1e-6)


@pytest.mark.parametrize("cast", [float, jnp.float32], ids=["plain", "traced"])
def test_the_ends(cast):
    shapes = [(10, 10), (2, 2), (7,), (), (0, 3)]
    np.testing.assert_array_equal(densities(shapes, cast(1.0)), 0)
    np.testing.assert_array_equal(densities(shapes, cast(0.0))[:4], 1)
    np.testing.assert_array_equal(densities(shapes, cast(-1.0))[:4], 1)
    np.testing.assert_array_equal(densities(shapes, cast(2.0)), 0)


def test_one_array_has_the_whole_sparsity():
    for sparsity in (0.0, 0.3, 0.999):
        assert densities([(8, 5)], sparsity) == pytest.approx([1 - sparsity], rel=1e-14)


def test_a_bias_stays_full_and_a_scalar_too():
    found = densities([(100, 100), (100,), ()], 0.9)
    np.testing.assert_array_equal(found[1:], 1.0)
    assert found[0] == pytest.approx((1010.1 - 101) / 10000, rel=1e-12)


def test_the_mask_has_the_counts():
    """Densities 10/14 of 16 and 100/224 of 64 are 11.4 and 28.6."""
    shapes = {"a": (4, 4), "b": (4, 16), "c": (3,)}
    params = {name: np.ones(shape, np.float32) for name, shape in shapes.items()}
    for sparsity in (0.5, jnp.float32(0.5)):
        mask = make_mask(params, sparsity, allocation=erdos_renyi_kernel)
        assert [int(m.sum()) for m in mask.values()] == [11, 28, 3]


@pytest.mark.parametrize("cast", [float, jnp.float32], ids=["plain", "traced"])
def test_in_one_scope_only_the_total_counts(cast):
    sizes = np.arange(1.0, 81.0, dtype="f4")
    params = [
        jnp.asarray(sizes[:16].reshape(4, 4)),
        jnp.asarray(sizes[16:].reshape(4, 16)),
    ]
    for sparsity in (0.0, 0.1, 0.5, 0.8, 0.9):
        masks = [
            make_mask(
                params, cast(sparsity), scope=neo.whole_tree, allocation=allocation
            )
            for allocation in (uniform, erdos_renyi_kernel)
        ]
        for by_uniform, by_erdos_renyi in zip(*masks, strict=True):
            np.testing.assert_array_equal(by_uniform, by_erdos_renyi)


def last_layer_dense(shapes, sparsity):
    return [sparsity] * (len(shapes) - 1) + [0.0]


@pytest.mark.parametrize(
    "allocation",
    [last_layer_dense, Allocation("mine", last_layer_dense)],
    ids=["function", "allocation"],
)
def test_a_function_of_the_user(allocation):
    """It sees the shapes of the pruned arrays alone."""
    params = [jnp.ones((4, 4)), jnp.ones(4), jnp.ones((4, 2))]
    for sparsity in (0.75, jnp.float32(0.75)):
        mask = make_mask(params, sparsity, allocation=allocation)
        assert [int(m.sum()) for m in mask] == [4, 4, 8]


def test_bad_input():
    params = [jnp.ones((4, 4)), jnp.ones((4, 2))]
    message = r"^`allocation` must give one number for each pruned array, 2, got 1\.$"
    for sparsity in (0.5, jnp.float32(0.5)):
        with pytest.raises(ValueError, match=message):
            make_mask(params, sparsity, allocation=lambda shapes, s: [s])  # noqa: ARG005
    message = r"^`allocation` must be of type Allocation, got 0\.5\.$"
    with pytest.raises(ValueError, match=message):
        make_mask(params, 0.5, allocation=0.5)  # pyright: ignore[reportArgumentType]
