"""Over which parameters a contest is held."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import neat_optax as neo
import running
from neat_optax import _leaves

ONES = functools.partial(np.ones, dtype=np.float32)
TREE = {"a": ONES(2), "b": {"c": ONES((1, 2)), "d": ONES(())}}
GIVEN = functools.partial(neo.neat_correction, 1.0, opponent=neo.opponents.given())
PER_LEAF, WHOLE = GIVEN(), GIVEN(scope=neo.whole_tree)


def test_owners():
    assert neo.per_leaf.owners(TREE) == (0, 1, 2)
    assert neo.whole_tree.owners(TREE) == (0, 0, 0)
    assert neo.by_label({"a": "y", "b": "x"}).owners(TREE) == (0, 1, 1)
    assert neo.by_label({"a": 1, "b": {"c": 0, "d": 1}}).owners(TREE) == (0, 1, 0)


def test_labels_from_a_function():
    scope = neo.by_label(lambda tree: jax.tree.map(np.ndim, tree))
    assert scope.owners(TREE) == (0, 1, 2)


@pytest.mark.parametrize(
    ("scope", "count"), [(neo.per_leaf, 3), (neo.whole_tree, 1), (neo.by_label("x"), 1)]
)
def test_counts(scope, count):
    assert scope.count(TREE) == count
    assert scope.count({}) == 0


def test_a_leaf_without_label_is_refused():
    scope = neo.by_label({"a": "x", "b": {"c": "x"}})
    with pytest.raises(
        ValueError, match=r"^`labels` must cover every leaf, got none fo"
    ):
        neo.neat_correction(scope=scope).init(TREE)


def _correct(tx, gradient, opponent):
    stacked = jax.tree.map(lambda x: np.asarray(x)[None], (gradient, opponent))
    updates, _, _ = running.run(tx, stacked[0], gradient, opponent=stacked[1])
    return jax.tree.map(lambda x: x[0], updates)


def _random(seed):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.float32(rng.normal(size=x.shape)), TREE)


def test_whole_tree_is_the_contest_of_the_concatenated_vector():
    gradient, noise = _random(0), _random(1)
    opponent = jax.tree.map(lambda g, n: -g + 0.5 * n, gradient, noise)
    expected = _correct(PER_LEAF, _ravel(gradient), _ravel(opponent))
    actual = _ravel(_correct(WHOLE, gradient, opponent))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    assert not np.allclose(actual, _ravel(gradient))


def _ravel(tree):
    return np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def test_labelled_groups_are_contests_of_their_own():
    gradient, noise = _random(2), _random(3)
    opponent = jax.tree.map(lambda g, n: -g + 0.5 * n, gradient, noise)
    labelled = GIVEN(scope=neo.by_label({"a": "own", "b": "shared"}))
    actual = _correct(labelled, gradient, opponent)
    for key in ("a", "b"):
        expected = _correct(WHOLE, gradient[key], opponent[key])
        for x, y in zip(
            jax.tree.leaves(actual[key]), jax.tree.leaves(expected), strict=True
        ):
            np.testing.assert_allclose(x, y, rtol=1e-5)


def test_by_hand_over_two_leaves():
    """g = (1, 1), o = (-1, 1): per leaf the first is opposed; together g.o = 0."""
    gradient = {"x": ONES(1), "y": ONES(1)}
    opponent = {"x": -ONES(1), "y": ONES(1)}
    assert _correct(PER_LEAF, gradient, opponent) == {"x": 0.0, "y": 1.0}
    assert _correct(WHOLE, gradient, opponent) == {"x": 1.0, "y": 1.0}


def test_more_scopes_than_one_block():
    """Twenty leaves, each with the conflict of its own number."""
    gradient = [np.float32([1, 0])] * 20
    angles = np.linspace(np.pi / 2, np.pi, 20)
    opponent = [np.float32([np.cos(x), np.sin(x)]) for x in angles]
    tx = neo.neat_correction(opponent=neo.opponents.given(), monitor=True)
    step = running.quick_jit(lambda g, o: tx.update(g, tx.init(g), opponent=o)[1])
    state = step(gradient, opponent)
    conflicts = neo.diagnostics(state)["conflict"].per_leaf
    np.testing.assert_allclose(conflicts, -np.cos(angles), atol=1e-6)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Net:
    """A tree that can be called, like the modules of Equinox."""

    w: Any
    b: Any

    def __call__(self, x):
        return x @ self.w + self.b


CALLABLE = Net(ONES((3, 2)), ONES(2))


def test_a_tree_that_can_be_called_is_a_tree():
    labels = Net("kernel", "bias")
    assert neo.by_label(labels).owners(CALLABLE) == (0, 1)
    assert _leaves.chosen(CALLABLE, Net(False, True)) == [1]
    kept = jax.tree.map(lambda x: x > 0, CALLABLE)
    for mask in (neo.sparsity.keep_mask(kept), neo.sparsity.straight_through(kept)):
        state = jax.eval_shape(mask.init, CALLABLE)
        assert isinstance(state.mask, Net)


def test_a_function_that_is_a_tree_is_a_function():
    labels = jax.tree_util.Partial(lambda label, _: label, "all")
    assert neo.by_label(labels).owners(TREE) == (0, 0, 0)


def test_dictionaries_fit_nnx_states():
    state = nnx.state(nnx.eval_shape(lambda: nnx.Linear(2, 3, rngs=nnx.Rngs(0))))
    assert neo.by_label({"kernel": "x", "bias": "y"}).owners(state) == (0, 1)
    assert _leaves.chosen(state, {"kernel": True, "bias": False}) == [1]
    kept = {"kernel": np.ones((2, 3), bool), "bias": np.ones(3, bool)}
    tx = neo.sparsity.keep_mask(kept)
    found = jax.eval_shape(tx.init, state)
    assert jax.tree.structure(found.mask) == jax.tree.structure(state)


def test_a_mask_with_a_name_that_is_nowhere_is_refused():
    with pytest.raises(ValueError, match=r"^`mask` must have the structure of the par"):
        _leaves.chosen(TREE, {"a": True, "b": True, "bb": True})
    left_out = {**TREE, "b": optax.MaskedNode()}
    assert _leaves.chosen(left_out, {"a": True, "b": True}) == [0]
