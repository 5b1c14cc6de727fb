"""Sums over scopes."""

import jax.numpy as jnp
import optax
import pytest

import neat_optax as neo
from neat_optax import _leaves

TREE = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(1)}
LABELS = neo.by_label({"a": "x", "b": "y", "c": "x"})


def test_scopes_are_counted_without_gaps():
    assert _leaves.groups(TREE, LABELS, [0, 1, 2]) == [0, 1, 0]
    assert _leaves.groups(TREE, LABELS, [1]) == [0]
    assert _leaves.groups(TREE, neo.whole_tree, [0, 2]) == [0, 0]
    assert _leaves.groups(TREE, neo.per_leaf, [0, 2]) == [0, 1]


def test_each_leaf_has_the_sum_of_its_scope():
    assert _leaves.totals([0, 1, 0], [1.0, 2.0, 4.0]) == [5.0, 2.0, 5.0]
    assert _leaves.totals([], []) == []


def test_selected():
    assert _leaves.selected(TREE, _leaves.as_where(None)) == [0, 1, 2]
    assert _leaves.selected(TREE, lambda path, leaf: path != "b" and leaf.size) == [
        0,
        2,
    ]
    with pytest.raises(ValueError, match="`where` must be a function, got 3"):
        _leaves.as_where(3)


def test_memories_of_the_leaves_that_take_part():
    tree = {"a": jnp.ones(2, "bfloat16"), "b": jnp.ones(3), "c": jnp.ones(1, "c8")}

    def where(path, leaf):
        return path != "b" and leaf.size

    memory = _leaves.zeros(tree, where)
    assert memory["b"] == optax.MaskedNode()
    assert (memory["a"].dtype, memory["c"].dtype) == ("float32", "complex64")
    assert memory["a"].tolist() == [0, 0]
    assert _leaves.zeros(tree, where, real=True)["c"].dtype == "float32"


def test_shortened():
    """Twice too long; just right; nothing at all."""
    factors = _leaves.shortened(jnp.array([2.0, 1.0, 0.0]), jnp.array([1.0, 1.0, 0.0]))
    assert factors.tolist() == [0.5, 1.0, 1.0]


def test_measures_are_summed_by_their_owner():
    parts = [{"a": 1.0, "b": (2.0, None)}, {"a": 8.0, "b": (16.0, None)}]
    first, second = _leaves.sum_by_owner([*parts, parts[0]], (0, 1, 0))
    assert first == {"a": 2.0, "b": (4.0, None)}
    assert second == parts[1]
