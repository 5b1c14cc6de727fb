"""How much each weight counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
from neat_optax import sparsity as sp
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._masks import make_mask

W = np.array([[2.0, -3.0], [0.0, 0.5]], np.float32)
G = np.array([[-1.0, 1.0], [4.0, 2.0]], np.float32)


def rated(score, *steps, **extra):
    """The scores of each leaf after steps of (params, grad), memory included."""
    return rated_each([score], *steps, **extra)[0]


def rated_each(scores, *steps, **extra):
    """The same of several scores, in one program."""
    return jax.device_get(_each(tuple(map(scoring.as_score, scores)), steps, extra))


@functools.partial(jax.jit, static_argnames="scores")
def _each(scores, steps, extra):
    return [_rated(score, steps, extra) for score in scores]


def _rated(score, steps, extra):
    memory = scoring.start_memory(score, steps[0][0])
    for number, (params, grad) in enumerate(steps):
        known = {**extra, "grad": grad}
        measured, memory = scoring.measure(
            score, params, memory, np.int32(number), known
        )
    return [scoring.rate(score, weight) for weight in measured]


def rated_one(score, *steps, **extra):
    return rated(score, *steps, **extra)[0].tolist()


def test_scores_by_hand():
    expected = {
        sp.magnitude: [[2.0, 3.0], [0.0, 0.5]],
        sp.saliency: [[2.0, 3.0], [0.0, 1.0]],
        sp.movement: [[2.0, 3.0], [0.0, -1.0]],
        sp.snip: [[2.0, 3.0], [0.0, 1.0]],
        sp.gradient_magnitude: [[1.0, 1.0], [4.0, 2.0]],
        jnp.negative: [[-2.0, 3.0], [0.0, -0.5]],
        (lambda w: w * w): [[4.0, 9.0], [0.0, 0.25]],
    }
    found = rated_each(expected, (W, G))
    assert [scores.tolist() for (scores,) in found] == list(expected.values())


def test_complex_weights_by_hand():
    """|3+4i| = 5, |4-3i| = 5, and Re((3+4i)(4+3i)) = 12 - 12 = 0, Re(2i -i) = 2."""
    w, g = np.complex64([3 + 4j, 2j]), np.complex64([4 - 3j, 1j])
    expected = {
        sp.magnitude: [5.0, 2.0],
        sp.saliency: [0.0, 2.0],
        sp.movement: [0.0, -2.0],
        sp.snip: [0.0, 2.0],
        sp.gradient_magnitude: [5.0, 1.0],
        sp.wanda: [10.0, 6.0],
    }
    found = rated_each(expected, (w, g), input_norms=np.float32([2.0, -3.0]))
    assert [scores.tolist() for (scores,) in found] == list(expected.values())


def test_low_precision_is_widened_before_it_is_multiplied():
    """(1 + 2^-7)^2 = 1 + 2^-6 + 2^-14 does not fit into bfloat16."""
    w = np.full((1,), 1 + 2.0**-7, jnp.bfloat16)
    exact = 1 + 2.0**-6 + 2.0**-14
    scores = sp.saliency, sp.snip, lambda weights: weights * weights, sp.wanda
    assert rated_each(scores, (w, w), input_norms=w) == [[exact]] * 4
    assert rated_one(sp.movement, (w, w), (w, w)) == [-2 * exact]


def test_movement_adds_up_over_steps():
    """-(2 * 3) and then -(1 * -4)."""
    steps = [np.float32([[2.0], [3.0]]), np.float32([[1.0], [-4.0]])]
    assert rated_one(sp.movement, *steps) == [-2.0]


def test_snip_weighs_all_gradients_by_the_last_weight():
    """|2 (3 - 4)|, and not |1 * 3 - 2 * 4| = 5."""
    steps = [np.float32([[1.0], [3.0]]), np.float32([[2.0], [-4.0]])]
    assert rated_one(sp.snip, *steps) == [2.0]


@pytest.mark.parametrize("score", [sp.movement, sp.snip], ids=str)
@pytest.mark.parametrize("bad", np.float32([np.nan, np.inf, -np.inf]))
def test_a_gradient_that_is_not_finite_leaves_no_trace(score, bad):
    below = np.array([[False], [True]])
    steps = [(W, G), (W, np.where(below, G, bad)), (W, -2 * G)]
    zeroed = [(W, G), (W, np.where(below, G, np.float32(0))), (W, -2 * G)]
    assert rated_one(score, *steps) == rated_one(score, *zeroed)


def test_memories_start_at_zero_in_float32_or_wider():
    params = {"a": np.ones(2, jnp.bfloat16), "b": np.ones(1, np.complex64)}
    memory = scoring.start_memory(sp.snip, params)
    assert (memory["a"].dtype, memory["b"].dtype) == (jnp.float32, jnp.complex64)
    assert memory["a"].tolist() == [0.0, 0.0]
    assert scoring.start_memory(sp.magnitude, params) == ()


def test_snip_as_in_neataptic_but_without_its_mixed_units():
    """The original compares .4 and .2, which had no gradient, with .05 and .03."""
    w, g = np.float32([[[0.5, 0.4, 0.3, 0.2]], [[0.1, 0.0, 0.1, 0.0]]])
    mask = make_mask(w, 0.5, score=sp.snip, grad=g)
    assert mask.tolist() == [[True, False, True, False]]


def test_snip_scores_a_leaf_without_gradients_by_magnitude():
    w, silent = {"a": W, "b": W}, {"a": 0 * G, "b": G}
    a, b = rated(sp.snip, (w, silent))
    assert a.tolist() == np.abs(W).tolist()
    assert b.tolist() == np.abs(W * G).tolist()


def test_random_scores_differ_by_step_leaf_and_seed():
    """Eagerly, since the generator takes long to compile and is shared then."""
    params = {"a": np.zeros((50, 4), "f4"), "b": np.zeros((50, 4), "f4")}
    step = params, None
    first, again, later, other = (
        _rated(sp.random(seed), [step] * steps, {})
        for seed, steps in ((3, 1), (3, 1), (3, 2), (4, 1))
    )
    np.testing.assert_array_equal(first, again)
    drawn = np.concatenate([first, later, other]).ravel()
    assert len(np.unique(drawn)) > 1100  # of 1200 numbers; a repeat halves a part
    assert np.all((drawn >= 0) & (drawn < 1))


def test_a_typed_key_draws_what_its_seed_draws():
    seeds = (3, jax.random.key(3))
    one, two = (_rated(sp.random(s), [(W, None)], {}) for s in seeds)
    np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match=r"^`seed` must be an integer >= 0, got -1\.$"):
        sp.random(-1)


def test_norms_are_broadcast_over_outputs():
    """Wanda: inputs of norm 1 and 10, so that .5 counts 5."""
    norms = np.float32([[1.0], [-10.0]])
    assert rated_one(sp.wanda, (W, None), input_norms=norms) == [[2, 3], [0, 5]]
    assert rated_one(sp.wanda, (W, None), input_norms=np.float32(2.0)) == [
        [4, 6],
        [0, 1],
    ]
    mask = make_mask(W, 0.5, score=sp.wanda, input_norms=norms)
    assert mask.tolist() == [[False, True], [False, True]]


def test_wanda_and_dormant_units_take_their_arguments_in_one_chain():
    """Of inputs with norms 1 and 9 the second is kept; unit 1 of "first" is dormant."""
    prune = sp.prune_to_sparsity(
        0.5,
        score=neo.sparsity.wanda,
        granularity=sp.units(-2),
        mask={"first": {"kernel": True}, "head": {"kernel": False}},
    )
    tx = neo.continual.reset_dormant(
        optax.chain(optax.sgd(0.1), prune), ("first", "head"), every=1
    )
    ones = np.ones((2, 2), np.float32)
    params = {"first": {"kernel": ones}, "head": {"kernel": ones}}
    norms = {
        "first": {"kernel": np.array([[1.0], [9.0]], np.float32)},
        "head": {"kernel": np.ones((2, 1), np.float32)},
    }

    @jax.jit
    def step(params, norms, activity):
        still = jax.tree.map(jnp.zeros_like, params)
        updates, _ = tx.update(
            still,
            tx.init(params),
            params,
            unit_activity=activity,
            input_norms=norms,
        )
        return optax.apply_updates(params, updates)

    after = step(params, norms, {"first": np.array([1.0, 0.0], np.float32)})
    first, head = (np.asarray(after[name]["kernel"]) for name in ("first", "head"))
    assert first[:, 0].tolist() == [0.0, 1.0]
    assert head.tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_weights_that_are_not_finite_are_never_pruned():
    """Whatever the score, or they would be NaN for ever: x - x is not 0."""
    w = np.float32([[np.nan, 1.0, np.inf, 2.0, -np.inf, 3.0]])
    grad = np.float32([[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]])
    plain = (lambda x: jnp.where(jnp.isfinite(x), x, -1), lambda x: x > 0)
    known = [sp.magnitude, sp.saliency, sp.snip, sp.movement, sp.wanda]
    scores = (*known, sp.gradient_magnitude, *plain)
    found = rated_each(scores, (w, grad), input_norms=grad)
    for score, (one,) in zip(scores, found, strict=True):
        assert np.isnan(one).tolist() == [[True, False] * 3], score
    mask = make_mask(w, 0.5, score=sp.snip, grad=grad)
    assert mask.tolist() == [[True, False] * 3]


def test_what_is_missing_is_named():
    hint = "; wrap the chain in pass_gradient"
    for score, name, end in (
        *((s, "grad", hint) for s in (sp.saliency, sp.snip, sp.movement)),
        (sp.wanda, "input_norms", ""),
    ):
        message = (
            rf"^`{name}` must be passed to update for the {score!r}, got None{end}\.$"
        )
        with pytest.raises(ValueError, match=message.replace("<", "").replace(">", "")):
            make_mask(W, 0.5, score=score)


def test_gradients_and_norms_of_other_structures():
    w, other = {"a": W}, {"b": W}
    path = r"got no array at \['a'\]\.$"
    for name, score in (("grad", sp.snip), ("input_norms", sp.wanda)):
        message = rf"^`{name}` must have the tree structure of `params`, {path}"
        with pytest.raises(ValueError, match=message):
            make_mask(w, 0.5, score=score, **{name: other})
    message = (
        r"^`grad` must have the shapes of `params`, got \(2,\) for \(2, 2\) at \['a'"
    )
    with pytest.raises(ValueError, match=message):
        make_mask(w, 0.5, score=sp.snip, grad={"a": G[0]})


@pytest.mark.parametrize(
    ("score", "what"),
    [
        (jnp.sum, r"float32 of shape \(\) from sum"),
        (lambda w: w[:1], r"float32 of shape \(1, 2\) from <lambda>"),
        (lambda w: w + 0j, r"complex64 of shape \(4, 2\) from <lambda>"),
    ],
)
def test_scores_must_be_real_and_one_for_each_weight(score, what):
    message = r"`score` must give real numbers of the weights' shape \(4, 2\), got "
    for prune in (functools.partial(make_mask, sparsity=0.5), sp.n_of_m_mask):
        with pytest.raises(ValueError, match=rf"(?m)^{message}{what}\.$"):
            prune(np.ones((4, 2), np.float32), score=score)


def test_a_score_of_another_type():
    with pytest.raises(
        ValueError, match=r"^`score` must be of type Score, got 'big'\.$"
    ):
        make_mask(W, 0.5, score="big")  # pyright: ignore[reportArgumentType]


def test_norms_larger_than_its_weights_is_refused():
    """It would broadcast the mask."""
    message = (
        r"(?m)^`score` must give real numbers of the weights' shape \(1, 2\), got "
        r"float32 of shape \(2, 2\) from wanda\.$"
    )
    with pytest.raises(ValueError, match=message):
        make_mask(W[:1], 0.5, score=sp.wanda, input_norms=W)


def test_a_memory_keeps_its_type_from_init_on():
    w = np.ones((2, 2), jnp.bfloat16)
    tx = sp.prune_to_sparsity(0.5, score=sp.movement)
    state = jax.eval_shape(tx.init, w)
    grad = w.astype(np.float32)
    _, after = jax.eval_shape(lambda s: tx.update(w, s, w, grad=grad), state)
    assert state.memory.dtype == after.memory.dtype == "float32"


def test_a_score_that_was_not_called():
    message = r"^`score` must be of type Score, got .* forget to call it\?$"
    with pytest.raises(ValueError, match=message):
        sp.make_mask(W, 0.5, score=sp.random)
