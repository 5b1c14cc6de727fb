"""Pruned populations: sparsity of each, inherited masks, the schedule."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
import properties
import running
from neat_optax import by_path
from neat_optax import evolution as evo
from neat_optax.evolution import BreederState

KEY = jax.random.key(0)
BREEDER = evo.breeder(evo.truncation(3), mutation=evo.gaussian(1.0, 1.0), num_elites=2)


def population(n=6):
    kernel = np.random.default_rng(1).normal(size=(n, 5, 4)).astype(np.float32)
    bias = np.ones((n, 4), np.float32)
    params = {"kernel": kernel, "bias": bias, "n": np.arange(n)}
    return evo.Population(params, np.arange(n, dtype=np.float32))


def kernel(path, leaf):
    del leaf
    return path == "kernel"


HALF = evo.prune_population(BREEDER, 0.5, mask=by_path(kernel))
updated = jax.jit(HALF.update)


def zeros(bred):
    return np.sum(np.asarray(bred.params["kernel"]) == 0, axis=(1, 2)).tolist()


def test_the_sparsity_of_each_follows_the_schedule():
    step = evo.prune_population(BREEDER, optax.linear_schedule(0.0, 0.5, 2))
    bred = population()
    state, found = step.init(bred), []
    update = jax.jit(step.update)
    for key in jax.random.split(KEY, 4):
        bred, state = update(key, bred._replace(fitness=population().fitness), state)
        found.append(zeros(bred))
    assert found == [[0] * 6, [5] * 6, [10] * 6, [10] * 6]
    assert not np.any(np.asarray(bred.params["bias"]) == 0)


def test_children_inherit_the_mask_of_their_first_parent():
    given = population()
    first, state = updated(KEY, given, HALF.init(given))
    masks = np.asarray(state.pruning.mask["kernel"])
    first = first._replace(fitness=np.float32([0, 5, 4, 3, 2, 1]))
    second, after = updated(jax.random.key(1), first, state)
    first_parents = np.asarray(after.inner.first_parents)
    assert len(set(first_parents.tolist())) > 1
    np.testing.assert_array_equal(after.pruning.mask["kernel"], masks[first_parents])
    found = np.asarray(second.params["kernel"]) != 0
    np.testing.assert_array_equal(found, masks[first_parents])


@pytest.mark.slow  # bit for bit, so compiled in earnest
def test_masks_are_those_of_the_weights_at_the_time():
    """As `make_mask` gives them for each individual by itself."""
    step = evo.prune_population(evo.chain(BREEDER), 0.5, scope=neo.whole_tree)
    given = population()
    bred, state = jax.jit(step.update)(KEY, given, step.init(given))
    inner = evo.chain(BREEDER)
    dense, _ = jax.jit(inner.update)(KEY, given, inner.init(given))

    @jax.jit
    @jax.vmap
    def pruned(one):
        mask = neo.sparsity.make_mask(one, 0.5, scope=neo.whole_tree)
        return neo.sparsity.apply_mask(one, mask)

    expected = pruned({k: v for k, v in dense.params.items() if k != "n"})
    found = {k: v for k, v in bred.params.items() if k != "n"}
    properties.assert_trees_equal(found, expected)
    assert bred.params["n"].tolist() == state.inner[0].first_parents.tolist()


def test_only_pruned_elites_lose_their_fitness():
    given = population()
    first, state = updated(KEY, given, HALF.init(given))
    assert np.all(np.isnan(first.fitness))
    first = first._replace(fitness=np.arange(6, dtype=np.float32))
    second, _ = updated(KEY, first, state)
    assert second.fitness[:2].tolist() == [5.0, 4.0]


def test_the_state_has_the_share_of_zeros_of_the_population_that_was_given():
    given = population()
    given.params["bias"][:] = 0  # not pruned, not counted
    given.params["kernel"][:2, 0] = 0
    _, state = updated(KEY, given, HALF.init(given))
    assert state.sparsity.dtype == jnp.float32
    np.testing.assert_allclose(state.sparsity, 2 * 4 / (6 * 5 * 4), rtol=1e-6)


def parents_as_they_are():
    """Breeds nothing: what is left of a step is pruning."""

    def init(population):
        count = len(population.fitness)
        return BreederState(jnp.int32(0), jnp.int32(0), jnp.arange(count))

    def update(key, population, state):
        del key
        return population, state

    return evo.PopulationTransformation(init, update)


FAST = AxisType.Explicit, neo.sparsity.magnitude
PRODUCT = [
    pytest.param(*one, marks=() if one == FAST else pytest.mark.slow)
    for one in itertools.product(AxisType, [FAST[1], neo.sparsity.random(3)])
    if one[0] is not AxisType.Manual
]


@pytest.mark.parametrize(("axis_type", "score"), PRODUCT)
@pytest.mark.slow
def test_each_device_prunes_the_individuals_that_it_holds(axis_type, score):
    step = evo.prune_population(
        parents_as_they_are(), 0.5, scope=neo.whole_tree, score=score
    )
    given = population(16)
    expected, _ = running.quick_jit(step.update)(KEY, given, step.init(given))
    mesh = jax.make_mesh((8,), ("n",), axis_types=(axis_type,))
    rows = NamedSharding(mesh, P("n"))
    with jax.set_mesh(mesh):
        placed = jax.device_put(given, rows)
        arguments = KEY, placed, step.init(placed)
        compiled = running.quick_jit(step.update).lower(*arguments).compile()
        found, state = compiled(*arguments)
    properties.assert_trees_equal(found, expected)
    for leaf in jax.tree.leaves((found.params, state.pruning.mask)):
        assert leaf.sharding.is_equivalent_to(rows, leaf.ndim)
    assert not re.findall(r"f32\S* (?:all-gather|all-to-all)", compiled.as_text())


@pytest.mark.parametrize(
    "inner",
    [parents_as_they_are(), pytest.param(BREEDER, marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_arrays_that_are_sharded_in_themselves_are_pruned_as_well(inner):
    step = evo.prune_population(inner, 0.5)
    given = population(8)
    expected, _ = running.quick_jit(step.update)(KEY, given, step.init(given))
    mesh = jax.make_mesh((4, 2), ("n", "m"), axis_types=(AxisType.Explicit,) * 2)
    specs = {"kernel": P("n", None, "m"), "bias": P("n", "m"), "n": P("n")}
    with jax.set_mesh(mesh):
        placed = given._replace(
            params=jax.device_put(
                given.params,
                {name: NamedSharding(mesh, spec) for name, spec in specs.items()},
            )
        )
        found, _ = running.quick_jit(step.update)(KEY, placed, step.init(placed))
    properties.assert_trees_close(found, expected, rtol=1e-6)
    for a, b in zip(*map(jax.tree.leaves, (found.params, placed.params)), strict=True):
        assert a.sharding.is_equivalent_to(b.sharding, a.ndim)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evo.prune_population(evo.breeder, 0.5),
            r"^`inner` must be of type PopulationTransformation, .* call it\?$",
        ),
        (
            lambda: evo.prune_population(evo.chain(), 0.5).init(population()),
            r"^`inner` must contain a breeder, got none\.$",
        ),
        (
            lambda: evo.prune_population(BREEDER, 1.0),
            r"^`sparsity` must be in \[0, 1\), got 1\.0\.$",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
