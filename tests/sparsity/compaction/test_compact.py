"""Smaller models that compute the same."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

import samplers
from compaction_models import (
    INIT,
    assert_same,
    deaf_to,
    kill,
    mlp,
    normal,
    parameters,
    placed,
)
from neat_optax.sparsity.compaction._compact import compact

X = np.float32([[1.0, 2.0], [-1.0, 0.5]])


HAND = [[[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]], [[1.0], [0.0], [3.0]]]


def test_by_hand():
    model = mlp(HAND)
    small = compact(model, X)
    outputs = jax.jit(lambda x: small.model(x))(X)
    np.testing.assert_array_equal(outputs, [[7.0], [0.0]])
    first, last = small.model.layers[0], small.model.layers[2]
    np.testing.assert_array_equal(first.kernel[...], [[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_array_equal(last.kernel[...], [[1.0], [3.0]])
    assert (first.in_features, first.out_features) == (2, 2)
    assert (last.in_features, last.out_features) == (2, 1)
    assert small.variables is None
    assert model.layers[0].kernel.shape == (2, 3)
    assert small.report._asdict() == {
        "threshold": 0.0,
        "units_before": {"layers/0": 3},
        "units_after": {"layers/0": 2},
        "parameters_before": 13,
        "parameters_after": 9,
        "nonzeros_before": 5,
        "nonzeros_after": 4,
        "bytes_before": 52,
        "bytes_after": 36,
        "max_change": 0.0,
        "accepted": True,
    }


def test_the_threshold_itself_is_dead():
    """Strengths 0.25, 0.5 and 3, in and out; the change is what unit 1 gave: 1."""
    kernels = [[[1.0, 1.0, 1.0]], [[0.25], [0.5], [3.0]]]
    small = compact(mlp(kernels), np.float32([[2.0]]), threshold=0.25)
    assert small.report.units_after == {"layers/0": 2}
    assert small.report.max_change == 0.5
    small = compact(mlp(kernels), np.float32([[2.0]]), threshold=0.5)
    assert small.report.units_after == {"layers/0": 1}
    assert small.report.max_change == 1.5


@pytest.mark.parametrize(
    "dtype", [pytest.param("float32", marks=pytest.mark.slow), "bfloat16"]
)
def test_a_threshold_is_compared_in_the_precision_of_the_weights(dtype):
    kernels = [placed([[1.0, 1.0]], dtype), placed([[0.1], [3.0]], dtype)]
    small = compact(mlp(kernels), placed([[1.0]], dtype), threshold=0.1)
    assert small.report.units_after == {"layers/0": 1}
    assert small.model.layers[0].kernel.dtype == dtype


@pytest.mark.slow
def test_death_spreads_backwards_and_forwards():
    """Unit 0 of layer 3 is unheard, so is unit 0 of layer 2, heard by it alone.

    Unit 2 of layer 1 gets nothing; so does unit 1 of layer 2, which hears it alone.
    """
    first = [[1.0, 1.0, 0.0, 1.0]]
    second = [[1.0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0], [0, 0, 1, 1]]
    third = [[1.0, 0, 0], [0, 1, 1], [0, 1, 0], [0, 0, 1]]
    model = mlp([first, second, third, [[0.0], [1], [1]]])
    x = jnp.linspace(-1, 1, 5).reshape(-1, 1)
    small = compact(model, x)
    after = {"layers/0": 3, "layers/2": 2, "layers/4": 2}
    assert small.report.units_after == after
    assert_same(model, small.model, x)
    small = compact(model, x, zero_at_zero=False)
    after = {"layers/0": 4, "layers/2": 3, "layers/4": 2}
    assert small.report.units_after == after


@pytest.mark.slow
def test_a_bias_keeps_a_unit_without_input():
    kernels = [[[0.0, 0.0, 1.0]], [[1.0], [1.0], [1.0]]]
    model = mlp(kernels, [[0.5, 0.0, 0.0], [0.0]])
    small = compact(model, jnp.ones((1, 1)))
    np.testing.assert_array_equal(small.model.layers[0].bias[...], [0.5, 0.0])
    assert_same(model, small.model, jnp.array([[-3.0], [2.0]]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("out", "bias", "zero_at_zero", "kept"),
    [
        ([0.2, 0.3, 0.1], [0.0, 0.0, 0.0], False, 0.2),
        ([0.2, 0.3, 0.1], [0.0, 0.0, 0.0], True, 0.4),
        ([0.5, 0.3, 0.1], [0.0, 0.0, 0.0], True, 0.1),
        ([0.5, 0.3, 0.1], [0.0, 0.6, 0.0], True, 0.2),
    ],
)
def test_a_dead_layer_keeps_its_strongest_unit(out, bias, zero_at_zero, kept):
    """By its outgoing weights; or by all weights, where those incoming count."""
    weak = mlp([[[0.1, 0.2, 0.4]], [[w] for w in out]], [bias, [0.0]])
    x = jnp.ones((1, 1))
    small = compact(weak, x, threshold=1.0, zero_at_zero=zero_at_zero)
    np.testing.assert_allclose(small.model.layers[0].kernel[...], [[kept]])
    assert small.report.units_after == {"layers/0": 1}


@pytest.mark.slow
def test_a_layer_of_zeros_keeps_one_unit():
    model = mlp([jnp.ones((2, 3)), jnp.zeros((3, 4)), jnp.zeros((4, 2))])
    small = compact(model, X)
    assert small.report.units_after == {"layers/0": 1, "layers/2": 1}
    assert_same(model, small.model, X)


class Backwards(nnx.Module):
    """Attributes whose alphabetical order is not that of the layers."""

    def __init__(self):
        self.z = nnx.Linear(2, 6, **INIT)
        self.inner = nnx.Dict(b=nnx.Linear(6, 5, use_bias=False, **INIT))
        self.a = nnx.Linear(5, 3, **INIT)
        self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def __call__(self, x):
        x = self.dropout(jax.nn.silu(self.z(x)))
        return self.a(jnp.tanh(self.inner["b"](x)))


def test_layers_follow_the_data_and_not_their_names():
    model = Backwards()
    kill(model.inner["b"], 6, [1, 4])
    kill(model.a, 5, [0])
    small = compact(model, X)
    assert small.report.units_after == {"z": 4, "inner/b": 4}
    assert small.model.dropout.deterministic is False
    model.eval()
    small.model.eval()
    assert_same(model, small.model, X)


class Transformed(nnx.Module):
    def __init__(self, transform, dtype):
        self.layers = nnx.List([nnx.Linear(8, 8, dtype=dtype, **INIT) for _ in "123"])
        self.hidden = transform(lambda layer, x: jnp.tanh(layer(x)))

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = self.hidden(layer, x)
        return self.layers[-1](x).astype(jnp.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transform", "dtype"),
    [(nnx.jit, "float16"), (nnx.remat, "bfloat16"), (lambda call: call, "float32")],
)
def test_precisions_and_transformed_calls(transform, dtype):
    """Weights in float32 that are computed with in another precision, inside calls."""
    model = Transformed(transform, dtype)
    kill(model.layers[1], 8, [0, 3])
    kill(model.layers[2], 8, [1])
    x = normal(None, (3, 8))
    small = compact(model, x)
    assert small.report.units_after == {"layers/0": 6, "layers/1": 7}
    np.testing.assert_allclose(small.model(x), model(x), atol=0.05)


@pytest.mark.slow
def test_arrays_on_several_devices():
    mesh = jax.make_mesh((2,), ("units",))
    model = mlp([HAND[0], [[1.0, 0.0], [0.0, 0.0], [3.0, 0.0]]])
    spec = jax.sharding.PartitionSpec(None, "units")
    sharding = jax.sharding.NamedSharding(mesh, spec)
    last = model.layers[2].kernel
    last.set_value(jax.device_put(last[...], sharding))
    small = compact(model, X)
    np.testing.assert_array_equal(small.model(X), [[7.0, 0.0], [0.0, 0.0]])


class Images(nnx.Module):
    """Two convolutions, then a flatten or a mean over positions, then two layers."""

    def __init__(self, flatten):
        self.second = nnx.Conv(4, 6, (3, 3), **INIT)
        self.first = nnx.Conv(1, 4, (3, 3), **INIT)
        self.head = nnx.Linear(96 if flatten else 6, 5, **INIT)
        self.end = nnx.Linear(5, 2, **INIT)
        self.flatten = flatten

    def __call__(self, x):
        x = nnx.relu(self.first(x))
        x = nnx.gelu(nnx.max_pool(self.second(x), (2, 2), strides=(2, 2)))
        x = x.reshape(x.shape[0], -1) if self.flatten else x.mean(axis=(1, 2))
        return self.end(nnx.relu(self.head(x)))


@pytest.mark.parametrize("flatten", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_convolutions(flatten):
    model = Images(flatten)
    kill(model.second, 4, [2])
    kill(model.head, 6, [0, 5])
    kill(model.end, 5, [3])
    x = normal(None, (3, 8, 8, 1))
    small = compact(model, x)
    assert small.report.units_after == {"first": 3, "second": 4, "head": 4}
    assert small.model.second.kernel_shape == (3, 3, 3, 4)
    assert small.model.head.in_features == (64 if flatten else 4)
    assert_same(model, small.model, x)


def test_a_linen_sequential():
    model = nn.Sequential(
        [
            nn.Conv(4, (3,), kernel_init=normal),
            nn.relu,
            nn.Sequential([nn.Dense(5, name="named", kernel_init=normal), nn.tanh]),
            lambda x: x.reshape(x.shape[0], -1),
            nn.Dense(2, kernel_init=normal),
        ]
    )
    x = normal(None, (3, 6, 2))
    variables = jax.jit(model.init)(jax.random.key(0), x)
    params = variables["params"]
    for layer, units, dead in (
        (params["layers_2"]["layers_0"], 4, [0, 3]),
        (params["layers_4"], 5, [1]),
    ):
        layer["kernel"] = deaf_to(layer["kernel"], units, dead)
    small = compact(model, x, variables=variables)
    assert small.report.units_after == {"layers_0": 2, "layers_2/layers_0": 4}
    assert small.variables["params"]["layers_4"]["kernel"].shape == (24, 2)
    assert_same(model.bind(variables), small.model.bind(small.variables), x)


class Widths(nn.Module):
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x, train=True):
        for number, width in enumerate(self.widths[:-1]):
            x = nn.Dense(width, name=f"hidden{number}", kernel_init=normal)(x)
            x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(self.widths[-1], name="a_head", kernel_init=normal)(x)


def test_a_linen_module_of_ones_own_is_rebuilt():
    model = Widths((5, 4, 1))
    variables = jax.jit(lambda key: model.init(key, X, False))(jax.random.key(0))
    params = variables["params"]
    for name, units, dead in (("hidden1", 5, [1]), ("a_head", 4, [0])):
        params[name]["kernel"] = deaf_to(params[name]["kernel"], units, dead)
    with pytest.raises(ValueError, match="`rebuild` must be given for a linen model"):
        compact(model, (X, False), variables=variables)

    def rebuild(widths):
        assert widths == {"hidden0": 4, "hidden1": 3, "a_head": 1}
        return Widths(tuple(widths.values()))

    small = compact(model, (X, False), variables=variables, rebuild=rebuild)
    assert small.model.widths == (4, 3, 1)
    assert small.report.parameters_after == parameters([2, 4, 3, 1])
    found, expected = (
        jax.jit(lambda given, m=m: m.apply(given, X, False))(given)
        for m, given in ((small.model, small.variables), (model, variables))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"`model` must be a chain .* does not run"):
        compact(model, (X, False), variables=variables, rebuild=lambda _: model)


@pytest.mark.slow
@settings(max_examples=15)
@given(
    seed=samplers.seeds,
    hidden=st.lists(st.sampled_from([2, 5]), min_size=1, max_size=2),
    density=st.floats(0.0, 1.0),
    activation=st.sampled_from([nnx.relu, jnp.tanh, nnx.gelu, jnp.sin]),
)
def test_random_masks_leave_the_outputs_alone(seed, hidden, density, activation):
    """What stays lies on a path from an input or a bias to an output."""
    rng = np.random.default_rng(seed)
    widths = [3, *hidden, 2]

    def sparse(*shape):
        return (rng.normal(size=shape) * (rng.random(shape) < density)).astype("f4")

    kernels = [sparse(a, b) for a, b in itertools.pairwise(widths)]
    biases = [sparse(b) for b in widths[1:]]
    model, x = mlp(kernels, biases, activation), rng.normal(size=(4, 3)).astype("f4")
    small = compact(model, x)
    assert_same(model, small.model, x)
    after = list(small.report.units_after.values())
    assert small.report.parameters_after == parameters([3, *after, 2])
    expected = on_a_path(kernels, biases)
    if all(expected):
        assert after == expected


def on_a_path(kernels, biases):
    """How many units of each hidden layer lie on a path that carries something."""
    reached, reaching = [np.ones(3, bool)], [np.ones(2, bool)]
    for kernel, bias in zip(kernels, biases, strict=True):
        reached.append((reached[-1] @ (kernel != 0)) | (bias != 0))
    for kernel in reversed(kernels):
        reaching.append((kernel != 0) @ reaching[-1])
    pairs = zip(reached[1:-1], reaching[-2:0:-1], strict=True)
    return [int(np.sum(a & b)) for a, b in pairs]
