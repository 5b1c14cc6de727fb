"""What must hold, as named assertions."""

import jax
import jax.numpy as jnp
import numpy as np


def assert_trees_close(actual, expected, rtol=1e-6, atol=1e-7):
    """Same structure, and the same values to within rounding."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    pairs = zip(
        jax.tree.leaves_with_path(actual), jax.tree.leaves(expected), strict=True
    )
    for (path, a), b in pairs:
        name = jax.tree_util.keystr(path)
        np.testing.assert_allclose(
            np.asarray(a), np.asarray(b), rtol=rtol, atol=atol, err_msg=name
        )


def assert_trees_equal(actual, expected):
    """Same structure, the same values bit for bit, and the same dtypes."""
    assert_same_types(actual, expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def assert_same_types(actual, expected):
    """Same structure, shapes and dtypes."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert (jnp.shape(a), jnp.result_type(a)) == (jnp.shape(b), jnp.result_type(b))


def assert_no_retrace(after, before):
    """A state that `update` returns is traced as the first one was: weak types too."""
    for (path, a), b in zip(
        jax.tree.leaves_with_path(after), jax.tree.leaves(before), strict=True
    ):
        assert a.weak_type == b.weak_type, (jax.tree_util.keystr(path), a, b)


def assert_counted(state, steps):
    """Every counter named `step` has seen all steps."""
    for path, leaf in jax.tree.leaves_with_path(state):
        if jax.tree_util.keystr(path).endswith(".step"):
            assert np.all(np.asarray(leaf) == steps), (path, leaf)


def assert_finite(tree):
    """No NaN and no infinity anywhere."""
    for path, leaf in jax.tree.leaves_with_path(tree):
        assert np.all(np.isfinite(np.asarray(leaf, np.complex128))), (path, leaf)


def assert_no_conflict_left(corrected, gradient, opponent, rtol=1e-5):
    """What is left of the gradient does not point against the opponent."""
    norms = np.linalg.norm(gradient) * np.linalg.norm(opponent)
    assert np.ravel(corrected) @ np.ravel(opponent) >= -rtol * norms


def assert_bound_holds(corrected, gradient, ratio, rtol=1e-5):
    """The correction is at most `ratio` times as long as the gradient."""
    corrected, gradient = np.ravel(corrected), np.ravel(gradient)
    longest = ratio * np.linalg.norm(gradient)
    assert np.linalg.norm(corrected - gradient) <= longest * (1 + rtol)


def assert_scale_free(decide, gradient, opponent, rtol=1e-5):
    """Scaling all gradients by 1e-12 or 1e12 changes no decision.

    `decide(gradient, opponent)` returns numbers that have no unit.
    """
    expected = decide(gradient, opponent)
    for scale in (1e-12, 1e12):
        assert_trees_close(decide(gradient * scale, opponent * scale), expected, rtol)


def assert_buffers_are_apart(tree):
    """No two arrays of a tree are one in memory, so that all can be donated at once."""
    arrays = [x for x in jax.tree.leaves(tree) if isinstance(x, jax.Array) and x.size]
    keys = [jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in arrays]
    data = [
        jax.random.key_data(x) if is_key else x
        for x, is_key in zip(arrays, keys, strict=True)
    ]
    places = [x.unsafe_buffer_pointer() for x in data]
    assert len(set(places)) == len(places)
