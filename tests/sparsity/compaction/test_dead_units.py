"""The rule of compaction in NumPy: dead units, and the kernels without them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import samplers
from neat_optax.sparsity.compaction import _dead_units as dead_units


def find(kernels, biases=None, threshold=0.0, zero_at_zero=True):
    """The numbers of the units that are kept in each hidden layer, and the silent."""
    kernels = [np.asarray(kernel, np.float64) for kernel in kernels]
    biases = [None] * len(kernels) if biases is None else map(np.asarray, biases)
    chain = dead_units.measure_chain(kernels, list(biases))
    units = dead_units.find_units(chain, [threshold] * len(kernels), zero_at_zero)
    assert units.kept[-1].all()
    return [
        [np.flatnonzero(layer).tolist() for layer in layers[:-1]]
        for layers in (units.kept, units.silent)
    ]


def kept(*problem, **options):
    return find(*problem, **options)[0]


def test_death_spreads_backwards_and_forwards():
    """Unit 0 of layer 3 is unheard, so is unit 0 of layer 2, heard by it alone.

    Unit 2 of layer 1 gets nothing; so does unit 1 of layer 2, which hears it alone.
    """
    first = [[1.0, 1.0, 0.0, 1.0]]
    second = [[1.0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1]]
    third = [[1.0, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1]]
    kernels = [first, second, third, [[0.0], [1], [1]]]
    assert find(kernels) == [[[0, 1, 3], [2, 3], [1, 2]], [[2], [1], []]]
    unheard = [[[0, 1, 2, 3], [1, 2, 3], [1, 2]], [[], [], []]]
    assert find(kernels, zero_at_zero=False) == unheard


def test_the_threshold_itself_is_dead():
    kernels = [[[1.0, 1.0, 1.0]], [[0.25], [0.5], [3.0]]]
    assert kept(kernels, threshold=0.2) == [[0, 1, 2]]
    assert kept(kernels, threshold=0.25) == [[1, 2]]
    assert kept(kernels, threshold=0.5) == [[2]]


def test_a_bias_keeps_a_unit_without_input():
    kernels, biases = [[[0.0, 0.0, 1.0]], [[1.0]] * 3], [[0.5, 0.0, 0.0], [0.0]]
    assert kept(kernels, biases) == [[0, 2]]


@pytest.mark.parametrize(
    ("out", "bias", "zero_at_zero", "strongest"),
    [
        ([0.2, 0.3, 0.1], [0.0, 0.0, 0.0], False, 1),
        ([0.2, 0.3, 0.1], [0.0, 0.0, 0.0], True, 2),
        ([0.5, 0.3, 0.1], [0.0, 0.0, 0.0], True, 0),
        ([0.5, 0.3, 0.1], [0.0, 0.6, 0.0], True, 1),
    ],
)
def test_a_dead_layer_keeps_its_strongest_unit(out, bias, zero_at_zero, strongest):
    """By its outgoing weights; or by all weights, where those incoming count."""
    kernels, biases = [[[0.1, 0.2, 0.4]], [[w] for w in out]], [bias, [0.0]]
    found = kept(kernels, biases, threshold=1.0, zero_at_zero=zero_at_zero)
    assert found == [[strongest]]


def test_a_layer_of_zeros_keeps_one_unit():
    kernels = [np.ones((2, 3)), np.zeros((3, 4)), np.zeros((4, 2))]
    assert [len(layer) for layer in kept(kernels)] == [1, 1]


def test_units_of_a_convolution_are_its_channels_before_and_after_a_flatten():
    """[width, in, out], then three positions of two channels, channels fastest."""
    conv = np.zeros((5, 1, 2))
    conv[3, 0, 0], conv[1, 0, 1] = 2.0, -3.0
    dense = np.zeros((6, 1))
    dense[3] = 1.0
    assert kept([conv, dense]) == [[1]]
    rows, columns = np.array([False, True]), np.array([True])
    cut = dead_units.cut_kernel(np.arange(6.0)[:, None], rows, columns)
    assert cut.ravel().tolist() == [1.0, 3.0, 5.0]
    muted = dead_units.without_inputs(np.arange(1.0, 7)[:, None], ~rows)
    assert muted.ravel().tolist() == [0.0, 2.0, 0.0, 4.0, 0.0, 6.0]
    muted = dead_units.without_outputs(np.ones((1, 2)), ~rows)
    assert muted.tolist() == [[0.0, 1.0]]


@given(
    seed=samplers.seeds,
    hidden=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    density=st.floats(0.0, 1.0),
)
def test_what_stays_lies_on_a_path_from_an_input_or_a_bias_to_an_output(
    seed, hidden, density
):
    """And the outputs stay, whatever the weights: those of a chain of tanh."""
    rng = np.random.default_rng(seed)
    widths = [3, *hidden, 2]

    def sparse(*shape):
        return rng.normal(size=shape) * (rng.random(shape) < density)

    kernels = [sparse(a, b) for a, b in itertools.pairwise(widths)]
    biases = [sparse(b) for b in widths[1:]]
    found = kept(kernels, biases)
    expected = on_a_path(kernels, biases)
    if all(expected):
        assert found == expected
    x = rng.normal(size=(4, 3))
    small = cut(kernels, biases, found)
    np.testing.assert_allclose(forward(*small, x), forward(kernels, biases, x), 1e-12)


def on_a_path(kernels, biases):
    """The units of each hidden layer that lie on a path that carries something."""
    reached, reaching = [np.ones(3, bool)], [np.ones(2, bool)]
    for kernel, bias in zip(kernels, biases, strict=True):
        reached.append((reached[-1] @ (kernel != 0)) | (bias != 0))
    for kernel in reversed(kernels):
        reaching.append((kernel != 0) @ reaching[-1])
    pairs = zip(reached[1:-1], reaching[-2:0:-1], strict=True)
    return [np.flatnonzero(a & b).tolist() for a, b in pairs]


def cut(kernels, biases, found):
    """The chain of the units that are kept."""
    numbers = [range(3), *found, range(2)]
    pairs = zip(kernels, itertools.pairwise(numbers), strict=True)
    small = [kernel[np.ix_(rows, columns)] for kernel, (rows, columns) in pairs]
    return small, [b[list(n)] for b, n in zip(biases, numbers[1:], strict=True)]


def forward(kernels, biases, x):
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        x = np.tanh(x @ kernel + bias)
    return x @ kernels[-1] + biases[-1]
