import dataclasses

import pytest

from neat_optax.experiments.candidates.pruning_methods import Rules
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.commands.options import RunOptions, TrainOptions
from neat_optax.experiments.commands.train_command import make_config


def test_a_run_is_known_by_what_decides_on_its_numbers():
    place = {"output": "elsewhere", "name": "x", "config": "y.toml"}
    settings = TrainOptions(**place, checkpoint_every=3).settings()
    place = {field.name for field in dataclasses.fields(RunOptions)}
    assert place == {"output", "name", "config", "resume", "checkpoint_every"}
    assert not place & set(settings)
    assert settings == TrainOptions().settings()
    assert settings == TrainOptions(data="elsewhere").settings()
    assert settings["prune"] is None


def test_options_that_depend_on_others_wait_for_them():
    """So that those of a file and of the command line can be put together."""
    TrainOptions(players="examples", num_players=7, optimizers=("no such",))
    with pytest.raises(ValueError, match="`optimizer` must be one of"):
        make_config(TrainOptions(optimizers=("no such",)))


@pytest.mark.parametrize("rule", Rules._fields)
def test_rules_are_for_pruning(rule):
    assert getattr(make_config(TrainOptions()), rule) is None
    pruned = make_config(TrainOptions(prune=("cubic:0.9",)))
    assert getattr(pruned, rule) == getattr(Rules(), rule)


def test_a_configuration_has_the_options_of_the_command():
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    assert fields == {field.name for field in dataclasses.fields(TrainOptions)}
