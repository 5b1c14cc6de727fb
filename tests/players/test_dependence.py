import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from neat_optax.players._dependence import dependence

SHAPES = {"a": (3, 2), "b": (3, 1), "t": (4, 3)}
PARAMS = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
X = jax.ShapeDtypeStruct((5, 4), jnp.float32)
ALONE = [[True, False, True], [False, True, True]]  # [players, a b t]
ALL = [[True, True, True], [True, True, True]]


def heads(params, x):
    """Results [5, 1] of two heads on one trunk."""
    hidden = jnp.tanh(x @ params["t"])
    return jnp.mean(hidden @ params["a"], -1, keepdims=True), hidden @ params["b"]


def stacked(params, x):
    return jnp.stack([jnp.mean(h) for h in heads(params, x)])


def as_array(params, x):
    return jnp.array([jnp.mean(h) for h in heads(params, x)])


def joined(params, x):
    """Losses that are told apart along the last axis, until the end."""
    logits = jnp.concatenate(heads(params, x), axis=-1)
    return jnp.mean(jax.nn.log_sigmoid(logits) * jnp.ones((1, 2)), axis=0)


def reshaped(params, x):
    logits = jnp.concatenate(heads(params, x), axis=1).T.reshape(2, 5, 1)
    return jnp.squeeze(logits, 2).sum(1)


def flattened(params, x):
    return jnp.concatenate([h[:1] for h in heads(params, x)], axis=1).reshape(2)


def sliced(params, x):
    losses = stacked(params, x)
    return jnp.concatenate([losses[:1], losses[1:]]) / jnp.array([1.0, 2.0])


def under_calls(params, x):
    inner = jax.jit(jax.checkpoint(stacked))
    return jnp.where(True, inner(params, x), 0.0)


FOLLOWED = [
    stacked,
    as_array,
    joined,
    reshaped,
    flattened,
    sliced,
    under_calls,
]


@pytest.mark.parametrize("fn", FOLLOWED, ids=lambda fn: fn.__name__)
def test_heads_are_told_apart(fn):
    np.testing.assert_array_equal(dependence(fn, PARAMS, X), ALONE)


def one(params, x):
    return stacked(params, x)[0]


def other(params, x):
    return stacked(params, x)[1]


def set_at(params, x):
    losses = jnp.zeros(3).at[jnp.array([0, 2])].set(one(params, x))
    return losses.at[jnp.array([1, 0])].add(other(params, x)).at[-1].set(1.0)


def largest_at(params, x):
    return jnp.zeros(2).at[1].max(other(params, x)).at[0].min(one(params, x))


def picked(params, x):
    return jnp.stack([*stacked(params, x), 0.0])[jnp.array([1, 2, 0])]


def taken(params, x):
    return jnp.take(stacked(params, x), np.array([1, 0, 0]), mode="clip")


def labels_picked(params, x):
    """The logit of one class for each player and example: which one is not known."""
    logits = jnp.stack([x @ params["t"] @ params[name].sum(1) for name in "ab"])
    logits = logits[..., None] * jnp.ones((1, 1, 3))
    labels = jnp.argmax(x[:, :3], axis=1)
    return jnp.take_along_axis(logits, labels[None, :, None], axis=2).sum((1, 2))


def first_of_all(params, x):
    first = jnp.argmin(x.sum(0)[:2])
    return stacked(params, x)[first][None]


def added_where_unknown(params, x):
    first = jnp.argmin(x.sum(0)[:2])
    return jnp.zeros(2).at[first].add(one(params, x))


def medians(params, x):
    return jnp.median(jnp.concatenate(heads(params, x), axis=1), axis=0)


def largest_errors(params, x):
    errors = jnp.concatenate(heads(params, x), axis=1).T
    return jax.lax.top_k(jnp.sort(errors, axis=1), 2)[0].sum(1)


def sorted_losses(params, x):
    return jnp.sort(stacked(params, x))


def weighed(params, x):
    errors = jnp.concatenate(heads(params, x), axis=1)
    return (jnp.ones((2, 5)) @ errors).sum(0)


def summed_by_letters(params, x):
    errors = jnp.concatenate(heads(params, x), axis=1)
    return jnp.einsum("bp,bk,p->p", errors, jnp.ones((5, 3)), jnp.ones(2))


def product_of_stacks(params, x):
    kernels = jnp.stack([params["a"].sum(1, keepdims=True), params["b"]])
    return jnp.einsum("bi,pio->p", jnp.tanh(x @ params["t"]), kernels)


def mixed(params, x):
    return jnp.ones((2, 2)) @ stacked(params, x)


def convolved(params, x):
    errors = jnp.concatenate(heads(params, x), axis=1).T[:, None, :]
    return jax.lax.conv(errors, jnp.ones((1, 1, 2)), (1,), "SAME").sum((1, 2))


def convolved_in_groups(params, x):
    """A kernel for each player, with two channels out for each one in."""
    errors = jnp.concatenate(heads(params, x), axis=1)[None]
    how = {"dimension_numbers": ("NWC", "WIO", "NWC"), "feature_group_count": 2}
    out = jax.lax.conv_general_dilated(
        errors, jnp.ones((3, 1, 4)), (1,), "VALID", **how
    )
    return out.sum((0, 1))


def convolved_together(params, x):
    errors = jnp.concatenate(heads(params, x), axis=1)[None]
    how = {"dimension_numbers": ("NWC", "WIO", "NWC")}
    out = jax.lax.conv_general_dilated(
        errors, jnp.ones((3, 2, 1)), (1,), "VALID", **how
    )
    return out.sum((0, 1))


def kernels_by_channel(params, x):
    """The first channel's kernel is of one parameter, the second one's of another."""
    del x
    kernel = jnp.stack([params["a"].sum(1), params["b"].sum(1)], axis=1)
    inputs = jnp.ones((1, 4, 1))
    how = {"dimension_numbers": ("NWC", "WIO", "NWC")}
    out = jax.lax.conv_general_dilated(inputs, kernel[:, None], (1,), "VALID", **how)
    return out.sum((0, 1))


def pooled(params, x):
    errors = jnp.concatenate(heads(params, x), axis=1)[None, :, None, :]
    pooled = nn.max_pool(errors, (2, 1), (2, 1)) + nn.avg_pool(errors, (2, 1), (2, 1))
    return pooled.sum((0, 1, 2))


def added_up(params, x):
    return jnp.cumsum(stacked(params, x))


def added_up_from_behind(params, x):
    return jax.lax.cumsum(stacked(params, x), reverse=True)


def padded(params, x):
    return jnp.pad(one(params, x)[None], (0, 1)) + jnp.pad(
        other(params, x)[None], (1, 0)
    )


def turned(params, x):
    first, second = jnp.split(jnp.roll(stacked(params, x), 1), 2)
    return jnp.concatenate([second, first, jnp.stack([*second])])[::-1]


def scanned(params, x):
    """Tasks in turn, each with the kernel of its own head."""
    kernels = jnp.stack([params["a"].sum(1), params["b"].sum(1)])
    hidden = x @ params["t"]
    return jax.lax.scan(lambda c, k: (c + 1, (hidden @ k).sum()), 0.0, kernels)[1]


def carried(params, x):
    """What a turn carries has met all turns before it."""
    losses = stacked(params, x)
    return jax.lax.scan(lambda c, loss: (c + loss, c), 0.0, losses, reverse=True)[1]


def looped(params, x):
    losses = stacked(params, x)
    return jax.lax.fori_loop(
        0, 2, lambda i, c: c.at[i].set(2 * losses[i]), jnp.zeros(2)
    )


def switched(params, x):
    def turn(carry, task):
        return carry, jax.lax.switch(task, [one, other], params, x)

    return jax.lax.scan(turn, 0.0, jnp.arange(2))[1]


def long_loop(params, x):
    losses = stacked(params, x)
    return jax.lax.scan(lambda c, _: (c + losses, None), jnp.zeros(2), length=99)[0]


def long_exchange(params, x):
    losses = stacked(params, x)

    def turn(carry, _):
        return carry[::-1].at[0].add(losses[0]), carry[1]

    last, seen = jax.lax.scan(turn, jnp.zeros(2), length=99)
    return jnp.stack([last[1], seen[-1]])


def branched(params, x):
    fn = functools.partial(stacked, params)
    return jax.lax.cond(x.sum() > 0, fn, lambda y: 2 * fn(y), x)


def branched_across(params, x):
    fn = functools.partial(stacked, params)
    return jax.lax.cond(x.sum() > 0, fn, lambda y: fn(y)[::-1], x)


A, B = [True, False, True], [False, True, True]  # depends on: a b t
NONE, BOTH = [False] * 3, [True] * 3
FOLLOWED_TO = [
    (set_at, [BOTH, B, NONE]),
    (largest_at, [A, B]),
    (picked, [B, NONE, A]),
    (taken, [B, A, A]),
    (labels_picked, [A, B]),
    (first_of_all, [BOTH]),
    (added_where_unknown, [A, A]),
    (medians, [A, B]),
    (largest_errors, [A, B]),
    (sorted_losses, [BOTH, BOTH]),
    (weighed, [A, B]),
    (summed_by_letters, [A, B]),
    (product_of_stacks, [A, B]),
    (mixed, [BOTH, BOTH]),
    (convolved, [A, B]),
    (convolved_in_groups, [A, A, B, B]),
    (convolved_together, [BOTH]),
    (kernels_by_channel, [[True, False, False], [False, True, False]]),
    (pooled, [A, B]),
    (added_up, [A, BOTH]),
    (added_up_from_behind, [BOTH, B]),
    (padded, [A, B]),
    (turned, [A, B, A]),
    (scanned, [A, B]),
    (carried, [B, NONE]),
    (looped, [A, B]),
    (switched, [A, B]),
    (long_loop, [A, B]),
    (long_exchange, [A, A]),
    (branched, [A, B]),
    (branched_across, [BOTH, BOTH]),
]


@pytest.mark.parametrize(
    ("fn", "expected"), FOLLOWED_TO, ids=lambda x: getattr(x, "__name__", "")
)
def test_each_operation_takes_dependence_where_it_goes(fn, expected):
    np.testing.assert_array_equal(dependence(fn, PARAMS, X), expected)


def test_an_index_that_is_closed_over_is_not_of_the_program():
    """It may be of a batch, and another one in the next."""
    order = jnp.asarray(np.array([1, 0]))
    found = dependence(lambda p, x: stacked(p, x)[order], PARAMS, X)
    np.testing.assert_array_equal(found, ALL)


def transformed(params, x):
    return jnp.fft.rfft(stacked(params, x)).real


def mapped_over_a_mesh(params, x):
    mesh = jax.make_mesh((1,), ("d",), axis_types=(AxisType.Auto,))
    inner = jax.shard_map(stacked, mesh=mesh, in_specs=(P(), P()), out_specs=P())
    return inner(params, x)


@pytest.mark.parametrize(
    ("fn", "name"), [(transformed, "fft"), (mapped_over_a_mesh, "shard_map")]
)
def test_what_is_not_followed_depends_on_everything_and_is_named(fn, name):
    with pytest.warns(UserWarning, match=f"^`loss_fn` must not join .* got {name}:"):
        found = dependence(fn, PARAMS, X)
    np.testing.assert_array_equal(found, ALL)


def test_what_mixes_nothing_of_the_players_is_not_named():
    """Each head by itself goes through what is not followed, as does the trunk."""

    def losses(params, x):
        x = jnp.fft.fft(x @ params["t"]).real
        return jnp.stack([jnp.fft.fft(x @ params[n]).real.sum() for n in "ab"])

    np.testing.assert_array_equal(dependence(losses, PARAMS, X), ALONE)


def test_values_do_not_count():
    zeros = jax.tree.map(np.zeros_like, PARAMS)
    found = dependence(stacked, zeros, np.zeros((5, 4), np.float32))
    np.testing.assert_array_equal(found, ALONE)


def test_no_gradient_is_no_dependence():
    def losses(p):
        through_integers = jnp.round(p["a"]).astype(jnp.int32).astype(jnp.float32)
        return jnp.stack([p["b"], jax.lax.stop_gradient(p["t"]), through_integers])

    params = {"a": 1.0, "b": 2.0, "t": 3.0}
    found = dependence(losses, params)
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 0], [0, 0, 0]])


def test_a_custom_gradient_counts():
    """A rounding whose gradient passes straight through."""

    @jax.custom_vjp
    def rounded(x):
        return x.astype(jnp.int32).astype(jnp.float32)

    rounded.defvjp(lambda x: (rounded(x), None), lambda _, g: (g,))
    found = dependence(lambda p: jnp.stack([rounded(p), 0 * p]), jnp.array(1.0))
    np.testing.assert_array_equal(found, [[1], [1]])


def test_integer_parameters_have_no_gradient():
    found = dependence(lambda p: p["n"] * jnp.stack([p["x"]]), {"n": 2, "x": 1.0})
    np.testing.assert_array_equal(found, [[0, 1]])


def test_a_mutable_array_hides_what_it_changes():
    def losses(p):
        kept = jax.new_ref(jnp.zeros(2))
        kept[0] = p["a"]
        kept[1] = p["b"]
        return kept[...]

    with pytest.warns(UserWarning, match="got operations on mutable arrays: all"):
        found = dependence(losses, {"a": 1.0, "b": 2.0})
    np.testing.assert_array_equal(found, [[1, 1], [1, 1]])


def agrees_with_the_jacobian(cases, loose=()):
    """Random values: an entry of the Jacobian is zero where nothing depends."""
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda p: np.float32(rng.normal(size=p.shape)), PARAMS)
    x = np.float32(rng.normal(size=X.shape))

    @jax.jit
    def jacobians(params, x):
        return [jax.jacrev(fn)(params, x) for fn in cases]

    for fn, jacobian in zip(cases, jacobians(params, x), strict=True):
        leaves = jax.tree.leaves(jacobian)
        rows = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in leaves]
        assert np.isfinite(np.concatenate(rows, axis=1)).all()
        found = np.stack([(row != 0).any(axis=1) for row in rows], axis=1)
        expected = dependence(fn, PARAMS, X)
        if fn in loose:
            assert (found <= expected).all(), fn.__name__
        else:
            np.testing.assert_array_equal(found, expected, fn.__name__)


def test_agrees_with_the_jacobian():
    agrees_with_the_jacobian(FOLLOWED)


@pytest.mark.slow
def test_every_operation_agrees_with_the_jacobian():
    """Where values decide, the Jacobian shows the one case of these values."""
    decided = largest_at, first_of_all, added_where_unknown, sorted_losses
    loose = (*decided, branched_across)
    agrees_with_the_jacobian([fn for fn, _ in FOLLOWED_TO], loose)
