"""Sums over scopes."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import _leaves

TREE = {"a": np.ones(2), "b": np.ones(3), "c": np.ones(1)}
LABELS = neo.by_label({"a": "x", "b": "y", "c": "x"})


def test_scopes_are_counted_without_gaps():
    assert _leaves.groups(TREE, LABELS, [0, 1, 2]) == [0, 1, 0]
    assert _leaves.groups(TREE, LABELS, [1]) == [0]
    assert _leaves.groups(TREE, neo.whole_tree, [0, 2]) == [0, 0]
    assert _leaves.groups(TREE, neo.per_leaf, [0, 2]) == [0, 1]


def test_each_leaf_has_the_sum_of_its_scope():
    assert _leaves.totals([0, 1, 0], [1.0, 2.0, 4.0]) == [5.0, 2.0, 5.0]
    assert _leaves.totals([], []) == []


def test_masks_are_those_of_optax():
    assert _leaves.chosen(TREE, None) == [0, 1, 2]
    assert _leaves.chosen(TREE, {"a": True, "b": False, "c": True}) == [0, 2]
    assert _leaves.chosen({"deep": TREE, "x": 1.0}, {"deep": True, "x": False}) == [
        0,
        1,
        2,
    ]
    assert _leaves.chosen(TREE, lambda tree: {key: key > "a" for key in tree}) == [1, 2]
    large = neo.by_path(lambda path, leaf: path != "b" and leaf.size > 1)
    assert _leaves.chosen(TREE, large) == [0]
    assert _leaves.chosen(TREE, None, _leaves.kernels) == []
    with pytest.raises(ValueError, match=r"^`mask` must have the structure of the par"):
        _leaves.chosen(TREE, {"a": True})
    with pytest.raises(ValueError, match=r"^`mask` must hold True or False, got 3\.$"):
        _leaves.chosen(TREE, 3)
    with pytest.raises(
        ValueError, match=r"^`mask` must choose at least one array, got"
    ):
        _leaves.chosen(TREE, False)


def test_memories_of_the_leaves_that_take_part():
    tree = {"a": np.ones(2, jnp.bfloat16), "b": np.ones(3, "f4"), "c": np.ones(1, "c8")}

    where = neo.by_path(lambda path, leaf: path != "b" and leaf.size)
    memory = _leaves.zeros(tree, where)
    assert memory["b"] == optax.MaskedNode()
    assert (memory["a"].dtype, memory["c"].dtype) == ("float32", "complex64")
    assert memory["a"].tolist() == [0, 0]
    assert _leaves.zeros(tree, where, real=True)["c"].dtype == "float32"


def test_shortened():
    """Twice too long; just right; nothing at all."""
    factors = _leaves.shortened(np.float32([2, 1, 0]), np.float32([1, 1, 0]))
    assert factors.tolist() == [0.5, 1.0, 1.0]


def test_measures_are_summed_by_their_owner():
    parts = [{"a": 1.0, "b": (2.0, None)}, {"a": 8.0, "b": (16.0, None)}]
    first, second = _leaves.sum_by_owner([*parts, parts[0]], (0, 1, 0))
    assert first == {"a": 2.0, "b": (4.0, None)}
    assert second == parts[1]
