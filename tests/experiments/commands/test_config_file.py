import dataclasses
import pathlib
import re
import tomllib

import pytest

from neat_optax.experiments.candidates import plasticities
from neat_optax.experiments.commands import config_file
from neat_optax.experiments.commands.evolve_config import EvolveOptions
from neat_optax.experiments.commands.options import TrainOptions
from neat_optax.experiments.commands.train_command import make_config

DOCS = pathlib.Path(__file__).parents[3] / "docs"
EXAMPLES = DOCS / "examples"
BLOCKS = re.findall(
    "^```toml\n(.*?)^```", (DOCS / "command_line.md").read_text(), re.M | re.S
)
TOML = """
dataset = "wine"
optimizer = ["neuroplastic", "adam"]
epochs = 3
learning_rate = 1e-3
alpha = 1
name = "mine"
[neuroplastic]
maximum = 3
decouple_weight_decay = false
"""


@pytest.fixture
def write(tmp_path):
    def to_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return to_file


def read(path, options=TrainOptions):
    return config_file.read(path, options)


def refuses(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("name", ["run.toml", "RUN.TOML"])
def test_a_file_holds_options(name, write):
    options = read(write(name, TOML))
    assert options == TrainOptions(
        dataset="wine",
        optimizers=("neuroplastic", "adam"),
        epochs=3,
        learning_rate=0.001,
        alpha=1.0,
        name="mine",
        neuroplastic={"maximum": 3.0, "decouple_weight_decay": False},
    )
    assert type(options.alpha) is type(options.neuroplastic["maximum"]) is float
    config = make_config(options)
    assert config.optimizers == ("neuroplastic", "neuroplastic-control", "adam")


def test_one_name_is_a_list_of_one(write):
    assert read(write("x.toml", 'prune = "2:4"')).prune == ("2:4",)


def test_none_takes_a_bound_away(write):
    path = write("x.toml", "neuroplastic = {max_norm = 'none', weight_decay = 'none'}")
    assert read(path).neuroplastic == {"max_norm": None, "weight_decay": None}


def test_every_option_is_a_key():
    for options in (TrainOptions, EvolveOptions):
        fields = {field.name for field in dataclasses.fields(options)}
        fields -= {"config", "resume"}
        assert {key.field for key in config_file._keys(options).values()} == fields
    lists = ("optimizers", "aggregators", "prune")
    assert config_file.repeated(TrainOptions) == lists
    assert config_file.repeated(EvolveOptions) == ()


def test_another_command_has_options_of_its_own(write):
    path = write("x.toml", 'task = "sum"\ngoal = -1')
    assert read(path, EvolveOptions) == EvolveOptions(task="sum", goal=-1.0)
    with refuses("`key` must be one of output, .* got epochs"):
        read(write("y.toml", "epochs = 3"), EvolveOptions)
    with pytest.raises(ValueError, match="`sweep` must be left out for neat-optax ev"):
        read(write("z.toml", "sweep.seed = [1, 2]"), EvolveOptions)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs = 'many'", "`epochs` must be an integer, got 'many'"),
        ("epochs = 2.0", "`epochs` must be an integer, got 2.0"),
        ("epochs = true", "`epochs` must be an integer, got True"),
        ("epochs = '3'", "`epochs` must be an integer, got '3'"),
        ("alpha = '1e-3'", "`alpha` must be a finite number, got '1e-3'"),
        ("alpha = false", "`alpha` must be a finite number, got False"),
        ("alpha = nan", "`alpha` must be a finite number, got nan"),
        ("alpha = 1e999", "`alpha` must be a finite number, got inf"),
        (f"alpha = 1{400 * '0'}", "`alpha` must be a finite number, got 10000"),
        ("dataset = 3", "`dataset` must be a string, got 3"),
        ("dataset = ['wine']", r"`dataset` must be a string, got \['wine'\]"),
        ("optimizer = 3", "`optimizer` must be a string, got 3"),
        ("optimizer = ['adam', 3]", "`optimizer` must be a string, got 3"),
        ("optimizer = []", "`optimizer` must be given at least once, got none"),
        ("neuroplastic = 3", "`neuroplastic` must be a table, got 3"),
        (
            "neuroplastic.maximum = '3'",
            "`neuroplastic.maximum` must be a finite number, got '3'",
        ),
        (
            "neuroplastic.maximum = [3]",
            r"`neuroplastic.maximum` must be a finite number, got \[3\]",
        ),
        ("epochs = 2026-01-01", "`epochs` must be an integer, got datetime.date"),
        ("epochs.first = 3", r"`epochs` must be an integer, got \{'first': 3\}"),
    ],
)
def test_a_value_of_another_type_is_refused(content, message, write):
    with refuses(rf"^.*x\.toml: {message}.*\.$"):
        read(write("x.toml", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch = 3", r"x\.toml: `key` must be one of .*; did you mean epochs\?$"),
        ("batch-size = 3", r"got batch-size; did you mean batch_size\?$"),
        ("optimizers = 3", r"got optimizers; did you mean optimizer\?$"),
        ("xyz = 3", r"dataset, fraction, .*, got xyz\.$"),
        ("config = 'x'", r"`key` must be one of .*, got config\.$"),
        (
            "neuroplastic.maximun = 3",
            "`neuroplastic` must be one of activity_weight, .* got maximun; "
            r"did you mean maximum\?$",
        ),
        ("neuroplastic.monitor = true", r"`neuroplastic` must be .* got monitor\.$"),
        ("neuroplastic.scope = 'x'", "`neuroplastic` must be one of .* got scope"),
    ],
)
def test_unknown_keys_are_refused_with_those_there_are(content, message, write):
    with refuses(message):
        read(write("x.toml", content))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.toml", "", r"must hold options, got none in .*x\.toml\.$"),
        ("x.toml", "# epochs = 3", "must hold options, got none in"),
        ("x.json", "{}", r"must be a file of \.toml, got .*x\.json\.$"),
        ("x.yaml", "seeds: 3", r"must be a file of \.toml, got .*x\.yaml\.$"),
        ("x", "{}", r"must be a file of \.toml, got .*x\.$"),
        ("x.toml", "epochs: 3", "must be a readable file, got .*line 1"),
        (
            "x.toml",
            "seeds = 3\nseeds = 3\n",
            "must be a readable .*.*Cannot overwrite a value .*line 2",
        ),
        ("x.toml", b"name = '\xff'", "must be a readable file, got .*x.toml"),
        ("x.toml", f"a = {3000 * '['}", "must be a readable file, got .*recursion"),
    ],
)
def test_a_file_of_something_else_is_refused(name, content, message, write):
    with pytest.raises(ValueError) as error:
        read(write(name, content))
    line = " ".join(str(error.value).split())  # as the command prints it
    assert re.search(f"^`config` {message}", line)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none.toml", "No such file or directory"), ("folder.toml", "Is a directory")],
)
def test_what_cannot_be_read_is_refused(name, reason, tmp_path):
    (tmp_path / "folder.toml").mkdir()
    with refuses(rf"`config` must be a readable file, got .*{name}: {reason}\.$"):
        read(str(tmp_path / name))


@pytest.mark.parametrize("name", ["digits.toml", "fashion_mnist.toml"])
def test_the_examples_are_valid(name):
    config = make_config(read(str(EXAMPLES / name)))
    assert config.dataset == name.split(".")[0].replace("_", "-")
    compared = {"neuroplastic", "neuroplastic-control", "sgd", "adam", "adamw"}
    assert set(config.names) == compared


def test_the_example_with_players_compares_two_aggregators_and_the_mean():
    config = make_config(read(str(EXAMPLES / "aggregators.toml")))
    assert config.names == ("upgrad", "mean", "pcgrad")
    (shown,) = [tomllib.loads(block) for block in BLOCKS if "aggregator" in block]
    whole = tomllib.loads((EXAMPLES / "aggregators.toml").read_text())
    assert shown.items() <= whole.items()


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_page_shows_is_valid(block, write):
    path = write("x.toml", block)
    options = read(path)
    for name, values in config_file.read_sweep(path, TrainOptions).items():
        for value in values:
            make_config(dataclasses.replace(options, **{name: value}))
    make_config(options)


def test_no_example_is_missing():
    assert sorted(path.name for path in EXAMPLES.glob("*.toml")) == [
        "aggregators.toml",
        "digits.toml",
        "fashion_mnist.toml",
    ]


def test_the_defaults_of_the_first_example_are_those_of_the_command():
    example = make_config(read(str(EXAMPLES / "digits.toml")))
    names = ("neuroplastic", "sgd", "adam", "adamw")
    usual = make_config(TrainOptions(optimizers=names))
    assert dataclasses.replace(example, neuroplastic={}) == usual
    for name, value in example.neuroplastic.items():
        assert value == plasticities.OPTIONS[name]
