import jax
import optax
import pytest

from neat_optax.experiments.candidates.pruning_plan import Plan, Rules


def test_masks_change_about_a_hundred_times():
    for steps in (1, 6, 99, 320, 15620):
        of_run = Plan(optax.adam(0.1), steps, jax.random.key(0), Rules())
        assert of_run.ramp % of_run.every == 0
        assert of_run.every <= max(1, steps / 100)
        assert of_run.ramp <= max(1, 0.75 * steps)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"allocate": "lamp"}, "`allocate` must be one of uniform, erk, global, got"),
        ({"score": "hessian"}, "`score` must be one of magnitude, .* got hessian"),
        ({"granularity": "rows"}, "`granularity` must be one of entries, units, got"),
    ],
)
def test_unknown_rules_are_named(rules, message):
    with pytest.raises(ValueError, match=message):
        Rules(**rules).check()
