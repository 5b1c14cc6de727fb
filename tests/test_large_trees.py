"""Trees of more entries than int32 counts: sizes are right, or refused."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params

import contract
import player_table
from neat_optax import sparsity

SIDE = 50_000  # squared it is above 2 ** 31
COUNTING = ("reduce_sum", "cumsum", "reduce")
PARAMS = {
    "w": jax.ShapeDtypeStruct((SIDE, SIDE), np.float32),
    "b": jax.ShapeDtypeStruct((SIDE,), np.float32),
}


def stacked(x):
    return jax.ShapeDtypeStruct((player_table.COUNT, *x.shape), x.dtype)


def counts_of_too_much(jaxpr):
    """Sums in integers of 32 bits over more entries than these count."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in COUNTING:
            result = eqn.outvars[0].aval
            entries = eqn.invars[0].aval.size // max(result.size, 1)
            if jnp.issubdtype(result.dtype, jnp.integer) and entries >= 2**31:
                yield str(eqn)
        for inner in jaxprs_in_params(eqn.params):
            yield from counts_of_too_much(inner)


def check(entry, gradients):
    """Nothing is compiled; what does not fit into int32 shows while tracing."""
    tx, step = entry.stepper()
    try:
        state = jax.eval_shape(tx.init, PARAMS)
        program = jax.make_jaxpr(step)(gradients, state, PARAMS)
    except ValueError as error:
        holder, _, rest = str(error).partition(" ")
        assert holder in ("`scope`", "`params`")
        assert rest.startswith("must hold at most 2,147,483,647 ")
    else:
        assert not list(counts_of_too_much(program.jaxpr))


@contract.each(fast=("prune_to_sparsity", "clip_leaf_norm", "stabilize"))
def test_steps_of_single_gradients(name):
    check(contract.TABLE[name], PARAMS)


@player_table.each(fast=("mean",))
def test_steps_of_players(name):
    check(player_table.TABLE[name], jax.tree.map(stacked, PARAMS))


def test_the_share_of_zeros():
    """Of numbers in float32, and counted in int32 along the last axis at most."""
    program = jax.make_jaxpr(sparsity.sparsity)({"w": PARAMS["w"], "v": PARAMS["w"]})
    assert not list(counts_of_too_much(program.jaxpr))
    leaf = jax.eval_shape(sparsity.leaf_sparsities, PARAMS)["w"]
    assert leaf.zeros.dtype == np.float32
