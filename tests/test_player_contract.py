"""The same questions to every reduction of players: state, dtypes, and answers."""

import jax
import numpy as np
import pytest

import player_runs as runs
import player_table as table
import properties
import running


@table.each(fast=table.ASKED)
def test_one_run_answers_what_needs_numbers(name, subtests):
    runs.check_run(name, subtests)


@table.each(fast=())
def test_one_run_with_optimized_machine_code(name, subtests):
    runs.check_run(name, subtests, quick=False)


EAGER = (*table.SHELLS, "imtl_g measured", "monitor_update_conflict", "chained")
"""One of each way to combine, and what stands around them.

A rule on inner products steps eagerly in the example of its docstring.
"""


@table.each(EAGER, fast=("mean",))
def test_jit_equals_no_jit(name):
    tx, step = table.TABLE[name].stepper()
    params, gradients = table.PARAMS, runs.at(runs.gradients(1), 0)
    with running.quickly():
        state = tx.init(params)
        compiled, after = jax.jit(step)(gradients, state, params)
        eager, eager_after = step(gradients, state, params)
    properties.assert_trees_close(eager, compiled, **runs.ROUNDING)
    properties.assert_trees_close(
        squared(runs.plain(eager_after)), squared(runs.plain(after)), **runs.ROUNDING
    )


def squared(state):
    """The state with the squares of lengths that are roots of sums which may cancel.

    Of players whose hull holds zero, `min_norm` is the root of a rounding.
    """

    def square(path, x):
        return x**2 if "min_norm" in jax.tree_util.keystr(path) else x

    return jax.tree_util.tree_map_with_path(square, state)


ALONE = (
    "mean",
    "sum",
    "random",
    "graddrop",
    "pcgrad",
    "player_neat",
    "player_contest",
)


@table.each(ALONE)
def test_a_player_alone_is_followed(name):
    """`single_1x10` of the recorded matrices asks it of the solvers."""
    tx = table.TABLE[name].build()
    gradients = runs.at(runs.gradients(1, count=1), 0)
    step = lambda g, params: tx.update(g, tx.init(params), params)[0]  # noqa: E731
    update = running.quick_jit(step)(gradients, table.PARAMS)
    flat, own = (
        np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
        for tree in (update, gradients)
    )
    cosine = flat @ own / np.linalg.norm(flat) / np.linalg.norm(own)
    assert cosine == pytest.approx(1.0, abs=1e-5)
