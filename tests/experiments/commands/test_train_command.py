import pytest

from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.commands.options import TrainOptions
from neat_optax.experiments.commands.train_command import make_config
from neat_optax.experiments.data import streams


@pytest.mark.parametrize(
    ("options", "epochs", "names"),
    [
        ({}, 20, OPTIMIZERS.default),
        ({"stream": "permuted:3"}, 5, streams.OPTIMIZERS.default),
        ({"stream": "permuted:3", "epochs": 2}, 2, streams.OPTIMIZERS.default),
        (
            {"optimizers": ("neuroplastic", "adam")},
            20,
            ("neuroplastic", "neuroplastic-control", "adam"),
        ),
        ({"players": "examples", "aggregators": ("mean",)}, 10, ("mean",)),
    ],
)
def test_what_is_not_asked_for_has_its_default(options, epochs, names):
    config = make_config(TrainOptions(**options))
    assert config.epochs == epochs
    assert config.names == names
    assert config.lineup.in_turn == bool({"stream", "players"} & set(options))


def test_names_may_have_underscores_for_dashes():
    for name in ("l2_to_init", "l2-to-init"):
        config = make_config(TrainOptions(optimizers=(name,)))
        assert config.optimizers == ("l2-to-init", "adam")
    for name in ("dual_proj", "dual-proj"):
        options = TrainOptions(players="examples", aggregators=(name,))
        assert make_config(options).aggregators == ("dual-proj", "mean")
    assert make_config(TrainOptions(dataset="breast_cancer")).dataset == "breast-cancer"
