"""Sums over scopes."""

import jax.numpy as jnp
import optax
import pytest

import neat_optax as no
from neat_optax.plasticity import _scoped

TREE = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(1)}
LABELS = no.by_label({"a": "x", "b": "y", "c": "x"})


def test_scopes_are_counted_without_gaps():
    assert _scoped.groups(TREE, LABELS, [0, 1, 2]) == [0, 1, 0]
    assert _scoped.groups(TREE, LABELS, [1]) == [0]
    assert _scoped.groups(TREE, no.whole_tree, [0, 2]) == [0, 0]
    assert _scoped.groups(TREE, no.per_leaf, [0, 2]) == [0, 1]


def test_each_leaf_has_the_sum_of_its_scope():
    assert _scoped.totals([0, 1, 0], [1.0, 2.0, 4.0]) == [5.0, 2.0, 5.0]
    assert _scoped.totals([], []) == []


def test_selected():
    assert _scoped.selected(TREE, _scoped.as_where(None)) == [0, 1, 2]
    assert _scoped.selected(TREE, lambda path, leaf: path != "b" and leaf.size) == [
        0,
        2,
    ]
    with pytest.raises(ValueError, match="`where` must be a function, got 3"):
        _scoped.as_where(3)


def test_memories_of_the_leaves_that_take_part():
    tree = {"a": jnp.ones(2, "bfloat16"), "b": jnp.ones(3), "c": jnp.ones(1, "c8")}

    def where(path, leaf):
        return path != "b" and leaf.size

    memory = _scoped.zeros(tree, where)
    assert memory["b"] == optax.MaskedNode()
    assert (memory["a"].dtype, memory["c"].dtype) == ("float32", "complex64")
    assert memory["a"].tolist() == [0, 0]
    assert _scoped.zeros(tree, where, real=True)["c"].dtype == "float32"


def test_shortened():
    """Twice too long; just right; nothing at all."""
    factors = _scoped.shortened(jnp.array([2.0, 1.0, 0.0]), jnp.array([1.0, 1.0, 0.0]))
    assert factors.tolist() == [0.5, 1.0, 1.0]
