"""What compaction refuses, and what it finds out by numbers."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

from compaction_models import INIT, assert_same, placed
from neat_optax.sparsity.compaction._compact import compact, search_compaction

RNGS = INIT["rngs"]
X = np.float32([[1.0, 2.0], [-1.0, 0.5]])


def zero(layer, where):
    kernel = np.array(layer.kernel[...])
    kernel[where] = 0
    layer.kernel.set_value(placed(kernel))


class Net(nnx.Module):
    """Three layers and some parts, put together by a function."""

    def __init__(self, forward, **parts):
        self.first = nnx.Linear(2, 4, **INIT)
        self.second = nnx.Linear(4, 4, **INIT)
        self.last = nnx.Linear(4, 1, **INIT)
        for name, part in parts.items():
            setattr(self, name, part)
        zero(self.last, np.s_[2:])
        self.forward = forward

    def __call__(self, x):
        return self.forward(self, x)


def chain(net, x, between=nnx.relu):
    return net.last(nnx.relu(net.second(between(net.first(x)))))


def skip(net, x):
    hidden = nnx.relu(net.first(x))
    return net.last(nnx.relu(net.second(hidden)) + hidden)


def input_skip(net, x):
    return net.last(jnp.concatenate([net.first(x)[:, :2], x], axis=1))


def branch(net, x):
    hidden = net.first(x)
    return net.second(hidden) + net.last(hidden)


def twice(net, x):
    return net.last(net.second(net.second(net.first(x))))


def hidden_too(net, x):
    hidden = net.first(x)
    return net.last(net.second(hidden)), hidden


def normalized(net, x):
    return chain(net, x, net.norm)


def transposed(net, x):
    return net.last(net.first(x) @ net.second.kernel[...].T)


def scanned(net, x):
    def step(hidden, _):
        return net.second(hidden), None

    return net.last(jax.lax.scan(step, net.first(x), None, length=2)[0])


REFUSED = {
    "skip": (skip, {}, "one chain of layers, got last/kernel fed by first and second"),
    "input": (input_skip, {}, "got last/kernel fed by first and the input"),
    "branch": (branch, {}, "got last/kernel fed by first after second"),
    "twice": (twice, {}, "use each kernel once, got second/kernel used again"),
    "hidden": (hidden_too, {}, "return the result of its last layer alone, .* first,"),
    "layernorm": (
        normalized,
        {"norm": nnx.LayerNorm(4, rngs=RNGS)},
        "got norm/bias and norm/scale between first and second",
    ),
    "batchnorm": (normalized, {"norm": nnx.BatchNorm(4, rngs=RNGS)}, "norm/mean"),
    "transpose": (transposed, {}, "got second/kernel in the operation transpose"),
    "scan": (scanned, {}, "got second/kernel in the operation scan"),
    "general": (
        lambda net, x: chain(net, net.part(x)),
        {"part": nnx.LinearGeneral(2, 2, **INIT)},
        "nnx.Linear, .* got another one at 'part'",
    ),
    "embed": (
        lambda net, x: chain(net, net.part(x[:, 0].astype(int))),
        {"part": nnx.Embed(3, 2, rngs=RNGS)},
        "got part/embedding in the operation",
    ),
    "sizes": (
        lambda net, x: net.last(net.part(x)[:, :4]),
        {"part": nnx.Linear(2, 5, **INIT)},
        "layers that fit each other, got 4 inputs of 'last' after 5 units",
    ),
    "none": (lambda _, x: x, {}, "Dense or Conv layers, got none"),
    "infinite": (lambda net, x: chain(net, x) / 0, {}, "finite outputs on `x`"),
}


@pytest.mark.parametrize(("forward", "parts", "message"), REFUSED.values(), ids=REFUSED)
def test_models_that_are_no_chain(forward, parts, message):
    with pytest.raises(ValueError, match=rf"`model` must .*{message}"):
        compact(Net(forward, **parts), X)


def test_groups_and_masks():
    x = np.ones((1, 5, 2), np.float32)
    for extra in ({"feature_group_count": 2}, {"mask": np.ones((3, 2, 4), np.float32)}):
        first = nnx.Conv(2, 4, (3,), **INIT, **extra)
        model = nnx.Sequential(first, nnx.relu, nnx.Linear(4, 1, **INIT))
        with pytest.raises(
            ValueError, match="unchanged and in one group, got layers/0"
        ):
            compact(model, x)
        with pytest.raises(ValueError, match="`layers` must name Dense and Conv"):
            compact(model, x, layers=("layers/0", "layers/2"))


def mixing(operation):
    return Net(lambda net, x: chain(net, x, operation))


@pytest.mark.parametrize(
    "operation",
    [
        lambda h: h - h.mean(axis=-1, keepdims=True),
        lambda h: h[:, ::-1],
        lambda h: h + np.arange(4, dtype=np.float32)[None],
        *(
            pytest.param(operation, marks=pytest.mark.slow)
            for operation in (
                jax.nn.softmax,
                lambda h: h / h.shape[-1],
                lambda h: h.reshape(-1, 2, 2).swapaxes(1, 2).reshape(-1, 4),
            )
        ),
    ],
    ids=["mean", "order", "constants", "softmax", "size", "swap"],
)
def test_operations_across_units_are_found_by_numbers(operation):
    model = mixing(operation)
    zero(model.second, 0)
    with pytest.raises(ValueError, match="`model` must be a chain of layers"):
        compact(model, X)


@pytest.mark.parametrize("threshold", [0.0, pytest.param(0.01, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "activation",
    [
        nnx.sigmoid,
        pytest.param(nnx.softplus, marks=pytest.mark.slow),
        pytest.param(jnp.cos, marks=pytest.mark.slow),
    ],
)
def test_activations_that_are_not_zero_at_zero_are_found(activation, threshold):
    model = mixing(activation)
    zero(model.first, np.s_[:, 0])
    with pytest.raises(ValueError, match="`zero_at_zero` must be False for this model"):
        compact(model, X, threshold=threshold)
    small = compact(model, X, threshold=threshold, zero_at_zero=False)
    assert small.report.units_after == {"first": 4, "second": 2}


@pytest.mark.slow
def test_an_example_of_zeros_shows_as_much():
    layers = [nnx.Linear(2, 2, use_bias=False, **INIT) for _ in range(2)]
    zero(layers[1], 0)
    model = nnx.Sequential(layers[0], lambda h: h[:, ::-1], layers[1])
    with pytest.raises(ValueError, match="`model` must be a chain of layers"):
        compact(model, jnp.zeros((2, 2)))


def test_a_channels_first_flatten_is_found_by_numbers():
    model = nnx.Sequential(
        nnx.Conv(1, 3, (3,), **INIT),
        nnx.relu,
        lambda x: x.swapaxes(1, 2).reshape(x.shape[0], -1),
        nnx.Linear(15, 2, **INIT),
    )
    zero(model.layers[0], np.s_[..., 1])
    with pytest.raises(ValueError, match="a flatten with channels first"):
        compact(model, np.ones((1, 5, 1), np.float32))


def test_named_layers_replace_the_order_of_the_trace():
    """They cut a chain inside a model that is none."""
    model = Net(
        lambda net, x: chain(net, x) + net.side(x), side=nnx.Linear(2, 1, **INIT)
    )
    with pytest.raises(ValueError, match="one chain of layers"):
        compact(model, X)
    small = compact(model, X, layers=("first", "second", "last"))
    assert small.report.units_after == {"first": 4, "second": 2}
    assert_same(model, small.model, X)
    with pytest.raises(ValueError, match="`model` must be a chain of layers"):
        compact(model, X, layers=("first", "last"))


@pytest.mark.slow
def test_a_mask_from_the_input_needs_named_layers():
    model = Net(lambda net, x: chain(net, x[:, :2], lambda h: nnx.relu(h) * x[:, 2:]))
    x = jnp.ones((2, 3))
    with pytest.raises(ValueError, match="fed by first and the input after first"):
        compact(model, x)
    small = compact(model, x, layers=("first", "second", "last"))
    assert small.report.units_after == {"first": 4, "second": 2}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (("first", "third"), "such as first, last, second, got 'third'"),
        (("first", "first"), r"distinct paths, got \('first', 'first'\)"),
        ((), r"distinct paths, got \(\)"),
        ("first", "distinct paths, got 'first'"),
    ],
)
def test_names_of_layers(layers, message):
    with pytest.raises(ValueError, match=rf"`layers` must .*{message}"):
        compact(Net(chain), X, layers=layers)


@pytest.mark.parametrize("threshold", [-0.1, np.nan, np.inf, "1", None, lambda _: 1.0])
def test_thresholds(threshold):
    with pytest.raises(ValueError, match=r"`threshold` must be .* \[0, inf\)"):
        compact(Net(chain), X, threshold=threshold)
    with pytest.raises(ValueError, match=r"`thresholds` must be .* \[0, inf\)"):
        search_compaction(Net(chain), X, [0.0, threshold], lambda _: 1.0)


def test_arguments_of_the_search():
    model = Net(chain)
    with pytest.raises(ValueError, match="`thresholds` must hold at least one number"):
        search_compaction(model, X, [], lambda _: 1.0)
    with pytest.raises(ValueError, match="`score` must be a function"):
        search_compaction(model, X, [0.0], 1.0)
    with pytest.raises(ValueError, match=r"`score` must return one number, got .*\(2,"):
        search_compaction(model, X, [0.0], lambda m: m(X))
    message = r"`min_score` must be in \[-inf, inf\], got nan"
    with pytest.raises(ValueError, match=message):
        search_compaction(model, X, [0.0], lambda _: np.nan)
    with pytest.raises(ValueError, match=message):
        search_compaction(model, X, [0.0], lambda _: 1.0, min_score=np.nan)


def test_abstract_values():
    with pytest.raises(ValueError, match="`x` must hold values, got the abstract"):
        compact(Net(chain), jax.ShapeDtypeStruct((1, 2), jnp.float32))
    net = Net(chain)
    with pytest.raises(ValueError, match="`x` must hold values, got the abstract"):
        jax.jit(lambda x: compact(net, x).report.max_change)(X)
    model = nn.Dense(1)
    variables = jax.eval_shape(model.init, jax.random.key(0), X)
    with pytest.raises(ValueError, match="`model` must hold arrays, got"):
        compact(model, X, variables=variables)


def test_kinds_of_models():
    with pytest.raises(ValueError, match="`model` must be an nnx"):
        compact(lambda x: x, X)
    with pytest.raises(ValueError, match="`variables` must be None for an NNX model"):
        compact(Net(chain), X, variables={"params": {}})
    with pytest.raises(
        ValueError, match='`variables` must be a dictionary with "params"'
    ):
        compact(nn.Dense(1), X)
    with pytest.raises(ValueError, match="`zero_at_zero` must be True or False, got 1"):
        compact(Net(chain), X, zero_at_zero=1)


def test_complex_kernels():
    model = nnx.Sequential(nnx.Linear(2, 1, param_dtype=jnp.complex64, **INIT))
    with pytest.raises(
        ValueError, match="floating kernels, got complex64 at 'layers/0'"
    ):
        compact(model, X)


def test_a_model_without_hidden_layers_is_returned_as_it_is():
    model = nnx.Linear(2, 3, **INIT)
    found = compact(model, X)
    assert found.model is model
    assert not found.report.accepted
    assert found.report.units_after == {}
    assert found.report.parameters_after == 9


def test_flax_is_asked_for_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "flax", None)
    with pytest.raises(ImportError, match=r'pip install "neat-optax\[train\]"'):
        compact(object(), X)
