"""What is to be cited is found in chains, wrappers and functions."""

import re

import jax.numpy as jnp
import optax
import pytest

import contract
import house
import neat_optax as neo
import player_table
from neat_optax import _citing

CITED = [
    value for value in house.public_names(neo).values() if hasattr(value, "__cites__")
]
BUILT = {**contract.TABLE, **player_table.TABLE}


def keys(*used):
    return re.findall(r"^@\w+\{(.*),$", neo.cite(*used), re.MULTILINE)


def test_all_of_a_chain_are_cited_once_in_their_order():
    tx = optax.chain(
        neo.aggregators.upgrad(), neo.aggregators.upgrad(), neo.centralize_outputs()
    )
    assert keys(tx) == ["quinton2024jacobian", "yong2020gradient"]


def test_nothing_is_cited_for_what_has_no_source():
    assert neo.cite(optax.adam(0.1), neo.aggregators.mean(), None, 3) == ""


@pytest.mark.parametrize(
    "wrap",
    [
        lambda tx: optax.masked(tx, True),
        lambda tx: optax.partition({"a": tx, "b": optax.sgd(0.1)}, {"w": "a"}),
        lambda tx: neo.monitor_update(tx),
        lambda tx: {"one": [tx]},
        lambda tx: tx.update,
    ],
)
def test_wrappers_are_looked_into(wrap):
    assert keys(wrap(neo.sparsity.soft_threshold(0.1))) == ["parikh2014proximal"]


def test_a_cell_that_is_not_bound_yet_holds_nothing():
    def update(x):
        return later(x)

    def hold():
        return later

    assert neo.cite(hold, update) == ""
    later = jnp.sin


def test_a_factory_whose_numbers_are_injected_is_cited():
    tx = optax.inject_hyperparams(neo.sparsity.soft_threshold)(0.1)
    assert keys(tx) == ["parikh2014proximal"]


@pytest.mark.parametrize("name", BUILT)
def test_what_a_cited_factory_makes_is_recognized(name):
    entry = BUILT[name]
    expected, found = getattr(entry.factory, "__cites__", ()), keys(entry.build())
    assert set(expected) <= set(found)
    if "References:" in (entry.factory.__doc__ or ""):
        assert found


def test_factories_and_what_they_make_have_entries_of_the_file():
    known = _citing._entries()
    found = {key for value in CITED for key in value.__cites__}
    assert found - set(known) == set()
    assert [
        key for key, text in known.items() if text.count("{") != text.count("}")
    ] == []
    assert list(known) == sorted(known)
