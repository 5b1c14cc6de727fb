"""What tracing alone answers about every reduction of players."""

import pytest

import player_runs as runs
import player_table as table


@table.each(fast=table.ASKED)
def test_types_and_refusals_are_known_after_tracing(name, subtests):
    runs.check_types(name, subtests)


@pytest.mark.parametrize("name", [n for n in table.TABLE if runs.inner(n)])
def test_extra_arguments_reach_what_is_inside(name):
    runs.check_forwards(name)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64", "complex64"])
@table.each(fast=())
def test_other_dtypes_in_64_bit_mode(name, dtype):
    runs.check_dtype(*table.TABLE[name].stepper(), dtype, wide=True)


def test_the_table_lists_every_public_factory():
    listed = {entry.factory.__name__ for entry in table.TABLE.values()}
    found = table.public_factories()
    in_aggregators = found["neat_optax.aggregators"] - set(table.NOT_REDUCING)
    assert in_aggregators <= listed
    assert {name for name in found["neat_optax"] if "player" in name} <= listed
    assert {"monitor_update_conflict", "aggregate_shared"} <= listed
    assert set(table.ASKED) <= set(table.TABLE)
