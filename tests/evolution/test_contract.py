"""What holds for every transformation of a population."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import properties
import running
from neat_optax import by_path
from neat_optax import evolution as evo


def loss(params, key):
    """Of one individual."""
    target = jax.random.normal(key, params["kernel"].shape)
    return jnp.sum((params["kernel"] - target) ** 2)


TABLE = {
    "breeder": evo.breeder(evo.truncation(3)),
    "breeder options": evo.breeder(
        evo.tournament(2),
        evo.uniform(3),
        evo.gaussian(lambda generation: 0.5 / (1 + generation), 1.0),
        num_elites=1,
        reevaluate=True,
        mask=by_path(lambda path, leaf: "frozen" not in path),  # noqa: ARG005
    ),
    "breeder line": evo.breeder(
        evo.linear_rank(2.0),
        evo.line(),
        evo.reset(jax.nn.initializers.normal(0.5), 0.3),
    ),
    "breeder blend": evo.breeder(crossover=evo.blend(), mutation=evo.multiplicative()),
    "minimal_criterion": evo.minimal_criterion(0.3),
    "minimal_criterion multiplicative": evo.minimal_criterion(
        0.3, rule=evo.multiplicative_threshold(-1.0)
    ),
    "refine": evo.refine(optax.adam(0.1), loss, 2),
    "chain": evo.chain(
        evo.minimal_criterion(0.5),
        evo.prune_population(evo.breeder(), 0.5),
        evo.clip_population(-1.0, 1.0),
    ),
}
EVERY = pytest.mark.parametrize("name", TABLE)
SHELLS = "refine", "chain"
"""They hold one of each way to change a population; the rest is of the slow tier."""
OF_SHELLS = pytest.mark.parametrize(
    "name",
    [n if n in SHELLS else pytest.param(n, marks=pytest.mark.slow) for n in TABLE],
)
KEY = jax.random.key(4)


@pytest.fixture(scope="module", autouse=True)
def compiled_quickly():
    with running.quickly():
        yield


def population(n=16):
    rng = np.random.default_rng(7)
    params = {
        "kernel": rng.normal(size=(n, 3, 5)).astype(np.float32),
        "frozen": rng.normal(size=(n, 4)).astype(jnp.bfloat16),
        "count": np.arange(n, dtype=np.int32),
    }
    return evo.Population(params, np.full(n, np.nan, np.float32))


def evaluated(given):
    """One fitness of each kind among finite ones."""
    scores = -jnp.sum(given.params["kernel"] ** 2, axis=(1, 2))
    scores = jnp.where(given.params["count"] == 3, jnp.nan, scores)
    return given._replace(fitness=scores)


scored = jax.jit(evaluated)


def step_of(tx):
    def step(given, state, key):
        return tx.update(key, evaluated(given), state)

    return step


def play(step, given, state, count=3, key=KEY):
    for one in jax.random.split(key, count):
        given, state = step(given, state, one)
    return given, state


@functools.cache
def jitted(name):
    """The step of that transformation, compiled once for all tests."""
    return jax.jit(step_of(TABLE[name]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["minimal_criterion", pytest.param("chain", marks=pytest.mark.slow)]
)
def test_jit_changes_nothing(name):
    tx, given = TABLE[name], population()
    expected = step_of(tx)(given, tx.init(given), KEY)
    found = jitted(name)(given, tx.init(given), KEY)
    properties.assert_trees_close(found, expected, rtol=1e-5)
    properties.assert_same_types(found, expected)


@OF_SHELLS
def test_scan_equals_a_loop(name):
    tx, given = TABLE[name], population()
    start = given, tx.init(given)
    looped = play(jitted(name), *start)
    play_scanned = running.quick_jit(
        lambda carry, keys: jax.lax.scan(
            lambda carry, key: (step_of(tx)(*carry, key), None), carry, keys
        )[0]
    )
    scanned = play_scanned(start, jax.random.split(KEY, 3))
    properties.assert_trees_close(scanned, looped, rtol=1e-5)
    for found in (looped, scanned):
        properties.assert_same_types(found, start)


@pytest.mark.slow
@OF_SHELLS
def test_vmap_over_seeds_equals_a_loop(name):
    given = population()
    keys = jax.random.split(jax.random.key(1), 3)
    run = functools.partial(jitted(name), given, TABLE[name].init(given))
    mapped = jax.device_get(jax.jit(jax.vmap(run))(keys))
    for index, key in enumerate(keys):
        one = jax.tree.map(lambda x, i=index: x[i], mapped)
        properties.assert_trees_close(one, run(key), rtol=1e-5)


@OF_SHELLS
def test_sharded_equals_unsharded(name):
    check_sharded(name, AxisType.Explicit)


@pytest.mark.parametrize(
    "name",
    [
        name
        if name == "minimal_criterion"
        else pytest.param(name, marks=pytest.mark.slow)
        for name in TABLE
    ],
)
def test_sharded_on_a_mesh_whose_axes_are_automatic(name):
    check_sharded(name, AxisType.Auto)


def check_sharded(name, axis_type):
    tx, given = TABLE[name], population()
    expected = play(jitted(name), given, tx.init(given))
    mesh = jax.make_mesh((8,), ("individuals",), axis_types=(axis_type,))
    with jax.set_mesh(mesh):
        placed = jax.device_put(given, NamedSharding(mesh, P("individuals")))
        found = play(jitted(name), placed, tx.init(placed))
    properties.assert_trees_close(found, expected, rtol=1e-5, atol=1e-6)
    for leaf in jax.tree.leaves(found[0].params):
        assert leaf.sharding.is_equivalent_to(placed.fitness.sharding, leaf.ndim)


@EVERY
def test_generations_compile_once(name):
    """A generation returns the types that it takes, and so is traced once."""
    tx = TABLE[name]
    start = jax.eval_shape(lambda given: (given, tx.init(given)), population())
    found = jax.eval_shape(step_of(tx), *start, KEY)
    properties.assert_same_types(found, start)
    properties.assert_no_retrace(found, start)


@OF_SHELLS
def test_the_same_key_gives_the_same_bits(name):
    tx, given = TABLE[name], scored(population())
    state = tx.init(given)
    first, again, seeded = (
        jitted(name)(given, state, key) for key in (jax.random.key(3),) * 2 + (3,)
    )
    properties.assert_trees_equal(again, first)
    properties.assert_trees_equal(seeded, first)


def test_another_key_gives_other_children():
    tx, given = TABLE["breeder"], scored(population())
    bred = [jitted("breeder")(given, tx.init(given), key)[0] for key in (0, 1)]
    a, b = (np.asarray(one.params["kernel"])[2:] for one in bred)
    assert not np.any(np.all(a == b, axis=(1, 2)))


def test_a_population_in_float64_stays_in_it():
    with jax.enable_x64(True):
        given = evo.Population(np.ones((4, 3)), np.arange(4.0))
        for tx in TABLE["breeder line"], TABLE["minimal_criterion"]:
            found, state = jax.jit(tx.update)(KEY, given, tx.init(given))
            properties.assert_same_types(found, given)
            properties.assert_same_types(state, tx.init(given))
