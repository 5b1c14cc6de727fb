"""The annotated shapes of pure rules, checked by jaxtyping while they are traced."""

import subprocess
import sys

import pytest

PROGRAM = """
import functools, sys
import jax, jax.numpy as jnp, jaxtyping

# The package's own stand-in for jaxtyping knows no shapes.
sys.modules["neat_optax._typing"] = jaxtyping
rooms = ["neat_optax.aggregators", "neat_optax.players"]
with jaxtyping.install_import_hook(rooms, "beartype.beartype"):
    import neat_optax as neo
    from neat_optax import aggregators

square, row = jnp.eye(3), jnp.ones(3)
given = {
    "constant": (square, row), "random": (square, jax.random.key(0)),
    "pcd": (square,), "krum": (square, 0), "multi_krum": (square, 0, 2),
    "modo": (square, row), "sdmgrad": (square, row, row), "moco": (square, row),
    "cr_mogm": (row, row, 0.5), "excess_mtl": (row,), "dwa": (row, row),
    "famo": (row, row), "gls": (row,), "cosmos": (row,), "pbi": (row,),
    "epo": (square, row), "pmgda": (square, row), "go4align": (row, row),
    "softadapt": (row,), "relobralo": (row, row),
    "stch": (row,), "uncertainty": (row,), "balancing": (row,),
    "pike": (row, row, row, 1.0, 1.0), "sven": (square, row),
    "imtl_l": (row,), "clip_example_norms": (square, 1.0),
}
names = [n.removesuffix("_weights") for n in dir(aggregators) if n.endswith("_weights")]
assert len(names) > 25
for name in names:
    rule = getattr(aggregators, name + "_weights")
    traced = functools.partial(jax.eval_shape, functools.partial(
        rule, *given.get(name, (square,))
    ))
    for present in ({}, {"present": jnp.ones(3, bool)}):
        if present and "present" not in rule.__annotations__:
            continue
        assert traced(**present).shape == (3,), name
stack = jnp.ones((3, 2, 4))
everyone = jnp.ones(3, bool)
assert aggregators.trimmed_mean_leaf(stack, everyone, 1).shape == (2, 4)
draws = jnp.ones((2, 4))
assert aggregators.graddrop_leaf(stack, everyone, draws, row).shape == (2, 4)
assert aggregators.gradnorm_targets(row, row).shape == (3,)
contests = {
    "means": neo.player_neat_correction(0.5),
    "pairs": neo.player_neat_correction(0.5, opponent=neo.opponents.pairwise()),
    "conflict": neo.monitor_update_conflict(aggregators.mean(), num_players=3),
}
for tx in contests.values():
    first = jax.eval_shape(tx.init, stack[0])
    assert jax.eval_shape(tx.update, stack, first)[0].shape == (2, 4)
for wrong in (jnp.ones((2, 3)), jnp.ones((3, 3), int)):
    try:
        aggregators.upgrad_weights(wrong)
    except jaxtyping.TypeCheckError:
        continue
    raise SystemExit(f"{wrong} was taken for a Gramian")
"""


@pytest.mark.slow
def test_rules_have_the_shapes_that_they_say():
    pytest.importorskip("beartype")
    pytest.importorskip("jaxtyping")
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
