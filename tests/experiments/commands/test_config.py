import pytest

from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data import networks

EXAMPLES = {"players": "examples", "num_players": 8, "aggregators": ("mean",)}
TASKS = {"players": "tasks", "dataset": "yeast", "aggregators": ("mean",)}


def test_what_is_compared_depends_on_the_players():
    assert TrainConfig(optimizers=("adam",)).names == ("adam",)
    assert TrainConfig(**EXAMPLES).names == ("mean",)
    assert TrainConfig(**TASKS).lineup.kind == "aggregator"
    TrainConfig(**{**EXAMPLES, "num_players": 64})
    TrainConfig(**{**EXAMPLES, "dataset": "yeast"})
    TrainConfig(**{**TASKS, "dataset": "multi-fashion", "model": "resnet"})


def test_a_network_is_chosen_by_data_set_and_model():
    config = TrainConfig(optimizers=("adam",))
    assert config.network is networks.usual
    assert config.settings()["model"] is None
    other = TrainConfig(optimizers=("adam",), model="cnn")
    assert other.network is not networks.usual
    assert other.settings()["model"] == "cnn"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "minst"}, "`dataset` must be one of digits.*got minst"),
        ({"model": "vgg"}, "`model` must be one of mlp, cnn, resnet, got vgg"),
        ({"model": "mlp", "dataset": "sst-2"}, "`model` must be .* got mlp"),
        ({"optimizers": ("sgdd",)}, "`optimizer` must be one of neat.*got sgdd"),
        ({"optimizers": ()}, "`optimizer` must be given at least once.*got none"),
        ({"optimizers": ("neat", "neat")}, "each name once, got neat, neat"),
        ({"epochs": 0}, "`epochs` must be an integer >= 1, got 0"),
        ({"seeds": 1.5}, "`seeds` must be an integer >= 1, got 1.5"),
        ({"seeds": 10**10}, "`seeds` must be at most 10000, .* got 10000000000"),
        ({"learning_rate": 0.0}, r"`learning_rate` must be in \(0, inf\), got 0.0"),
        ({"alpha": -1.0}, r"`alpha` must be in \[0, inf\), got -1.0"),
        ({"aggregators": ("mean",)}, "`aggregator` must be left out without .* mean"),
        ({"num_players": 4}, "`num_players` must be left out unless .* got 4"),
        ({"players": "agents"}, "`players` must be one of examples, tasks, got agents"),
        (EXAMPLES, "`optimizer` must be left out with players, got adam"),
        ({"score": "snip"}, "`score` must be left out without pruning, got snip"),
        ({"prune": ("2:4",)}, "`optimizer` must be left out with pruning, got adam"),
        ({"fraction": 0.0}, r"`fraction` must be in \(0, 1\], got 0.0"),
        ({"label_noise": 1.0}, r"`label_noise` must be in \[0, 1\), got 1.0"),
        ({"schedule": "step"}, "`schedule` must be one of constant, cosine, got step"),
        ({"stream": "permuted"}, "`stream` must be permuted:TASKS.* got permuted"),
        (
            {"stream": "permuted:9", "dataset": "yeast"},
            "`dataset` must be one of one label each for a stream, got yeast",
        ),
        (
            {"stream": "permuted:9", "model": "cnn"},
            "`model` must be mlp, and the data no text, for a stream, got cnn",
        ),
        (
            {"stream": "permuted:9", "dataset": "sst-2"},
            "the data no text, for a stream, got sst-2",
        ),
        (
            {"stream": "permuted:9", "players": "examples"},
            "`players` must be left out with a stream, got examples",
        ),
        ({"neuroplastic": {"rat": 1}}, "`neuroplastic` must be one of .* got rat"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"optimizers": ("adam",), **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {**EXAMPLES, "aggregators": ("mgd",)},
            "`aggregator` must be one of mean.*mgd",
        ),
        ({**EXAMPLES, "aggregators": ()}, "`aggregator` must be given at least once"),
        ({**EXAMPLES, "num_players": 7}, "must divide the batch size, 64, got 7"),
        (
            {**EXAMPLES, "num_players": 1},
            "`num_players` must be an integer >= 2, got 1",
        ),
        ({**EXAMPLES, "num_players": None}, "must be an integer >= 2, got None"),
        ({**TASKS, "num_players": 14}, "`num_players` must be left out unless .* 14"),
        ({**TASKS, "materialize": True}, "`materialize` must be left out unless .* ex"),
        ({**TASKS, "dataset": "digits"}, "`dataset` must be .* yeast, .*, got digits"),
    ],
)
def test_bad_options_of_players_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**options)


def test_pruning_is_compared_with_dense_training():
    config = TrainConfig(prune=("cubic:0.9", "2:4"))
    assert config.names == ("dense", "cubic:0.9", "2:4")
    assert config.lineup.kind == "pruning"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prune": ("lamp",)}, "`prune` must be one of once, .* got lamp"),
        ({"players": "examples"}, "`players` must be left out with pruning"),
        ({"aggregators": ("mean",)}, "`aggregator` must be left out with pruning"),
        ({"allocate": "lamp"}, "`allocate` must be one of uniform, erk, global"),
        ({"score": "hessian"}, "`score` must be one of magnitude"),
        ({"granularity": "rows"}, "`granularity` must be one of entries, units"),
        ({"epochs": 0}, "`epochs` must be an integer >= 1, got 0"),
    ],
)
def test_bad_options_of_pruning_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"prune": ("cubic",), **options})


def test_epochs_are_those_of_each_task():
    config = TrainConfig(optimizers=("adam",), epochs=3)
    assert config.num_epochs == 3
    streamed = TrainConfig(optimizers=("adam",), epochs=3, stream="permuted:5")
    assert streamed.num_epochs == 15
    assert streamed.lineup.in_turn
