import pytest

from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.commands.train_command import make_config
from neat_optax.experiments.data import streams


@pytest.mark.parametrize(
    ("options", "epochs", "names"),
    [
        ({}, 20, OPTIMIZERS.default),
        ({"stream": "permuted:3"}, 5, streams.OPTIMIZERS.default),
        ({"stream": "permuted:3", "epochs": 2}, 2, streams.OPTIMIZERS.default),
        (
            {"optimizer": ["neuroplastic", "adam"]},
            20,
            ("neuroplastic", "neuroplastic-control", "adam"),
        ),
        ({"players": "examples", "aggregator": ["mean"]}, 10, ("mean",)),
    ],
)
def test_what_is_not_asked_for_has_its_default(options, epochs, names):
    config = make_config(options)
    assert config.epochs == epochs
    assert config.names == names
    assert config.lineup.in_turn == bool({"stream", "players"} & set(options))
