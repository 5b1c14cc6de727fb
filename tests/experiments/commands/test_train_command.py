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


def test_a_rate_that_is_given_is_the_rate_that_is_used():
    """By every optimizer, whatever it is tuned around by default."""
    names = ("neat", "sgd", "adam", "lion")
    config = make_config(TrainOptions(optimizers=names, learning_rate=1e-3))
    for name in config.names:
        assert config.rates(name) == (1e-3,)
    assert set(config.settings()["rates"].values()) == {1e-3}


def test_one_optimizer_has_a_rate_of_its_own():
    names = ("adam:1e-3", "neat:0.30000001", "sgd")
    config = make_config(TrainOptions(optimizers=names))
    assert config.optimizers == ("adam:0.001", "neat:0.30000001", "control", "sgd")
    assert config.names == ("adam", "neat", "control", "sgd")
    assert config.rates("adam") == (0.001,)
    assert config.rates("neat") == config.rates("control") == (0.30000001,)
    assert config.rates("sgd") == OPTIMIZERS.rates("sgd", {})
    assert config.settings()["rates"] == {"adam": 0.001, "neat": 0.30000001}
    over = make_config(TrainOptions(optimizers=names, learning_rate=0.5))
    assert over.rates("adam") == (0.001,)
    assert over.rates("sgd") == over.rates("control") == (0.5,)
    options = TrainOptions(players="examples", aggregators=("dual_proj:2e-3",))
    assert make_config(options).rates("mean") == (2e-3,)


def test_without_a_rate_none_is_written_down():
    assert make_config(TrainOptions()).settings()["rates"] is None


def test_a_name_is_given_once_whatever_its_rate():
    with pytest.raises(ValueError, match="each name once, got adam, adam"):
        make_config(TrainOptions(optimizers=("adam:1e-3", "adam")))
