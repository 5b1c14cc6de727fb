import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import es_oracle
import neat_optax as no
from neat_optax.evolution import (
    Shaping,
    centred_ranks,
    es_value_and_grad,
    nes_utilities,
    raw,
    standardised,
)

KEY = jax.random.key(3)


def gradients_of(*args, **kwargs):
    """`es_value_and_grad` in one compiled call."""
    return jax.jit(es_value_and_grad(*args, **kwargs))


PARAMS = {"b": jnp.array([0.5, -1.0]), "w": jnp.array([[1.0, 2.0], [-1.0, 0.3]])}
SHAPINGS = pytest.mark.parametrize(
    "shaping", [raw, centred_ranks, standardised, nes_utilities], ids=lambda s: s.name
)


def rows(tree):
    """Leaves as one matrix [leading axis, entries]."""
    return np.concatenate(
        [np.asarray(x).reshape(len(x), -1) for x in jax.tree.leaves(tree)], axis=1
    )


def assert_trees_close(found, expected, rtol=1e-6, atol=0.0):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def loss(params):
    inner = jnp.tanh(params["w"] @ jnp.array([1.0, -0.5]) + params["b"])
    return jnp.sum(inner**2) + jnp.sum(params["w"] ** 2)


def loss_in_numpy(b, w):
    inner = np.tanh(w @ np.array([1.0, -0.5]) + b)
    return np.sum(inner**2) + np.sum(w**2)


def two_losses(params):
    return jnp.stack([loss(params), -jnp.sum(jnp.sin(params["w"]))])


def keys(count):
    return jax.random.split(KEY, count)


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("name", ["raw", "centred_ranks", "standardised"])
def test_gradients_agree_with_the_oracle_for_the_same_noise(name, batch_size):
    shaping = {"raw": raw, "centred_ranks": centred_ranks, "standardised": standardised}
    fn = gradients_of(loss, 0.3, 10, shaping=shaping[name], batch_size=batch_size)
    value, grads = fn(KEY, PARAMS)
    leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(PARAMS)]
    drawn = es_oracle.noise(KEY, [x.shape for x in leaves], 10)
    losses = es_oracle.mirrored_losses(loss_in_numpy, leaves, [0.3, 0.3], drawn)
    utilities = getattr(es_oracle, name)(losses)
    np.testing.assert_allclose(value, losses.mean(), rtol=1e-6)
    for found, e in zip(jax.tree.leaves(grads), drawn, strict=True):
        expected = es_oracle.es_gradient(utilities, 0.3, e)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.01, 1.0, 10.0])
def test_a_linear_loss_gives_the_slope_through_the_noise_whatever_sigma(sigma):
    slope = jnp.array([1.0, -2.0, 0.5])
    fn = gradients_of(lambda p: jnp.dot(slope, p), sigma, 8)
    value, grads = fn(KEY, jnp.zeros(3))
    (drawn,) = es_oracle.noise(KEY, [(3,)], 8)
    expected = drawn.T @ (drawn @ np.asarray(slope)) / 8
    np.testing.assert_allclose(grads, expected, rtol=1e-4)
    np.testing.assert_allclose(value, 0, atol=1e-6 * sigma)


def test_a_linear_loss_gives_its_slope_with_the_known_variance():
    slope = jnp.array([1.0, -2.0, 0.5])
    fn = gradients_of(lambda p: jnp.dot(slope, p), 0.5, 16)
    _, grads = jax.vmap(fn, (0, None))(keys(2000), jnp.zeros(3))
    variance = (slope**2 + jnp.sum(slope**2)) / 16
    errors = np.abs(np.mean(grads, axis=0) - slope) / np.sqrt(variance / 2000)
    assert np.all(errors < 4)
    np.testing.assert_allclose(np.var(grads, axis=0), variance, rtol=0.15)


def test_a_quadratic_gives_its_gradient_on_average():
    matrix = jnp.array([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]])
    at = jnp.array([1.0, -1.0, 2.0])
    fn = gradients_of(lambda p: jnp.dot(p, jnp.dot(matrix, p)) / 2, 1.0, 4)
    _, grads = jax.vmap(fn, (0, None))(keys(4000), at)
    error = np.mean(grads, axis=0) - matrix @ at
    assert np.all(np.abs(error) < 4 * np.std(grads, axis=0) / np.sqrt(4000))


@pytest.mark.parametrize("size", [50, 200])
def test_the_cosine_with_the_gradient_is_as_expected(size):
    fn = gradients_of(lambda p: jnp.sum(p), 0.1, 32)
    _, grads = jax.vmap(fn, (0, None))(keys(200), jnp.zeros(size))
    cosines = np.sum(grads, axis=1) / np.linalg.norm(grads, axis=1) / size**0.5
    np.testing.assert_allclose(cosines.mean(), (32 / (32 + size)) ** 0.5, atol=0.02)


@pytest.mark.parametrize("num_pairs", [16, 64])
def test_shared_noise_keeps_the_cosines_of_players(num_pairs):
    slopes = jnp.asarray(np.random.default_rng(0).normal(size=(6, 2000)), jnp.float32)
    fn = jax.jit(gradients_of(lambda p: slopes @ p, 0.1, num_pairs))
    true = np.corrcoef(slopes)
    errors = []
    for key in keys(20):
        units = fn(key, jnp.zeros(2000))[1]
        units = units / jnp.linalg.norm(units, axis=1, keepdims=True)
        errors.append((units @ units.T - true)[np.triu_indices(6, 1)])
    rms = np.sqrt(np.mean(np.square(errors)))
    np.testing.assert_allclose(rms, num_pairs**-0.5, rtol=0.15)


def test_players_that_agree_in_part_are_seen_to():
    slopes = jnp.array([[3.0, 4.0, 0.0], [3.0, -4.0, 0.0], [-3.0, 4.0, 0.0]])
    _, grads = gradients_of(lambda p: slopes @ p, 0.1, 512)(KEY, jnp.zeros(3))
    units = grads / jnp.linalg.norm(grads, axis=1, keepdims=True)
    np.testing.assert_allclose((units @ units.T)[0], [1, -7 / 25, 7 / 25], atol=0.15)
    np.testing.assert_array_equal(units[2], -units[1])


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("players", [1, 5])
@pytest.mark.parametrize("shaping", [raw, centred_ranks], ids=lambda s: s.name)
def test_equal_losses_give_equal_gradients(shaping, players, batch_size):
    fn = gradients_of(
        lambda p: jnp.stack([loss(p)] * players),
        0.2,
        7,
        shaping=shaping,
        batch_size=batch_size,
    )
    value, grads = fn(KEY, PARAMS)
    assert value.shape == (players,)
    for leaf, param in zip(
        jax.tree.leaves(grads), jax.tree.leaves(PARAMS), strict=True
    ):
        assert leaf.shape == (players, *param.shape)
        np.testing.assert_array_equal(leaf, np.broadcast_to(leaf[:1], leaf.shape))


@pytest.mark.parametrize("shaping", [raw, centred_ranks], ids=lambda s: s.name)
def test_each_player_has_the_gradient_of_its_loss_alone(shaping):
    _, grads = gradients_of(two_losses, 0.2, 9, shaping=shaping)(KEY, PARAMS)
    for player in range(2):
        alone = gradients_of(
            lambda p, i=player: two_losses(p)[i], 0.2, 9, shaping=shaping
        )
        found = jax.tree.map(lambda g, i=player: g[i], grads)
        assert_trees_close(found, alone(KEY, PARAMS)[1], rtol=1e-5, atol=1e-5)


def test_permuting_the_players_permutes_the_gradients():
    _, grads = gradients_of(two_losses, 0.2, 9)(KEY, PARAMS)
    _, swapped = gradients_of(lambda p: two_losses(p)[::-1], 0.2, 9)(KEY, PARAMS)
    assert_trees_close(jax.tree.map(lambda g: g[::-1], grads), swapped, rtol=1e-5)


def test_ranks_do_not_see_an_increasing_map_of_the_loss():
    def mapped(params):
        return 16 * loss(params)

    _, before = gradients_of(loss, 0.2, 9, shaping=centred_ranks)(KEY, PARAMS)
    _, after = gradients_of(mapped, 0.2, 9, shaping=centred_ranks)(KEY, PARAMS)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("batch_size", [1, 3, 11])
@pytest.mark.parametrize("players", [False, True])
def test_chunks_of_any_size_give_the_same_numbers(batch_size, players):
    fn = two_losses if players else loss
    whole = gradients_of(fn, 0.3, 10)(KEY, PARAMS)
    chunks = gradients_of(fn, 0.3, 10, batch_size=batch_size)(KEY, PARAMS)
    assert_trees_close(chunks, whole, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("batch_size", [None, 2])
@SHAPINGS
def test_even_functions_cancel_exactly(shaping, batch_size):
    fn = gradients_of(
        lambda p: jnp.sum(jnp.cos(p)) + jnp.max(jnp.abs(p)),
        0.7,
        5,
        shaping=shaping,
        batch_size=batch_size,
    )
    value, grads = fn(KEY, jnp.zeros((3, 2)))
    assert value != 0
    np.testing.assert_array_equal(grads, np.zeros((3, 2)))


def failing(bad):
    def fails(p):
        return jnp.where(p[0] > 0.5, bad, jnp.sum((p - 1) ** 2))

    return fails


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_raw_leaves_out_pairs_with_a_failure(bad):
    value, grads = gradients_of(failing(bad), 0.4, 12)(KEY, jnp.zeros(3))
    (drawn,) = es_oracle.noise(KEY, [(3,)], 12)
    losses = es_oracle.mirrored_losses(
        lambda p: np.sum((p - 1) ** 2), [np.zeros(3)], [0.4], [drawn]
    )
    ok = np.stack([0.4 * drawn[:, 0] <= 0.5, -0.4 * drawn[:, 0] <= 0.5], axis=1)
    kept = ok.all(axis=1)
    assert 0 < kept.sum() < 12
    expected = es_oracle.es_gradient(losses[kept], 0.4, drawn[kept])
    np.testing.assert_allclose(grads, expected, rtol=1e-4)
    np.testing.assert_allclose(value, losses[ok].mean(), rtol=1e-5)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_under_ranks_a_failure_is_the_worst(bad):
    found, expected = (
        gradients_of(failing(b), 0.4, 12, shaping=centred_ranks)(KEY, jnp.zeros(3))
        for b in (bad, 1e9)
    )
    np.testing.assert_array_equal(found[1], expected[1])


@SHAPINGS
def test_where_all_evaluations_fail_the_gradient_is_zero(shaping):
    fn = gradients_of(lambda p: jnp.sum(p) * jnp.nan, 0.4, 4, shaping=shaping)
    value, grads = fn(KEY, jnp.ones(3))
    np.testing.assert_array_equal(grads, np.zeros(3))
    assert jnp.isnan(value)


def test_a_failure_of_one_player_leaves_the_others_alone():
    def losses(p):
        return jnp.stack([failing(jnp.nan)(p), jnp.sum(p)])

    value, grads = gradients_of(losses, 0.4, 12)(KEY, jnp.zeros(3))
    alone = gradients_of(jnp.sum, 0.4, 12)(KEY, jnp.zeros(3))
    np.testing.assert_allclose(grads[1], alone[1], rtol=1e-5)
    np.testing.assert_allclose(value[1], alone[0], atol=1e-6)
    assert np.all(np.isfinite(grads))


def test_sigma_for_each_leaf_and_each_entry():
    sigma = {"b": 0.1, "w": jnp.array([[0.5, 0.0], [1.0, 2.0]])}
    _, grads = gradients_of(loss, sigma, 6)(KEY, PARAMS)
    leaves = [np.asarray(x, np.float64) for x in jax.tree.leaves(PARAMS)]
    sigmas = [0.1, np.asarray(sigma["w"], np.float64)]
    drawn = es_oracle.noise(KEY, [x.shape for x in leaves], 6)
    losses = es_oracle.mirrored_losses(loss_in_numpy, leaves, sigmas, drawn)
    expected = es_oracle.es_gradient(losses, 1.0, drawn[1])
    expected /= np.where(sigmas[1] == 0, np.inf, sigmas[1])
    np.testing.assert_allclose(grads["w"], expected, rtol=1e-4, atol=1e-5)
    assert grads["w"][0, 1] == 0


def test_sigma_for_each_entry_with_players():
    sigma = jnp.array([0.5, 0.0])
    slopes = jnp.array([[1.0, 2.0], [2.0, 4.0], [0.0, 1.0]])
    _, grads = gradients_of(lambda p: slopes @ p, sigma, 6)(KEY, jnp.zeros(2))
    np.testing.assert_allclose(grads[1], 2 * grads[0], rtol=1e-6)
    np.testing.assert_array_equal(grads[:, 1], np.zeros(3))
    np.testing.assert_array_equal(grads[2], np.zeros(2))


def test_sigma_from_a_schedule_inside_the_step():
    schedule = optax.linear_schedule(1.0, 0.1, 10)

    @jax.jit
    def step(number):
        return gradients_of(loss, schedule(number), 4)(KEY, PARAMS)

    assert_trees_close(step(10), gradients_of(loss, 0.1, 4)(KEY, PARAMS), 1e-4)


def test_aux_of_every_evaluation():
    def with_aux(params, offset):
        return loss(params) + offset, {"sum": jnp.sum(params["b"])}

    for batch_size in (None, 4):
        fn = gradients_of(with_aux, 0.2, 6, has_aux=True, batch_size=batch_size)
        (value, aux), grads = fn(KEY, PARAMS, offset=2.0)
        plain, expected = gradients_of(loss, 0.2, 6)(KEY, PARAMS)
        np.testing.assert_allclose(value, plain + 2, rtol=1e-6)
        assert_trees_close(grads, expected, rtol=1e-4, atol=1e-4)
        drawn = es_oracle.noise(KEY, [(2,)], 6)[0].sum(axis=1)
        sums = -0.5 + 0.2 * np.stack([drawn, -drawn], axis=1)
        np.testing.assert_allclose(aux["sum"], sums, atol=1e-6)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_jit_scan_and_vmap_over_seeds(batch_size):
    fn = es_value_and_grad(two_losses, 0.2, 8, batch_size=batch_size)
    jitted = jax.jit(fn)
    mapped = jax.jit(jax.vmap(fn, (0, None)))(keys(3), PARAMS)
    _, scanned = jax.lax.scan(lambda c, key: (c, fn(key, PARAMS)), None, keys(3))
    for number, key in enumerate(keys(3)):
        one = jitted(key, PARAMS)
        for many in (mapped, scanned):
            found = jax.tree.map(lambda x, i=number: x[i], many)
            assert_trees_close(found, one, 1e-5, 1e-5)


@pytest.mark.parametrize("batch_size", [None, 3])
def test_without_jit(batch_size):
    slopes = jnp.array([[1.0, 2.0], [-1.0, 0.5]])
    fn = es_value_and_grad(lambda p: slopes @ p, 0.2, 4, batch_size=batch_size)
    assert_trees_close(fn(KEY, slopes[0]), jax.jit(fn)(KEY, slopes[0]), 1e-5, 1e-6)


def test_a_seed_is_a_key():
    fn = es_value_and_grad(loss, 0.2, 4)
    assert_trees_close(fn(3, PARAMS), fn(jax.random.key(3), PARAMS))


def test_leaves_of_one_shape_have_noise_of_their_own():
    fn = gradients_of(lambda p: jnp.sum(p["a"] + p["b"]), 0.2, 4)
    _, grads = fn(KEY, {"a": jnp.zeros(3), "b": jnp.zeros(3)})
    assert not np.any(np.isclose(grads["a"], grads["b"]))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_low_precision_is_kept_and_computed_in_float32(dtype):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)

    def checked(p):
        assert {leaf.dtype for leaf in jax.tree.leaves(p)} == {jnp.dtype(dtype)}
        return loss(jax.tree.map(lambda x: x.astype(jnp.float32), p))

    value, grads = gradients_of(checked, 0.3, 16)(KEY, params)
    wide = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    _, expected = gradients_of(loss, 0.3, 16)(KEY, wide)
    assert value.dtype == jnp.float32
    expected = jax.tree.map(lambda g: g.astype(dtype), expected)
    found = jax.tree.map(lambda g: g.astype(jnp.float32), grads)
    assert jax.tree.map(jnp.result_type, grads) == jax.tree.map(
        jnp.result_type, expected
    )
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b.astype(jnp.float32), rtol=0.05, atol=0.1)


def test_complex_parameters_follow_jax_grad():
    def of_complex(z):
        return jnp.real(jnp.sum(z * jnp.array([1.0 + 2.0j, -1.0j])))

    at = jnp.array([1.0 + 2.0j, -1.0j])
    _, grads = gradients_of(of_complex, 0.5, 20000, batch_size=1000)(KEY, at)
    np.testing.assert_allclose(grads, jax.grad(of_complex)(at), atol=0.08)


def test_trees_with_nothing_in_them():
    value, grads = gradients_of(lambda _: 2.0, 0.1, 3)(KEY, {})
    assert value == 2
    assert grads == {}
    _, grads = gradients_of(jnp.sum, 0.1, 3)(KEY, jnp.zeros((0, 2)))
    assert grads.shape == (0, 2)


def test_integer_leaves_are_refused():
    params = {"n": jnp.array(3), "w": jnp.ones(2)}
    with pytest.raises(ValueError, match=r"got int32 at \['n'\]; pass other leaves"):
        es_value_and_grad(lambda p: jnp.sum(p["w"]), 0.1, 3)(KEY, params)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"loss": 1.0}, "`loss` must be a function"),
        ({"sigma": 0.0}, r"`sigma` must be in \(0, inf\), got 0.0"),
        ({"sigma": {"b": -1.0, "w": 1.0}}, r"`sigma` must be in \[0, inf\), got -1.0"),
        ({"sigma": np.array([1.0, -1.0])}, r"`sigma` must be in \[0, inf\), got -1.0"),
        ({"sigma": lambda _: 0.1}, r"`sigma` must be a number in \[0, inf\)"),
        ({"num_pairs": 0}, "`num_pairs` must be an integer >= 1, got 0"),
        ({"num_pairs": 2.0}, "`num_pairs` must be an integer, got 2.0"),
        ({"batch_size": 0}, "`batch_size` must be an integer >= 1, got 0"),
        ({"shaping": "raw"}, "`shaping` must be of type Shaping"),
        ({"has_aux": 1}, "`has_aux` must be True or False"),
    ],
)
def test_arguments_out_of_their_range(wrong, match):
    with pytest.raises(ValueError, match=match):
        es_value_and_grad(**{"loss": loss, "sigma": 0.1, "num_pairs": 4, **wrong})


@pytest.mark.parametrize(
    ("sigma", "match"),
    [
        ({"b": 0.1}, "`sigma` must have the tree structure of `params`"),
        (jnp.ones(2), "`sigma` must have the tree structure of `params`"),
        ({"b": jnp.ones(3), "w": 0.1}, r"the leaf's shape, \(2,\), got shape \(3,\)"),
    ],
)
def test_a_sigma_that_does_not_fit(sigma, match):
    with pytest.raises(ValueError, match=match):
        es_value_and_grad(loss, sigma, 4)(KEY, PARAMS)


@pytest.mark.parametrize(
    "out",
    [jnp.ones((2, 2)), jnp.array(1), jnp.array(1j), "loss", (1.0, 2.0)],
    ids=["matrix", "integer", "complex", "text", "pair"],
)
def test_a_loss_of_the_wrong_kind(out):
    with pytest.raises(ValueError, match="`loss` must return a real float of shape"):
        es_value_and_grad(lambda _: out, 0.1, 3)(KEY, PARAMS)


def test_a_key_of_the_wrong_kind():
    with pytest.raises(ValueError, match="`key` must be an integer"):
        es_value_and_grad(loss, 0.1, 3)(0.5, PARAMS)


def test_a_shaping_of_ones_own():
    signs = Shaping("signs", lambda losses: jnp.sign(losses - jnp.median(losses)))
    _, grads = gradients_of(loss, 0.1, 64, shaping=signs)(KEY, PARAMS)
    true = jax.grad(loss)(PARAMS)
    pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(true), strict=True)
    assert sum(jnp.vdot(a, b) for a, b in pairs) > 0


def points():
    """Two classes that no line divides; the last input is constant."""
    x = jax.random.normal(jax.random.key(0), (64, 3)).at[:, 2].set(1.0)
    return x, jnp.sign(x[:, 0] * x[:, 1])


def network():
    a, b = jax.random.split(jax.random.key(1))
    return {"in": jax.random.normal(a, (3, 8)), "out": jax.random.normal(b, (8,)) / 3}


def squared_errors(params, x, y):
    return (jnp.tanh(x @ params["in"]) @ params["out"] - y) ** 2


@pytest.mark.parametrize("shaping", [raw, centred_ranks], ids=lambda s: s.name)
def test_with_adam_a_small_network_learns(shaping):
    def of_all(params, x, y):
        return jnp.mean(squared_errors(params, x, y))

    fn = gradients_of(of_all, 0.05, 32, shaping=shaping, batch_size=8)
    params, _ = train(fn, optax.adam(0.05), 200)
    before, after = of_all(network(), *points()), of_all(params, *points())
    assert after < 0.25 * before


@pytest.mark.parametrize(
    "reduce", [no.aggregators.upgrad(), no.player_neat_correction()]
)
def test_players_in_a_chain_with_what_corrects_conflicts(reduce):
    def of_halves(params, x, y):
        return jnp.mean(squared_errors(params, x, y).reshape(2, -1), axis=1)

    fn = gradients_of(of_halves, 0.05, 32, batch_size=8)
    params, first = train(fn, optax.chain(reduce, optax.adam(0.05)), 200)
    assert first.shape == (2,)
    assert np.all(of_halves(params, *points()) < 0.4 * first)


def train(fn, tx, steps):
    """Parameters after so many steps in one scan, and the first value."""

    @jax.jit
    def run(params, x, y):
        def step(carry, key):
            params, state = carry
            value, grads = fn(key, params, x, y)
            updates, state = tx.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), value

        return jax.lax.scan(step, (params, tx.init(params)), keys(steps))

    (params, _), values = run(network(), *points())
    return params, values[0]
