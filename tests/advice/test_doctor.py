import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
import running

FEW = {"steps": 12, "trial_steps": 0, "candidates": ["imtl_g"]}
ENDS = np.array([[1.0, 0.0], [-1.0, 0.2]], np.float32)


def quadratics(params, shift):
    return jnp.sum((params["w"][None] - ENDS - shift) ** 2, axis=1)


def batches(count=6, noise=0.0, seed=0):
    draw = np.random.default_rng(seed)
    return [(noise * draw.normal(size=(2, 2))).astype("f") for _ in range(count)]


@pytest.fixture(scope="module")
def start():
    return {"w": np.array([0.0, -1.0], np.float32)}


@pytest.mark.slow
def test_numbers_are_those_of_gradients_by_hand(start):
    before = start["w"].copy()
    found = neo.doctor(quadratics, start, batches(), **FEW)
    first, second = 2 * (start["w"] - ENDS)
    cosine = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    np.testing.assert_allclose(found.cosines[0, 0, 1], cosine, rtol=1e-5)
    np.testing.assert_allclose(found.losses[0], [2.0, 2.44], rtol=1e-5)
    np.testing.assert_allclose(found.measures.reliability, 1, rtol=1e-5)
    assert (start["w"] == before).all()
    kept = json.loads(found.to_json())
    assert kept["recommendation"]["method"] == found.recommendation.method
    assert set(found.measures.costs) == {"mean", "imtl_g"}


@pytest.mark.slow
def test_noise_alone_asks_for_nothing(start):
    with running.quickly():
        few = {"steps": 12, "trial_steps": 5}
        found = neo.doctor(quadratics, start, batches(30, noise=20.0), **few)
    assert found.recommendation.method == "none"
    assert found.measures.noise > 0.5
    assert not found.measures.costs  # of candidates that nothing speaks for
    assert found.measures.trial is None


@pytest.mark.slow
def test_a_trial_follows_a_cause(start):
    def scaled(params, shift):
        return jnp.array([1.0, 1e3]) * quadratics(params, shift)

    few = {**FEW, "trial_steps": 5, "seeds": 2, "factors": (1.0,)}
    found = neo.doctor(scaled, start, batches(noise=0.01), **few)
    assert set(found.measures.trial) == {"mean", "imtl_g"}
    assert found.measures.norm_ratio > 100
    assert "Trial" in str(found)
    asked = neo.doctor(quadratics, start, batches(30, 20.0), **few)
    assert asked.recommendation.method == "none"
    assert set(asked.measures.trial) == {"mean", "imtl_g"}  # since it was named


@pytest.mark.slow
def test_a_module_is_left_as_it_is():
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.linear = nnx.Linear(2, 2, rngs=rngs)
            self.norm = nnx.BatchNorm(2, rngs=rngs)

        def __call__(self, x):
            return self.norm(self.linear(x))

    model = Net(nnx.Rngs(0))
    before = jax.tree.map(np.array, nnx.split(model)[1])

    def losses(model, x):
        return jnp.mean((model(x) - 1) ** 2, axis=0)

    found = neo.doctor(losses, model, batches(noise=1.0), steps=4, trial_steps=4)
    assert "linear/kernel" in found.measures.layers
    after = nnx.split(model)[1]
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, after))
    given = {"losses_fn": losses, "model": model, "batch": batches()[0]}
    exec(found.recommendation.code, given)
    assert found.recommendation.method == "none"
    assert given["gradient"]["linear"]["kernel"].shape == (2, 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 1}, "`steps` must be"),
        ({"trial_steps": -1}, "`trial_steps` must be"),
        ({"seeds": 1}, "`seeds` must be"),
        ({"factors": ()}, "`factors` must hold at least one number"),
        ({"factors": (0.0,)}, "`factors` must be in"),
        ({"optimizer": 3}, "`optimizer` must be"),
        ({"candidates": ["adam"]}, "`candidates` must be among"),
    ],
)
def test_arguments_out_of_range_are_refused(start, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        neo.doctor(quadratics, start, batches(), **options)


@pytest.mark.slow
def test_heads_are_neither_measured_nor_aggregated():
    params = {"trunk": np.ones(2, np.float32), "heads": [np.float32(1), np.float32(2)]}

    def losses(params, shift):
        first, second = params["trunk"] - shift[0]
        return [(first * params["heads"][0]) ** 2, (second * params["heads"][1]) ** 2]

    def split(params, shift):
        return jnp.stack([jnp.square(params["w"][0] - shift[0, 0])] * 2)

    found = neo.doctor(losses, params, batches(noise=0.1), **FEW)
    assert found.measures.heads
    np.testing.assert_allclose(found.cosines[:, 0, 1], 0, atol=1e-6)
    first = 2 * np.array([1.0, 2.0]) ** 2  # of the trunk alone, at the first step
    np.testing.assert_allclose(found.measures.norms, first, rtol=0.3)
    whole = neo.doctor(split, {"w": np.ones(1, np.float32)}, batches(), **FEW)
    assert not whole.measures.heads


@pytest.mark.slow
def test_losses_without_a_number_are_refused(start):
    with pytest.raises(ValueError, match="finite losses at `params`"):
        neo.doctor(lambda p, x: quadratics(p, x) / 0, start, batches(), **FEW)
