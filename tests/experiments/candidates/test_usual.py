import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import running
from neat_optax.experiments.candidates import usual
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS


def test_cautious_leaves_out_what_does_not_descend_and_scales_the_rest():
    moved = jnp.array([-1.0, 2.0, -3.0, 0.0])
    inner = optax.stateless(lambda *_: moved)
    gradient = jnp.array([1.0, 1.0, 1.0, 1.0])
    tx = usual.cautious(inner)
    found, _ = running.quick_jit(tx.update)(gradient, tx.init(gradient))
    # two of four descend: 4 / (1 + 2) times as long
    np.testing.assert_allclose(found, [-4 / 3, 0, -4, 0], rtol=1e-6)


def test_muon_takes_hidden_kernels_as_matrices():
    shapes = {
        "trunk": {
            "first": {"kernel": (3, 3, 1, 16), "bias": (16,)},
            "attention": {
                "query": {"kernel": (32, 4, 8), "bias": (4, 8)},
                "out": {"kernel": (4, 8, 32), "bias": (32,)},
            },
            "tokens": {"embedding": (50, 32)},
        },
        "last": {"kernel": (32, 10), "bias": (10,)},
    }
    params = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, np.float32),
        shapes,
        is_leaf=lambda x: isinstance(x, tuple),
    )
    found = usual.matrices(params)
    assert found["trunk"]["first"]["kernel"] == ((0, 1, 2), (3,))
    assert found["trunk"]["attention"]["query"]["kernel"] == ((0,), (1, 2))
    assert found["trunk"]["attention"]["out"]["kernel"] == ((0, 1), (2,))
    assert len(jax.tree.leaves(found, is_leaf=lambda x: hasattr(x, "_fields"))) == 3


def test_averaged_finds_the_average_inside_a_chain():
    z = jnp.array([1.0])
    state = optax.contrib.ScheduleFreeState(
        b1=jnp.asarray(0.5),
        weight_sum=z,
        step_count=z,
        max_lr=z,
        base_optimizer_state=(),
        z=z,
    )
    found = usual.averaged((optax.EmptyState(), (state,)), jnp.array([3.0]))
    assert found.tolist() == [5.0]  # 3 lies between 1 and it


@pytest.mark.parametrize("name", ("schedule-free-sgd", "schedule-free-adam"))
def test_schedule_free_optimizers_are_judged_by_their_averages(name):
    assert OPTIMIZERS.candidates[name].served is usual.averaged
