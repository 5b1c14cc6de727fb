"""What the devices exchange in a step, as docs/scaling.md has it."""

import functools
import pathlib
import re

import jax
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import collectives
import running
import sharded_families as families
from neat_optax import evolution as evo

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "scaling.md"
SHARDED = families.LAYOUTS["fully sharded"]
SIZE = sum(x.size for x in jax.tree.leaves(families.params()))
LONGEST_VECTOR = 32
"""Numbers that are gathered: at most one for each unit of the widest layer."""


@functools.cache
def documented():
    """Exchanges in each step and their bytes, by row of the page's table."""
    text = PAGE.read_text()
    rows = re.findall(r"^\| (`.*?) \|(?:[^|]*\|)? (\d+) \| (\d+) \|", text, re.M)
    return {name: (int(count), int(size)) for name, count, size in rows}


def row(name, layout):
    explicit = name == "continual_backprop" and layout.endswith("explicit")
    return f"`{name}`, explicit axes" if explicit else f"`{name}`"


def abstract(tree, placed):
    return jax.tree.map(
        lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where),
        tree,
        placed,
    )


def exchanges(name, layout, apart=False, params_after=None, devices=None):
    """Those of one update; the gradient of a player is on one device if `apart`."""
    family = families.FAMILIES[name]
    tx, mesh = family.build(), families.mesh_of(layout, devices)
    activity = {"first": np.ones(LONGEST_VECTOR, np.float32)}
    extra = {"unit_activity": activity} if family.activity else {}

    def step(grads, state, params):
        if family.players:
            grads = families.divided(layout, grads, P(None))
        updates, state = tx.update(grads, state, params, **extra)
        return optax.apply_updates(params, updates), state

    def like(tree, spec):
        where = NamedSharding(mesh, spec)
        return abstract(tree, jax.tree.map(lambda _: where, tree))

    def stacked(x):
        return np.zeros((families.PLAYERS, *x.shape), x.dtype)

    with jax.set_mesh(mesh):
        plain = families.params()
        params = like(plain, layout.params)
        places = families.shardings(tx, plain, layout, mesh)
        state = abstract(jax.eval_shape(tx.init, plain), places)
        grads = params
        if family.players:
            spec = P(families.AXIS) if apart else P(None, *layout.params)
            grads = like(jax.tree.map(stacked, plain), spec)
        after = layout.params if params_after is None else params_after
        compiled = jax.jit(
            step,
            out_shardings=(NamedSharding(mesh, after), places),
            compiler_options=running.quick(),
        ).lower(grads, state, params)
        return collectives.collectives(compiled.compile().as_text())


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["fully sharded", "fully sharded, explicit"])
@pytest.mark.parametrize("name", families.FAMILIES)
def test_a_step_exchanges_what_the_page_says_and_gathers_no_parameters(name, layout):
    found = exchanges(name, families.LAYOUTS[layout])
    gathered = [one for one in found if one.name != "all-reduce"]
    assert all(one.name == "all-gather" for one in gathered), found
    assert all(one.size <= LONGEST_VECTOR for one in gathered), found
    assert not gathered or name == "continual_backprop"
    always = [one for one in found if one.always]
    counted = len(always), sum(one.bytes for one in always)
    assert counted == documented()[row(name, layout)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["neat", "upgrad"])
def test_the_number_of_devices_changes_nothing(name):
    assert exchanges(name, SHARDED, devices=2) == exchanges(name, SHARDED)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["player_neat", "upgrad", "trimmed_mean"])
def test_players_on_devices_change_places_once(name):
    """Each array once, and nothing else that is not exchanged anyway."""
    found = exchanges(name, SHARDED, apart=True)
    moved = [one for one in found if one.name == "all-to-all"]
    assert [one.always for one in moved] == [True] * 4
    assert sum(one.size for one in moved) == SIZE
    others = [one for one in found if one.name != "all-to-all"]
    assert others == exchanges(name, SHARDED)


@pytest.mark.slow
def test_parameters_that_every_device_has_are_gathered_once():
    found = exchanges("upgrad", SHARDED, apart=True, params_after=P())
    moved = [one for one in found if one.name != "all-reduce"]
    sizes = {"all-to-all": 0, "all-gather": 0}
    for one in moved:
        sizes[one.name] += one.size
    assert sizes == {"all-to-all": SIZE, "all-gather": SIZE}


def fitness(weights):
    return -(weights["kernel"] ** 2).sum() - (weights["bias"] ** 2).sum()


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["fully sharded", "fully sharded, explicit"])
def test_individuals_are_scored_where_they_are_and_gathered_to_breed(layout):
    mesh = families.mesh_of(families.LAYOUTS[layout])
    with jax.set_mesh(mesh):
        shapes = {"kernel": (64, 32, 16), "bias": (64, 16)}
        population = families.place(
            {name: np.ones(shape, np.float32) for name, shape in shapes.items()},
            mesh,
            P(families.AXIS),
        )
        scored = running.quick_jit(jax.vmap(fitness)).lower(population).compile()
        assert not collectives.collectives(scored.as_text())
        steps = evo.search_steps(evo.breeder(), fitness)
        step = running.quick_jit(steps.step).lower(steps.init(0, population))
        found = collectives.collectives(step.compile().as_text())
    size = sum(x.size for x in jax.tree.leaves(population))
    moved = [one for one in found if one.name == "all-gather" and one.size > 64]
    times, rest = divmod(sum(one.size for one in moved), size)
    assert (times, rest) == (1 if layout.endswith("explicit") else 2, 0)
