"""Crossover and mutation: closed forms of what children are."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

import properties
from neat_optax import by_path
from neat_optax import evolution as evo
from neat_optax.evolution import _draws
from neat_optax.evolution._draws import fan_in_scale
from oracle import evolution as oracle

KEY = jax.random.key(1)
SELF, PAIR = np.array([[0]]), np.array([[0, 1]])


def child_of(genes, mutation, key=KEY, generation=0):
    """The mutated copy of one individual."""
    stacked = jax.tree.map(lambda x: x[None], genes)
    bred = evo.offspring(key, stacked, SELF, evo.clone, mutation, generation=generation)
    return jax.tree.map(lambda x: x[0], bred)


offspring = jax.jit(evo.offspring, static_argnames=("crossover", "mutation", "mask"))
mutated = jax.jit(child_of, static_argnums=1)


def filled(value, *shape):
    return np.full(shape, value, np.float32)


choose = jax.jit(_draws.choose)


@given(st.integers(0, 2**32 - 1), st.integers(1, 65535))
def test_a_word_is_read_as_by_the_oracle(word, count):
    choice, left = choose(np.uint32(word), count)
    assert (int(choice), int(left)) == oracle.read_choice(word, count)


@pytest.mark.parametrize("parents", [2, 5, pytest.param(3, marks=pytest.mark.slow)])
def test_uniform_keeps_each_gene_from_a_parent_in_equal_shares(parents):
    params = np.tile(np.arange(parents, dtype=np.float32)[:, None], 30_000)
    who = np.tile(np.arange(parents), (4, 1))
    bred = np.asarray(offspring(KEY, params, who, evo.uniform(parents), evo.unchanged))
    shares = [np.mean(bred == i) for i in range(parents)]
    np.testing.assert_allclose(shares, 1 / parents, atol=0.005)
    assert sum(shares) == pytest.approx(1)
    assert len({row.tobytes() for row in bred}) == 4


def test_what_crossover_leaves_is_independent_of_its_choice():
    """Mutations come as often, and as large, in genes of either parent."""
    params = np.concatenate([filled(0, 1, 200_000), filled(100, 1, 200_000)])
    mutation = evo.gaussian(0.1, 0.25, unit=evo.absolute)
    bred = np.asarray(offspring(KEY, params, PAIR, evo.uniform(), mutation))
    for parent in (0.0, 100.0):
        near = bred[np.abs(bred - parent) < 50] - parent
        assert np.mean(near != 0) == pytest.approx(0.25, abs=0.005)
        assert np.mean(near) == pytest.approx(0, abs=2e-3)
        assert np.std(near) == pytest.approx(0.1, rel=0.02)


def test_line_has_one_position_for_all_genes_and_leaves():
    params = {"a": np.float32([[0] * 5, [1] * 5]), "b": np.float32([2, 12])}
    pairs = np.tile(PAIR, (2000, 1))
    bred = offspring(KEY, params, pairs, evo.line(0.25), evo.unchanged)
    t = np.asarray(bred["a"])
    assert np.all(t == t[:, :1])
    b = np.asarray(bred["b"])
    np.testing.assert_allclose((b - 2) / 10, t[:, 0], atol=1e-6)
    assert -0.25 <= t.min() < -0.2
    assert 1.2 < t.max() <= 1.25
    assert np.mean(t) == pytest.approx(0.5, abs=0.03)


def test_blend_has_a_position_for_each_gene():
    params = np.concatenate([filled(0, 1, 100_000), filled(2, 1, 100_000)])
    bred = offspring(KEY, params, PAIR, evo.blend(0.5), evo.unchanged)
    t = np.asarray(bred) / 2
    assert np.mean(t) == pytest.approx(0.5, abs=0.01)
    assert np.var(t) == pytest.approx(4 / 12, rel=0.02)
    assert -0.5 <= t.min() < -0.49
    assert 1.49 < t.max() <= 1.5


@jax.jit
def noisy(genes, rate):
    """A rate of 1 changes every gene, without a comparison; others are numbers."""
    traced = evo.gaussian(0.5, lambda _: rate)
    return child_of(genes, traced), child_of(genes, evo.gaussian(0.5, 1.0))


@pytest.mark.fast("0.3")
@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0])
def test_gaussian_has_its_moments_and_its_rate(rate):
    both = noisy(filled(0, 25, 80_000), min(rate, 0.3))
    moved = np.asarray(both[int(rate == 1)], np.float64)
    assert np.mean(moved != 0) == pytest.approx(rate, rel=0.05)
    assert np.sqrt(np.mean(moved**2)) == pytest.approx(0.5 / 5, rel=0.03)
    drawn = moved[moved != 0] / (0.1 / np.sqrt(rate))
    assert np.mean(drawn) == pytest.approx(0, abs=0.05)
    assert np.mean(drawn**4) == pytest.approx(3, rel=0.15)


def test_gaussian_is_normal():
    """The quantiles of two million numbers, against those of the distribution."""
    moved = np.asarray(noisy(filled(0, 25, 80_000), 0.3)[1]) / 0.1
    levels = np.array([0.001, 0.05, 0.3, 0.5, 0.9, 0.999])
    expected = [oracle.NormalDist().inv_cdf(level) for level in levels]
    np.testing.assert_allclose(np.quantile(moved, levels), expected, atol=0.04)
    assert np.abs(moved).max() < 5.5


def test_the_unit_follows_the_number_of_inputs():
    assert fan_in_scale((3, 3, 4, 8)) == 1 / 6
    assert (fan_in_scale((25,)), fan_in_scale(())) == (0.2, 1.0)
    assert fan_in_scale((0, 3)) == 1.0
    assert evo.absolute((7, 7)) == 1.0


def test_reset_draws_a_share_anew():
    moved = np.asarray(mutated(filled(100, 16, 20_000), evo.reset(rate=0.1)))
    fresh = moved[moved != 100]
    assert fresh.size / moved.size == pytest.approx(0.1, rel=0.02)
    assert np.std(fresh) == pytest.approx(0.25, rel=0.02)


def test_reset_asks_the_initializer_with_the_shape_of_one_individual():
    shapes = []

    def init(key, shape, dtype):
        shapes.append((shape, dtype))
        return jax.random.uniform(key, shape, dtype, 5.0, 6.0)

    params = filled(0, 3, 4, 50)
    parents = np.arange(3)[:, None]
    bred = offspring(KEY, params, parents, evo.clone, evo.reset(init, 0.5))
    assert shapes == [((4, 50), jnp.float32)]
    fresh = np.asarray(bred)[np.asarray(bred) != 0]
    assert np.all((fresh >= 5) & (fresh < 6))
    assert len(np.unique(fresh)) > 0.95 * fresh.size


def test_multiplicative_leaves_zeros():
    genes = np.concatenate([filled(0, 10), filled(4, 100_000)])
    moved = np.asarray(mutated(genes, evo.multiplicative(0.2)))
    assert np.all(moved[:10] == 0)
    assert np.std(moved[10:]) == pytest.approx(0.8, rel=0.02)
    assert np.mean(moved[10:]) == pytest.approx(4.0, rel=0.01)


def test_a_mutation_of_nothing_changes_no_bit():
    rng = np.random.default_rng(1)
    genes = {
        "w": rng.normal(size=(3, 4)).astype(np.float32),
        "h": rng.normal(size=5).astype(jnp.bfloat16),
        "z": np.float32([-0.0, 0.0]),
    }
    nothing = [
        evo.gaussian(0.0),
        evo.gaussian(1.0, 0.0),
        evo.reset(rate=0.0),
        evo.multiplicative(0.0),
        evo.unchanged,
    ]
    every = jax.jit(lambda genes: [child_of(genes, one) for one in nothing])(genes)
    for bred in every:
        properties.assert_trees_equal(bred, genes)


def of_numbers(numbers):
    return [
        evo.gaussian(numbers, 1.0),
        evo.gaussian(1.0, numbers),
        evo.reset(rate=numbers),
        evo.multiplicative(numbers),
    ]


def test_schedules_are_asked_for_the_generation():
    def play(genes, generation, numbers):
        return [child_of(genes, one, KEY, generation) for one in of_numbers(numbers)]

    schedule = optax.linear_schedule(0.0, 1.0, 4)
    genes = filled(1, 500)
    scheduled = jax.jit(lambda generation: play(genes, generation, schedule))
    for value in (0.0, 0.25, 1.0):
        fixed = jax.jit(lambda v=value: play(genes, 0, v))()
        now = scheduled(np.int32(4 * value))
        for found, expected in zip(now, fixed, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=5e-7)


def test_leaves_do_not_mutate_in_step():
    genes = {"a": filled(0, 5000), "b": filled(0, 5000)}
    for mutation in (evo.gaussian(1.0, 1.0), evo.reset(rate=0.5)):
        bred = mutated(genes, mutation)
        cosine = np.corrcoef(bred["a"], bred["b"])[0, 1]
        assert abs(cosine) < 0.06


def test_individuals_do_not_mutate_in_step():
    who = np.array([[0], [0]])
    mutation = evo.gaussian(1.0, 1.0)
    bred = offspring(KEY, filled(0, 2, 5000), who, evo.clone, mutation)
    assert abs(np.corrcoef(bred)[0, 1]) < 0.06


def test_integers_keys_and_what_the_mask_leaves_out_come_from_the_first_parent():
    params = {
        "step": np.array([3, 4, 5]),
        "key": jax.random.split(KEY, 3),
        "flag": np.array([True, False, True]),
        "frozen": np.arange(6, dtype=np.float32).reshape(3, 2),
        "free": np.arange(6, dtype=np.float32).reshape(3, 2),
    }
    parents = np.array([[2, 0], [1, 2]])
    bred = offspring(
        KEY,
        params,
        parents,
        evo.blend(),
        evo.gaussian(1.0, 1.0),
        mask=by_path(lambda path, leaf: path != "frozen" and leaf.ndim < 2),
    )
    for name in ("step", "flag", "frozen"):
        np.testing.assert_array_equal(bred[name], params[name][parents[:, 0]])
    found, keys = (np.asarray(jax.random.key_data(x["key"])) for x in (bred, params))
    np.testing.assert_array_equal(found, keys[parents[:, 0]])
    assert not np.any(np.asarray(bred["free"]) == params["free"][parents[:, 0]])


def test_dtypes_stay():
    params = {
        "half": filled(1, 2, 3).astype(jnp.bfloat16),
        "full": filled(1, 2, 3),
        "complex": filled(1, 2, 3).astype(np.complex64),
    }
    pairs = np.array([[0, 1], [1, 0]])
    for crossover in (evo.uniform(), evo.line(), evo.blend()):
        options = {"crossover": crossover, "mutation": evo.multiplicative(0.5)}
        breed = functools.partial(evo.offspring, **options)
        bred = jax.eval_shape(breed, KEY, params, pairs)
        assert jax.tree.map(jnp.result_type, bred) == jax.tree.map(
            jnp.result_type, params
        )
        assert jax.tree.map(jnp.shape, bred) == jax.tree.map(jnp.shape, params)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evo.gaussian(-1.0), r"^`scale` must be in \[0, inf\), got -1\.0\.$"),
        (lambda: evo.gaussian(1.0, 2.0), r"^`rate` must be in \[0, 1\], got 2\.0\.$"),
        (lambda: evo.gaussian(unit=2), r"^`unit` must be a function, got 2\.$"),
        (lambda: evo.reset(3), r"^`init` must be a function, got 3\.$"),
        (lambda: evo.multiplicative(0.1, 3), r"^`init` must be a function, got 3\.$"),
        (lambda: evo.uniform(1), r"^`parents` must be in \[2, 65535\], got 1\.$"),
        (lambda: evo.uniform(2.5), r"^`parents` must be an integer, got 2\.5\.$"),
        (lambda: evo.line(-0.5), r"^`extend` must be in \[0, inf\), got -0\.5\.$"),
        (lambda: evo.blend(None), r"^`extend` must be a number in \[0, inf\) or"),
        (
            lambda: evo.offspring(0, np.ones((2, 2)), np.array([[0]])),
            r"^`parents` must name 2 for each child, in shape \(children, 2\), got "
            r"shape \(1, 1\)\.$",
        ),
        (
            lambda: jax.eval_shape(
                lambda params: evo.offspring(
                    0, params, SELF, evo.clone, evo.gaussian()
                ),
                np.ones((1, 2), np.complex64),
            ),
            r"(?m)^`params` must have real leaves, got complex64\.$",
        ),
        (
            lambda: evo.offspring(
                0,
                {"a": np.ones((1, 2))},
                SELF,
                evo.clone,
                mask=by_path(lambda *_: False),
            ),
            r"^`mask` must choose at least one array, got none of a\.$",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
