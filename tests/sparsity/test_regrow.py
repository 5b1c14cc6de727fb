"""SET and RigL: zeros that move."""

import functools
import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import neat_optax as neo
import running
from neat_optax import by_path
from neat_optax.sparsity import erdos_renyi_kernel, gradient_magnitude, random, uniform

RNG = np.random.default_rng(5)
SHAPES = {"first": (20, 30), "second": (30, 4), "bias": (4,)}
ALL = {k: RNG.normal(size=s).astype("f4") for k, s in SHAPES.items()}
PARAMS = {"first": ALL["first"], "bias": ALL["bias"]}
"""One kernel: each is one search more to compile."""


def grow_and_prune(*args, **options):
    """From the largest weights on: random numbers take long to compile."""
    start = options.pop("start", neo.sparsity.magnitude)
    return neo.sparsity.grow_and_prune(*args, start=start, **options)


def train(tx, params, steps):
    """Parameters, states and gradients of a run, one scan."""
    found = running.quick_jit(lambda params: _train(tx, params, steps))(params)
    found = jax.tree.map(np.asarray, found)
    return [jax.tree.map(lambda x, s=step: x[s], found) for step in range(steps)]


def _train(tx, params, steps):
    def one(carry, step):
        params, state = carry
        grads = jax.tree.map(lambda p: jnp.sin(40 * p + step.astype(p.dtype)), params)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), (params, state, grads)

    steps = jnp.arange(steps, dtype=jnp.float32)
    return jax.lax.scan(one, (params, tx.init(params)), steps)[1]


def test_one_exchange_by_hand():
    """Of four kept weights the two smallest go; by gradient, one comes right back."""
    score = lambda w: jnp.array([[1.0, 1.0, 1.0, 1.0, 0.0, 0.0]]) + 0 * w  # noqa: E731
    tx = grow_and_prune(
        optax.sgd(1.0), 1 / 3, fraction=0.5, every=1, start=score, allocation=uniform
    )
    w = np.float32([[4.0, 1.0, 3.0, 2.0, 9.0, 9.0]])
    grads = np.float32([[[0.0] * 6], [[9.0, 0.5, 9.0, 5.0, 6.0, 0.1]]])
    _, after, state = running.run(tx, grads, w)
    assert after[0].tolist() == [[4.0, 1.0, 3.0, 2.0, 0.0, 0.0]]
    assert after[1].tolist() == [[4.0, 0.0, 3.0, 2.0, 0.0, 0.0]]
    assert state.mask.tolist() == [[True, False, True, True, True, False]]


def exchanges(grow):
    """Ten steps with exchanges of a quarter at steps 3, 6 and 9."""
    optimizer = optax.sgd(0.1, momentum=0.9)
    tx = grow_and_prune(
        optimizer, 0.8, fraction=0.25, every=3, grow=grow, allocation=uniform
    )
    return train(tx, PARAMS, 10)


@functools.cache
def rigl():
    return exchanges(gradient_magnitude)


def assert_exchanged(visited):
    masks = [state.mask for _, state, _ in visited]
    for step, mask in enumerate(masks):
        assert int(mask["first"].sum()) == 120
        assert bool(mask["bias"].all())
        if step == 0:
            continue
        gone = np.sum(masks[step - 1]["first"] & ~mask["first"])
        assert (gone == 0) == (step % 3 != 0)
        assert gone <= 30


def test_the_number_of_weights_is_kept_and_a_share_of_them_moves():
    assert_exchanged(rigl())


@pytest.mark.slow
def test_the_number_of_weights_is_kept_by_random_growth():
    assert_exchanged(exchanges(random(3)))


def test_rigl_grows_where_the_gradient_is_largest():
    (_, before, _), (params, after, grads) = rigl()[2:4]
    old, new = before.mask["first"], after.mask["first"]
    grown, off = new & ~old, ~new & ~old
    sizes = np.abs(grads["first"])
    assert grown.sum() > 0
    assert sizes[grown].min() >= sizes[off].max()
    assert np.all(params["first"][grown] == 0)


def test_random_growth_takes_other_weights_at_each_seed():
    @jax.jit
    def mask_after_two_steps(key, params):
        tx = grow_and_prune(optax.sgd(0.1), 0.8, every=1, grow=random(key))
        return _train(tx, params, 2)[1].mask["first"][-1]

    masks = [
        np.asarray(mask_after_two_steps(jax.random.key(seed), PARAMS))
        for seed in (1, 2, 1)
    ]
    assert not np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[0], masks[2])


def test_an_exchange_moves_no_weight_that_stays():
    (before, old, _), (after, new, _) = rigl()[2:4]
    stays = old.mask["first"] & new.mask["first"]
    np.testing.assert_array_equal(before["first"][stays], after["first"][stays])
    np.testing.assert_array_equal(before["bias"], after["bias"])


def test_an_exchange_keeps_the_moments_of_weights_that_stay():
    """trace = .9 * trace + gradient."""
    (_, old, _), (_, new, grads) = rigl()[2:4]
    stays = old.mask["first"] & new.mask["first"]
    before, after = (s.inner[0].trace["first"][stays] for s in (old, new))
    expected = 0.9 * before + grads["first"][stays]
    np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-6)


INNER = {
    "adam": (optax.adam(0.01), lambda s: [s[0].mu, s[0].nu]),
    "momentum": (optax.sgd(0.01, momentum=0.9), lambda s: [s[0].trace]),
    "neat": (neo.neat(0.01, beta=0.9), lambda s: jax.tree.leaves(s)),
    "clipped": (
        optax.chain(optax.clip_by_global_norm(1.0), optax.lion(0.01)),
        lambda s: [s[1][0].mu],
    ),
    "injected": (
        optax.inject_hyperparams(optax.adam)(0.01),
        lambda s: [s.inner_state[0].mu, s.inner_state[0].nu],
    ),
}


SLOW = ("momentum", "neat", "clipped", "injected")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in INNER],
)
def test_moments_of_grown_weights_are_reset_whatever_the_optimizer(name):
    """A pruned weight sees no gradient, and a grown one no memory from before.

    After an exchange at every step, a memory holds the last gradient alone where a
    weight is new, as it does in a run that begins there.
    """
    optimizer, memories = INNER[name]
    tx = grow_and_prune(optimizer, 0.7, every=4)
    visited = train(tx, PARAMS, 5)
    (_, old, _), (_, new, grads) = visited[3], visited[4]
    grown = np.asarray(new.mask["first"] & ~old.mask["first"])
    assert grown.sum() > 5

    @jax.jit
    def first_step(params):
        masked = neo.sparsity.apply_mask(grads, new.mask)
        return optimizer.update(masked, optimizer.init(params), params)[1]

    alone = first_step(PARAMS)
    if name == "neat":
        tree = optax.tree.map_params(
            optimizer, lambda x: x, new.inner, transform_non_params=lambda _: None
        )
        other = optax.tree.map_params(
            optimizer, lambda x: x, alone, transform_non_params=lambda _: None
        )
        pairs = zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True)
        pairs = [(a, b) for a, b in pairs if a.shape == grown.shape]
    else:
        pairs = [
            (a["first"], b["first"])
            for a, b in zip(memories(new.inner), memories(alone), strict=True)
        ]
    for memory, expected in pairs:
        np.testing.assert_allclose(
            np.asarray(memory)[grown], np.asarray(expected)[grown], rtol=1e-5
        )


def test_pruned_weights_see_no_gradient():
    _, state, _ = rigl()[2]
    assert np.all(state.inner[0].trace["first"][~state.mask["first"]] == 0)


def test_a_rising_sparsity_prunes_while_it_regrows():
    schedule = optax.linear_schedule(0.2, 0.9, 6)
    tx = grow_and_prune(optax.sgd(0.1), schedule, every=2, allocation=uniform)
    kept = [int(s.mask["first"].sum()) for _, s, _ in train(tx, PARAMS, 8)]
    asked = [np.floor(600 * (1 - (0.2 + 0.7 * min(s, 6) / 6)) + 1e-3) for s in range(8)]
    assert kept == [asked[s - s % 2] for s in range(8)]


@pytest.mark.slow
def test_a_mask_sees_the_parameters_themselves():
    params = {"a": PARAMS["first"], "b": PARAMS["first"].astype(jnp.bfloat16)}
    tx = grow_and_prune(
        optax.sgd(0.1),
        optax.constant_schedule(jnp.float32(0.5)),
        every=1,
        mask=by_path(lambda _, leaf: leaf.dtype == jnp.float32),
    )
    _, state, _ = train(tx, params, 3)[-1]
    assert (int(state.mask["a"].sum()), int(state.mask["b"].sum())) == (300, 600)


def test_the_share_follows_its_schedule_to_zero():
    share = optax.cosine_decay_schedule(0.5, 6)
    tx = grow_and_prune(
        optax.sgd(0.1), 0.5, fraction=share, every=1, end=6, grow=random(1)
    )
    masks = [np.asarray(s.mask["first"]) for _, s, _ in train(tx, PARAMS, 9)]
    moved = [np.sum(a & ~b) for a, b in itertools.pairwise(masks)]
    assert moved[0] > moved[2] > moved[4] > 0
    assert moved[5:] == [0, 0, 0]


def test_erdos_renyi_is_the_default_allocation():
    parameters = inspect.signature(neo.sparsity.grow_and_prune).parameters
    assert parameters["allocation"].default is erdos_renyi_kernel


@pytest.mark.slow
def test_erdos_renyi_by_default():
    tx = neo.sparsity.grow_and_prune(optax.sgd(0.1), 0.8)
    state = jax.jit(lambda p: tx.update(p, tx.init(p), p)[1])(ALL)
    shapes = [SHAPES["first"], SHAPES["second"]]
    shares = erdos_renyi_kernel.sparsities(shapes, 0.8)
    for shape, key, share in zip(shapes, ("first", "second"), shares, strict=True):
        size = np.prod(shape)
        assert int(state.mask[key].sum()) == np.floor(size * (1 - share) + 1e-6)


@pytest.mark.slow
@running.quickly()
def test_an_nnx_model_trains_sparse_from_the_first_step():
    model = nnx.Sequential(
        nnx.Linear(8, 32, rngs=nnx.Rngs(0)),
        nnx.relu,
        nnx.Linear(32, 1, rngs=nnx.Rngs(1)),
    )
    x = jnp.asarray(RNG.normal(size=(64, 8)), jnp.float32)
    y = jnp.sum(x[:, :2], axis=1, keepdims=True)
    tx = grow_and_prune(optax.adam(1e-2), 0.8, every=10)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer):
        loss, grads = nnx.value_and_grad(lambda m: jnp.mean((m(x) - y) ** 2))(model)
        optimizer.update(model, grads)
        return loss

    losses = []
    for _ in range(60):
        losses.append(float(step(model, optimizer)))
        params = nnx.as_pure(nnx.state(model, nnx.Param))
        mask = nnx.as_pure(optimizer.opt_state).mask
        assert float(neo.sparsity.sparsity(mask)) == pytest.approx(231 / 288)
        zeros = sum(int(jnp.sum(p == 0)) for p in jax.tree.leaves(params) if p.ndim > 1)
        assert zeros >= 231  # what is grown starts at zero
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(sparsity=1.0), r"^`sparsity` must be in \[0, 1\), got 1\.0\.$"),
        (dict(fraction=1.0), r"^`fraction` must be in \[0, 1\), got 1\.0\.$"),
        (dict(every=0), r"^`every` must be an integer >= 1, got 0\.$"),
        (dict(grow="gradient"), r"^`grow` must be of type Score, got 'gradient'\.$"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        grow_and_prune(optax.sgd(0.1), **{"sparsity": 0.5, **options})
