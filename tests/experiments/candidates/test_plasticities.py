import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import running
from neat_optax import diagnostics
from neat_optax.experiments.candidates import plasticities
from neat_optax.experiments.candidates.candidate import Setting
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.data.datasets import Data, Split
from neat_optax.experiments.data.tasks import make_task

SPLIT = Split(np.ones((2, 2), np.float32), np.array([0, 1]))
TASK = make_task(Data(SPLIT, SPLIT, SPLIT))


def setting(task=TASK, **options):
    return Setting(0.25, task, 10, jax.random.key(0), options)


def started(name, steps):
    """What steps on the network give: weights before and after, and measures."""
    optimizer = OPTIMIZERS.candidates[name].build(0.1, setting())
    before = params = TASK.init(nnx.Rngs(0))
    state = optimizer.init(params)
    for _ in range(steps):
        extra, gradients = TASK.gradients(params, SPLIT)
        updates, state = optimizer.update(gradients, state, params, **extra)
        params = optax.apply_updates(params, updates)
    return before, params, OPTIMIZERS.measures(state)


@pytest.mark.fast("neuroplastic", "continual-backprop")
@pytest.mark.parametrize("name", plasticities.CANDIDATES)
def test_every_candidate_takes_what_the_network_gives(name):
    before, after, measures = jax.eval_shape(lambda: started(name, 1))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), before) == jax.tree.map(
        lambda x: (x.shape, x.dtype), after
    )
    assert "opposed" in measures


@pytest.mark.slow
@pytest.mark.parametrize("name", plasticities.CANDIDATES)
def test_every_candidate_steps_and_is_measured(name):
    before, after, measures = running.quick_jit(lambda: started(name, 2))()
    moved = jax.tree.map(lambda a, b: np.max(np.abs(a - b)), before, after)
    assert max(jax.tree.leaves(moved)) > 0
    assert "opposed" in measures


ONES = np.ones(2, np.float32)
BOUNDS = dict(minimum=0.9, maximum=1.1)
FOR_ANY = tuple(
    name
    for name in plasticities.CANDIDATES
    if name not in ("reset-dormant", "continual-backprop")
)
"""Those that need no activity of hidden units."""


@functools.cache
def first_steps():
    """The update and the state of one step from ones, at a traced rate."""

    def one(name, rate, gradient, **options):
        build = plasticities.CANDIDATES[name].build
        optimizer = build(rate, setting(**options))
        return optimizer.update(gradient, optimizer.init(ONES), ONES)

    @jax.jit
    def steps(rate):
        bounded = {
            f"{name} in bounds": one(
                name, rate, np.float32([1, 3]), activity_weight=1.0, **BOUNDS
            )
            for name in ("neuroplastic", "neuroplastic-control")
        }
        return bounded | {name: one(name, rate, np.float32([3, 4])) for name in FOR_ANY}

    return jax.tree.map(np.asarray, steps(0.1))


@pytest.mark.slow
@pytest.mark.parametrize("name", FOR_ANY)
def test_every_candidate_descends(name):
    assert (first_steps()[name][0] < 0).all()


def test_the_ablation_shares_all_but_the_signals():
    """Equal clips: both rules get the options, the weights are the only difference."""
    for name in ("neuroplastic", "neuroplastic-control"):
        state = first_steps()[f"{name} in bounds"][1]
        found = diagnostics(state)
        np.testing.assert_allclose(
            [found["plasticity_min"].mean, found["plasticity_max"].mean], [0.9, 1.1]
        )
        memory = [x for x in jax.tree.leaves(state) if np.shape(x) == (2,)]
        assert bool(memory) == (name == "neuroplastic")


def test_what_is_off_is_descent_in_the_bounds_of_the_recipe():
    update = first_steps()["neuroplastic-off"][0]
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
    several = Split(SPLIT.x, np.array([[0, 1], [1, 1]]))
    heads = setting(make_task(Data(several, several, several)))
    for name in ("reset-dormant", "continual-backprop"):
        with pytest.raises(ValueError, match="`optimizer` must not reset units where"):
            plasticities.CANDIDATES[name].build(0.1, heads)


def test_what_a_coefficient_did_is_said():
    candidate = plasticities.CANDIDATES["neuroplastic"]
    seen = {"mean_over_run": {"plasticity": 0.856, "plasticity_std": 0.58}}
    assert candidate.did(seen) == "multiplies entries of the gradient by 0.86 ± 0.58"
