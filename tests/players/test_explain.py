import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neat_optax as neo
from neat_optax import _factored

PARAMS = {
    "table": jax.ShapeDtypeStruct((50, 40), np.float32),
    "kernel": jax.ShapeDtypeStruct((40, 30), np.float32),
    "scale": jax.ShapeDtypeStruct((30,), np.float32),
    "unused": jax.ShapeDtypeStruct((), np.float32),
}
IDS = jax.ShapeDtypeStruct((6, 4), np.int32)


def loss(params, ids):
    rows = params["table"][ids] @ params["kernel"]
    return jnp.sum(jnp.tanh(rows * params["scale"][None]))


def explained(**options):
    return neo.explain(loss, PARAMS, IDS, **options)


def test_a_row_for_each_parameter():
    found = {leaf.path: leaf for leaf in explained().leaves}
    assert {path: leaf.site for path, leaf in found.items()} == {
        "kernel": "dense",
        "scale": "mul",
        "table": "lookup",
        "unused": "unused",
    }
    kernel, table = found["kernel"], found["table"]
    assert (kernel.players, kernel.places) == (6, 4)
    assert kernel.factored_flops == 2 * (6 * 4) ** 2 * (40 + 30)
    assert kernel.explicit_flops == 2 * 6**2 * 40 * 30
    assert kernel.factored_bytes == 4 * 6 * 4 * (40 + 30)
    assert table.factored_flops == 2 * (6 * 4) ** 2 * 40
    assert table.explicit_bytes == 4 * 6 * 50 * 40


def test_flops_are_multiples_of_a_plain_step():
    """Forward, and backward for the data and for the parameters."""
    found = explained()
    assert found.plain_flops == 3 * 6 * 2 * 4 * 40 * 30
    extra = (found.flops - 1) * found.plain_flops
    rows = zip(found.leaves, found.factored, strict=True)
    expected = [x.factored_flops if kept else x.explicit_flops for x, kept in rows]
    assert extra == pytest.approx(sum(expected))


@pytest.mark.parametrize("choice, kept", [(True, 2), (False, 0), (lambda _: True, 2)])
def test_it_explains_what_the_gradients_do(choice, kept):
    of_each = neo.value_and_example_grads(loss, factored=choice)
    _, gradients = jax.eval_shape(of_each, PARAMS, IDS)
    found = explained(factored=choice)
    assert sum(found.factored) == kept
    leaves, _ = _factored.flatten(gradients)
    arrays = [x.terms if _factored.is_factored(x) else x for x in leaves]
    taken = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(arrays))
    told = found.bytes
    for leaf, factored in zip(found.leaves, found.factored, strict=True):
        if factored and leaf.site == "lookup":
            told += 4 * leaf.players * leaf.places  # the numbers that were looked up
    assert taken == told


def test_loops_count_each_turn():
    def layers(params, x):
        turn = lambda x, w: (jnp.tanh(x @ w), None)  # noqa: E731
        return jnp.sum(jax.lax.scan(turn, x, params)[0])

    params = jax.ShapeDtypeStruct((5, 8, 8), np.float32)
    found = neo.explain(layers, params, jax.ShapeDtypeStruct((3, 8), np.float32))
    assert found.plain_flops == 3 * 3 * 5 * 2 * 8 * 8
    assert found.leaves[0].factored_flops == 2 * 5 * 3**2 * (8 + 8)


def test_a_table():
    lines = [line.split() for line in str(explained()).splitlines()]
    titles = ["parameter", "shape", "used", "in", "uses", "kept", "as", "MB", "flops"]
    assert lines[0] == titles
    assert lines[1][:6] == ["kernel", "40x30", "dense", "4", "factors", "0.01"]
    assert lines[-1][-5:] == ["of", "a", "plain", "step's", "1.7e+05."]
