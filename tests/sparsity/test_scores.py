"""How much each weight counts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from neat_optax import sparsity as sp
from neat_optax.sparsity import _scores as scoring
from neat_optax.sparsity._masks import make_mask

W = jnp.array([[2.0, -3.0], [0.0, 0.5]])
G = jnp.array([[-1.0, 1.0], [4.0, 2.0]])


def rated(score, *steps, **extra):
    """The scores of each leaf after steps of (params, grad), memory included."""
    score = scoring.as_score(score)
    memory = scoring.start_memory(score, steps[0][0])
    for number, (params, grad) in enumerate(steps):
        extra = {**extra, "grad": grad}
        seen, memory = scoring.look(score, params, memory, jnp.int32(number), extra)
    return [scoring.rate(score, weight) for weight in seen]


def rated_one(score, *steps, **extra):
    return rated(score, *steps, **extra)[0].tolist()


def test_scores_by_hand():
    for score, expected in (
        (sp.magnitude, [[2.0, 3.0], [0.0, 0.5]]),
        (sp.saliency, [[2.0, 3.0], [0.0, 1.0]]),
        (sp.movement, [[2.0, 3.0], [0.0, -1.0]]),
        (sp.snip, [[2.0, 3.0], [0.0, 1.0]]),
        (scoring.gradient_magnitude, [[1.0, 1.0], [4.0, 2.0]]),
        (lambda w: -w, [[-2.0, 3.0], [0.0, -0.5]]),
        (jnp.square, [[4.0, 9.0], [0.0, 0.25]]),
    ):
        assert rated_one(score, (W, G)) == expected


def test_complex_weights_by_hand():
    """|3+4i| = 5, |4-3i| = 5, and Re((3+4i)(4+3i)) = 12 - 12 = 0, Re(2i -i) = 2."""
    w, g = jnp.array([3 + 4j, 2j]), jnp.array([4 - 3j, 1j])
    for score, expected in (
        (sp.magnitude, [5.0, 2.0]),
        (sp.saliency, [0.0, 2.0]),
        (sp.movement, [0.0, -2.0]),
        (sp.snip, [0.0, 2.0]),
        (scoring.gradient_magnitude, [5.0, 1.0]),
    ):
        assert rated_one(score, (w, g)) == expected
    assert rated_one(sp.activity, (w, g), activity=jnp.array([2.0, -3.0])) == [10.0, 6]


def test_low_precision_is_widened_before_it_is_multiplied():
    """(1 + 2^-7)^2 = 1 + 2^-6 + 2^-14 does not fit into bfloat16."""
    w = jnp.full((1,), 1 + 2.0**-7, jnp.bfloat16)
    exact = 1 + 2.0**-6 + 2.0**-14
    for score in (sp.saliency, sp.snip, lambda weights: weights * weights):
        assert rated_one(score, (w, w)) == [exact]
    assert rated_one(sp.movement, (w, w), (w, w)) == [-2 * exact]
    assert rated_one(sp.activity, (w, w), activity=w) == [exact]


def test_movement_adds_up_over_steps():
    """-(2 * 3) and then -(1 * -4)."""
    steps = [(jnp.array([2.0]), jnp.array([3.0])), (jnp.ones(1), jnp.array([-4.0]))]
    assert rated_one(sp.movement, *steps) == [-2.0]


def test_snip_weighs_all_gradients_by_the_last_weight():
    """|2 (3 - 4)|, and not |1 * 3 - 2 * 4| = 5."""
    steps = [(jnp.ones(1), jnp.array([3.0])), (jnp.array([2.0]), jnp.array([-4.0]))]
    assert rated_one(sp.snip, *steps) == [2.0]


@pytest.mark.parametrize("score", [sp.movement, sp.snip], ids=str)
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_gradient_that_is_not_finite_leaves_no_trace(score, bad):
    steps = [(W, G), (W, G.at[0].set(bad)), (W, -2 * G)]
    zeroed = [(W, G), (W, G.at[0].set(0)), (W, -2 * G)]
    assert rated_one(score, *steps) == rated_one(score, *zeroed)


def test_memories_start_at_zero_in_float32_or_wider():
    params = {"a": jnp.ones(2, jnp.bfloat16), "b": jnp.ones(1, jnp.complex64)}
    memory = scoring.start_memory(sp.snip, params)
    assert (memory["a"].dtype, memory["b"].dtype) == (jnp.float32, jnp.complex64)
    assert memory["a"].tolist() == [0.0, 0.0]
    assert scoring.start_memory(sp.magnitude, params) == ()


def test_snip_as_in_neataptic_but_without_its_mixed_units():
    """The original compares .4 and .2, which had no gradient, with .05 and .03."""
    w, g = jnp.array([[0.5, 0.4, 0.3, 0.2]]), jnp.array([[0.1, 0.0, 0.1, 0.0]])
    mask = make_mask(w, 0.5, score=sp.snip, grad=g)
    assert mask.tolist() == [[True, False, True, False]]


def test_snip_scores_a_leaf_without_gradients_by_magnitude():
    w, silent = {"a": W, "b": W}, {"a": 0 * G, "b": G}
    a, b = rated(sp.snip, (w, silent))
    assert a.tolist() == jnp.abs(W).tolist()
    assert b.tolist() == jnp.abs(W * G).tolist()


def test_random_scores_differ_by_step_leaf_and_seed():
    params = {"a": jnp.zeros((50, 4)), "b": jnp.zeros((50, 4))}
    first = rated(sp.random(3), (params, None))
    again = rated(sp.random(3), (params, None))
    np.testing.assert_array_equal(first, again)
    later = rated(sp.random(3), (params, None), (params, None))
    other = rated(sp.random(4), (params, None))
    drawn = np.concatenate([first, later, other]).ravel()
    assert len(np.unique(drawn)) > 1100  # of 1200 numbers; a repeat halves a part
    assert np.all((drawn >= 0) & (drawn < 1))


def test_a_typed_key_draws_what_its_seed_draws():
    one, two = (rated(sp.random(s), (W, None)) for s in (3, jax.random.key(3)))
    np.testing.assert_array_equal(one, two)
    with pytest.raises(ValueError, match=r"^`seed` must be an integer >= 0, got -1\.$"):
        sp.random(-1)


def test_activity_is_broadcast_over_outputs():
    """Wanda: inputs of norm 1 and 10, so that .5 counts 5."""
    norms = jnp.array([[1.0], [-10.0]])
    assert rated_one(sp.activity, (W, None), activity=norms) == [[2, 3], [0, 5]]
    assert rated_one(sp.activity, (W, None), activity=jnp.array(2.0)) == [
        [4, 6],
        [0, 1],
    ]
    mask = make_mask(W, 0.5, score=sp.activity, activity=norms)
    assert mask.tolist() == [[False, True], [False, True]]


def test_weights_that_are_not_finite_are_never_pruned():
    """Whatever the score, or they would be NaN for ever: x - x is not 0."""
    w = jnp.array([[jnp.nan, 1.0, jnp.inf, 2.0, -jnp.inf, 3.0]])
    plain = (lambda x: jnp.where(jnp.isfinite(x), x, -1), lambda x: x > 0)
    known = [sp.magnitude, sp.saliency, sp.snip, sp.movement, sp.activity]
    for score in (*known, scoring.gradient_magnitude, sp.random(0), *plain):
        grad = jnp.array([[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]])
        mask = make_mask(w, 0.5, score=score, grad=grad, activity=grad)
        assert mask.tolist() == [[True, False] * 3], score


def test_what_is_missing_is_named():
    hint = "; wrap the chain in pass_gradient"
    for score, name, end in (
        *((s, "grad", hint) for s in (sp.saliency, sp.snip, sp.movement)),
        (sp.activity, "activity", ""),
    ):
        message = (
            rf"^`{name}` must be passed to update for the {score!r}, got None{end}\.$"
        )
        with pytest.raises(ValueError, match=message.replace("<", "").replace(">", "")):
            make_mask(W, 0.5, score=score)


def test_gradients_and_activities_of_other_structures():
    w, other = {"a": W}, {"b": W}
    trees = r"PyTreeDef\(\{'a': \*\}\), got PyTreeDef\(\{'b': \*\}\)\.$"
    for name, score in (("grad", sp.snip), ("activity", sp.activity)):
        message = rf"^`{name}` must have the tree structure of `params`, {trees}"
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
            prune(jnp.ones((4, 2)), score=score)


def test_a_score_of_another_type():
    with pytest.raises(
        ValueError, match=r"^`score` must be of type Score, got 'big'\.$"
    ):
        make_mask(W, 0.5, score="big")  # pyright: ignore[reportArgumentType]


def test_an_activity_larger_than_its_weights_is_refused():
    """It would broadcast the mask."""
    message = (
        r"(?m)^`score` must give real numbers of the weights' shape \(1, 2\), got "
        r"float32 of shape \(2, 2\) from activity\.$"
    )
    with pytest.raises(ValueError, match=message):
        make_mask(W[:1], 0.5, score=sp.activity, activity=W)


def test_a_memory_keeps_its_type_from_init_on():
    w = jnp.ones((2, 2), jnp.bfloat16)
    tx = sp.prune_to_sparsity(0.5, score=sp.movement)
    state = tx.init(w)
    _, after = tx.update(w, state, w, grad=w.astype(jnp.float32))
    assert optax.tree.dtype(state.memory) == optax.tree.dtype(after.memory) == "float32"


def test_a_score_that_was_not_called():
    message = r"^`score` must be of type Score, got .* forget to call it\?$"
    with pytest.raises(ValueError, match=message):
        sp.make_mask(W, 0.5, score=sp.random)
