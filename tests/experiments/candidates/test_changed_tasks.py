import jax
import numpy as np
import pytest
from flax import nnx

import running
from neat_optax.continual import effective_rank
from neat_optax.experiments.candidates import changed_tasks
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task

draw = np.random.default_rng(0)
SPLIT = Split(draw.normal(size=(16, 3)).astype(np.float32), np.arange(16) % 2)
TASK = make_task(Data(SPLIT, SPLIT, SPLIT))


@pytest.mark.slow
def test_a_penalty_raises_the_rank_of_features_and_leaves_the_loss_alone():
    @running.quick_jit
    def found():
        params = TASK.init(nnx.Rngs(0))
        extra, plain = TASK.gradients(params, SPLIT)
        penalized = changed_tasks.keeping_rank(TASK, 1.0).gradients
        more, gradients = penalized(params, SPLIT)
        own = jax.tree.map(lambda a, b: a - b, gradients, plain)
        moved = jax.tree.map(lambda p, g: p - 1e-2 * g, params, own)

        def rank(params):
            kernel = params["trunk"]["first"]["kernel"]  # biases are near zero
            return effective_rank(nnx.relu(SPLIT.x @ kernel))

        return extra["losses"], more["losses"], rank(params), rank(moved)

    loss, same, before, after = found()
    assert loss == same
    assert after > before


def test_players_have_no_features_of_a_batch():
    groups = TASK._replace(penalized=None)
    with pytest.raises(ValueError, match="`task` must have one gradient"):
        changed_tasks.keeping_rank(groups, 1.0)
