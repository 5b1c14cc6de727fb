import argparse
import dataclasses

import pytest

from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.commands.options import OPTIONS, add_options, flag


def test_every_field_of_a_configuration_can_be_asked_for():
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    lists = {"optimizers": "optimizer", "aggregators": "aggregator"}
    asked = {lists.get(name, name) for name in fields}
    assert asked == set(OPTIONS) - {"output", "name"}


def test_only_what_is_given_is_in_the_result():
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
    add_options(parser, OPTIONS)
    given = "--batch-size 3 --alpha 1 --prune 2:4 --prune cubic --stream permuted:5"
    assert vars(parser.parse_args(given.split())) == {
        "batch_size": 3,
        "alpha": 1.0,
        "prune": ["2:4", "cubic"],
        "stream": "permuted:5",
    }
    assert vars(parser.parse_args([])) == {}


def test_a_table_is_for_files_only(capsys):
    parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
    add_options(parser, OPTIONS)
    with pytest.raises(SystemExit):
        parser.parse_args([flag("neuroplastic"), "3"])
    assert "unrecognized arguments: --neuroplastic" in capsys.readouterr().err
