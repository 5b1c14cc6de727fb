"""The least useful weights are drawn anew."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax.continual import swr
from running import quickly, run

RNG = np.random.default_rng(8)
PARAMS = {
    "kernel": (2.0 * RNG.normal(size=(100, 30)) + 0.5).astype(np.float32),
    "bias": np.zeros(30, np.float32),
    "scale": np.ones(30, np.float32),
}
PARAMS["twin"] = PARAMS["kernel"]


def still(steps):
    return jax.tree.map(lambda x: np.zeros((steps, *x.shape), x.dtype), PARAMS)


@quickly()
def test_a_share_of_the_smallest_weights_is_drawn_like_the_start():
    updates, after, _ = run(swr(0.2, every=2), still(4), PARAMS)
    drawn = updates["kernel"] != 0
    assert drawn.sum(axis=(1, 2)).tolist() == [0, 600, 0, 600]
    sizes = np.abs(PARAMS["kernel"])
    assert sizes[drawn[1]].max() <= sizes[~drawn[1]].min()
    fresh = after["kernel"][1][drawn[1]]
    assert np.mean(fresh) == pytest.approx(0.5, abs=0.25)
    assert np.std(fresh) == pytest.approx(2.0, rel=0.1)
    assert not np.array_equal(fresh, after["twin"][1][drawn[1]])
    for name in ("bias", "scale"):  # drawn from a constant
        np.testing.assert_array_equal(after[name][-1], PARAMS[name])


@pytest.mark.slow
def test_an_odd_share_is_drawn_by_chance():
    params = {"w": np.arange(1.0, 5.0, dtype=np.float32)}
    zeros = {"w": np.zeros((400, 4), np.float32)}
    updates, _, _ = run(swr(0.375, every=1), zeros, params, move=False)
    counts = (updates["w"] != 0).sum(axis=1)
    assert set(counts.tolist()) == {1, 2}
    assert np.mean(counts) == pytest.approx(1.5, abs=0.08)


@quickly()
def test_a_threshold_is_a_multiple_of_the_mean():
    params = {"w": np.array([4.0, 1.0, 0.25, -0.75, 0.0], np.float32)}
    steps = {"w": np.array([[0, 0, 0, 0, np.nan]], np.float32)}
    updates, _, _ = run(swr(threshold=0.5, every=1), steps, params)
    assert (updates["w"][0] != 0)[:4].tolist() == [False, False, True, True]
    assert np.isnan(updates["w"][0]).tolist() == [False] * 4 + [True]


@quickly()
def test_gradient_utilities_are_averaged_and_start_again():
    """The second weight is lowest on average, and the first one at last."""
    tx = swr(0.5, every=3, score=neo.sparsity.saliency, decay=0.75)
    chain = neo.pass_gradient(optax.chain(optax.scale(0.0), tx))
    params = {"w": np.array([1.0, -1.0], np.float32)}
    gradient = {"w": np.array([[8, 1], [8, 1], [0, 1]], np.float32)}
    updates, _, state = run(chain, gradient, params)
    assert (updates["w"] != 0).tolist() == [[False] * 2] * 2 + [[False, True]]
    assert np.all(np.asarray(state[1].utility["w"]) == 0)
    _, _, state = run(chain, {"w": gradient["w"][:2]}, params)
    np.testing.assert_allclose(state[1].utility["w"], [3.5, 0.4375])


@pytest.mark.slow
def test_a_mask_and_a_key_of_ones_own():
    mask = {name: name == "kernel" for name in PARAMS}
    found = [
        run(swr(0.2, every=1, key=key, mask=mask, score=jnp.negative), still(1), PARAMS)
        for key in (0, 1)
    ]
    drawn = [updates["kernel"][0] for updates, _, _ in found]
    assert not np.array_equal(*drawn)
    lowest = PARAMS["kernel"] >= np.sort(PARAMS["kernel"], axis=None)[-600]
    np.testing.assert_array_equal(drawn[0] != 0, lowest)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"^`fraction` must be given, or `threshold` in its place, got None"),
        (dict(fraction=0.1, threshold=0.1), r"^`fraction` must be given, or"),
        (dict(fraction=1.5), r"^`fraction` must be in \[0, 1\], got 1\.5\.$"),
        (dict(threshold=-1.0), r"^`threshold` must be in \[0, inf\), got -1\.0\.$"),
        (dict(fraction=0.1, every=0), r"^`every` must be an integer >= 1, got 0\.$"),
        (dict(fraction=0.1, decay=1.0), r"^`decay` must be in \[0, 1\), got 1\.0\.$"),
        (dict(fraction=0.1, key=-1), r"^`key` must be an integer >= 0, got -1\.$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        swr(**{"every": 2, **options})
