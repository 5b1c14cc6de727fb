import numpy as np

from neat_optax.advice._trial import _divided, _order, judge


def ends(*means):
    """[factors, seeds, P] of losses that differ by the seed as the mean's do."""
    spread = np.array([1.0, 1.1, 0.9, 1.05])[:, None] * np.ones(2)
    return np.stack([mean * spread for mean in means])


def test_each_has_its_best_factor_and_is_held_against_the_mean_at_its_own():
    found = judge(
        {"mean": ends(4.0, 2.0), "a": ends(1.0, 3.0), "b": ends(8.0, 2.0)},
        np.full((4, 2), 4.0),
        (0.1, 1.0),
    )
    assert [found[name].factor for name in ("mean", "a", "b")] == [1.0, 0.1, 1.0]
    np.testing.assert_allclose(found["a"].difference, -np.log(2), atol=1e-12)
    np.testing.assert_allclose(found["b"].difference, 0, atol=1e-12)
    np.testing.assert_allclose(found["a"].losses, ends(1.0)[0])


def test_what_is_not_finite_is_the_worst():
    broken = np.full((1, 4, 2), np.nan)
    found = judge({"mean": ends(1.0), "a": broken}, np.ones((4, 2)), (1.0,))
    assert found["a"].difference.low > 100


def test_losses_below_zero_are_compared_by_differences():
    found = judge({"mean": ends(-1.0), "a": ends(-2.0)}, np.full((4, 2), 2.0), (1.0,))
    np.testing.assert_allclose(found["a"].difference.mean, -0.5 * 1.0125)


def test_a_quarter_of_the_batches_is_not_trained_on():
    train, held = _divided(list(range(8)))
    assert (train, held) == ([0, 1, 2, 4, 5, 6], [3, 7])
    assert _divided([0, 1]) == ([0], [1])
    assert _divided([0]) == ([0], [0])


def test_every_batch_comes_once_before_one_comes_again():
    order = _order(5, 12, seed=3)
    assert len(order) == 12
    assert sorted(order[:5]) == sorted(order[5:10]) == list(range(5))
    assert (order == _order(5, 12, seed=3)).all()
    assert (order != _order(5, 12, seed=4)).any()
