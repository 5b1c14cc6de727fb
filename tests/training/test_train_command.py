import pytest

from neat_optax.training import streams
from neat_optax.training.optimizers import OPTIMIZERS
from neat_optax.training.train_command import make_config


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
