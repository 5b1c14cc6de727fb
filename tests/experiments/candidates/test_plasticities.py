import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from neat_optax import diagnostics
from neat_optax.experiments.candidates import plasticities
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.data.datasets import Data, Split, load
from neat_optax.experiments.data.tasks import make_task

SPLIT = Split(np.ones((2, 2), np.float32), np.array([0, 1]))
TASK = make_task(Data(SPLIT, SPLIT, SPLIT))


def setting(task=TASK, **options):
    return Setting(0.25, task, 10, jax.random.key(0), options)


@pytest.mark.parametrize("name", plasticities.CANDIDATES)
def test_every_candidate_steps_and_is_measured(name):
    optimizer = OPTIMIZERS.candidates[name].build(0.1, setting())
    params = TASK.init(nnx.Rngs(0))
    state = optimizer.init(params)
    before = params
    for _ in range(2):
        extra, gradients = TASK.gradients(params, SPLIT)
        updates, state = optimizer.update(gradients, state, params, **extra)
        params = optax.apply_updates(params, updates)
    moved = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), before, params)
    assert max(jax.tree.leaves(moved)) > 0
    assert "opposed" in OPTIMIZERS.measures(state)


def test_the_ablation_shares_all_but_the_signals():
    """Equal clips: both rules get the options, the weights are the only difference."""
    params, gradient = jnp.array([1.0, 1.0]), jnp.array([1.0, 3.0])
    bounds = dict(minimum=0.9, maximum=1.1)
    for name in ("neuroplastic", "neuroplastic-control"):
        build = plasticities.CANDIDATES[name].build
        optimizer = build(0.1, setting(activity_weight=1.0, **bounds))
        _, state = optimizer.update(gradient, optimizer.init(params), params)
        found = diagnostics(state)
        np.testing.assert_allclose(
            [found["plasticity_min"].mean, found["plasticity_max"].mean], [0.9, 1.1]
        )
        memory = [x for x in jax.tree.leaves(state) if np.shape(x) == (2,)]
        assert bool(memory) == (name == "neuroplastic")


def test_what_is_off_is_descent_in_the_bounds_of_the_recipe():
    params, gradient = jnp.array([1.0, 1.0]), jnp.array([3.0, 4.0])
    optimizer = plasticities.CANDIDATES["neuroplastic-off"].build(0.1, setting())
    update, _ = optimizer.update(gradient, optimizer.init(params), params)
    np.testing.assert_allclose(update, [-0.06, -0.08], rtol=1e-6)  # of norm 1, times .1


def test_options_are_checked():
    plasticities.check_options({"maximum": 3.0, "max_norm": None})
    with pytest.raises(ValueError, match=r"`neuroplastic` must be one of .* maximun"):
        plasticities.check_options({"maximun": 3.0})
    with pytest.raises(ValueError, match=r"`neuroplastic` must be one of .* scope"):
        plasticities.check_options({"scope": None})
    with pytest.raises(ValueError, match="`strength` must be in"):
        plasticities.check_options({"strength": -1.0})


def test_units_are_reset_in_chains_only():
    data = load("yeast")
    heads = setting(make_task(data))
    for name in ("reset-dormant", "continual-backprop"):
        with pytest.raises(ValueError, match="`optimizer` must not reset units where"):
            plasticities.CANDIDATES[name].build(0.1, heads)


def test_what_a_coefficient_did_is_said():
    candidate = plasticities.CANDIDATES["neuroplastic"]
    seen = {"mean_over_run": {"plasticity": 0.856, "plasticity_std": 0.58}}
    assert candidate.did(seen) == "multiplies entries of the gradient by 0.86 ± 0.58"
