import argparse
import dataclasses
import inspect
import pathlib
import re

import pytest

import neat_optax as neo
from neat_optax.experiments.commands import config_file, evolve_config
from neat_optax.experiments.commands.options import OPTIONS
from neat_optax.experiments.commands.train_command import make_config

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
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
YAML = """
dataset: wine
optimizer: [neuroplastic, adam]
epochs: 3
learning_rate: 1e-3
alpha: 1
name: mine
neuroplastic:
  maximum: 3
  decouple_weight_decay: false
"""


@pytest.fixture
def write(tmp_path):
    def to_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return to_file


def refuses(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("name", ["run.toml", "RUN.YAML", "run.yml"])
def test_both_formats_give_the_same(name, write):
    path = write(name, TOML if name.endswith("toml") else YAML)
    options = config_file.read(path)
    assert options == {
        "dataset": "wine",
        "optimizer": ["neuroplastic", "adam"],
        "epochs": 3,
        "learning_rate": 0.001,
        "alpha": 1.0,
        "name": "mine",
        "neuroplastic": {"maximum": 3.0, "decouple_weight_decay": False},
    }
    assert type(options["alpha"]) is type(options["neuroplastic"]["maximum"]) is float
    config = make_config(options)
    assert config.optimizers == ("neuroplastic", "neuroplastic-control", "adam")
    assert config == make_config(config_file.read(write("other.toml", TOML)))


def test_one_name_is_a_list_of_one(write):
    assert config_file.read(write("x.toml", 'prune = "2:4"')) == {"prune": ["2:4"]}


def test_options_of_the_command_line_win(write):
    path = write("x.toml", "epochs = 3\nseeds = 4")
    given = argparse.Namespace(config=path, seeds=2, run=print)
    assert config_file.gather(given, OPTIONS) == {"epochs": 3, "seeds": 2}
    del given.config
    assert config_file.gather(given, OPTIONS) == {"seeds": 2}


def test_another_command_has_options_of_its_own(write):
    path = write("x.toml", 'task = "sum"\ngoal = -1')
    found = config_file.read(path, evolve_config.OPTIONS)
    assert found == {"task": "sum", "goal": -1.0}
    with refuses("`key` must be one of task, .* got epochs"):
        config_file.read(write("y.toml", "epochs = 3"), evolve_config.OPTIONS)


def test_none_takes_a_bound_away(write):
    path = write("x.yaml", "neuroplastic: {max_norm: null, weight_decay: ~}")
    none = {"max_norm": None, "weight_decay": None}
    assert config_file.read(path) == {"neuroplastic": none}


@pytest.mark.parametrize(
    "number", ["1e-3", "1E-3", "1.0e-3", ".1e-2", "+0.001", "1e-03"]
)
def test_yaml_reads_every_spelling_of_a_number(number, write):
    path = write("x.yaml", f"learning_rate: {number}")
    assert config_file.read(path) == {"learning_rate": 0.001}


def test_yaml_takes_words_for_words(write):
    """YAML 1.1 has 2:4 for 124, `no` for False, and a day for a date."""
    path = write("x.yaml", "prune: [2:4, 12:16]\nname: 2026-01-01\noutput: no\n")
    words = {"prune": ["2:4", "12:16"], "name": "2026-01-01", "output": "no"}
    assert config_file.read(path) == words


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs: many", "`epochs` must be an integer, got 'many'"),
        ("epochs: 2.0", "`epochs` must be an integer, got 2.0"),
        ("epochs: true", "`epochs` must be an integer, got True"),
        ("epochs: '3'", "`epochs` must be an integer, got '3'"),
        ("epochs: 0x10", "`epochs` must be an integer, got '0x10'"),
        ("epochs:", "`epochs` must be an integer, got None"),
        ("alpha: '1e-3'", "`alpha` must be a finite number, got '1e-3'"),
        ("alpha: false", "`alpha` must be a finite number, got False"),
        ("alpha: .nan", "`alpha` must be a finite number, got '.nan'"),
        ("alpha: 1e999", "`alpha` must be a finite number, got inf"),
        (f"alpha: 1{400 * '0'}", "`alpha` must be a finite number, got 10000"),
        ("dataset: 3", "`dataset` must be a string, got 3"),
        ("dataset: [wine]", r"`dataset` must be a string, got \['wine'\]"),
        ("optimizer: 3", "`optimizer` must be a string, got 3"),
        ("optimizer: [adam, 3]", "`optimizer` must be a string, got 3"),
        ("neuroplastic: 3", "`neuroplastic` must be a table, got 3"),
        (
            "neuroplastic: {maximum: '3'}",
            "`neuroplastic.maximum` must be a finite number, got '3'",
        ),
        (
            "neuroplastic: {maximum: [3]}",
            r"`neuroplastic.maximum` must be a finite number, got \[3\]",
        ),
    ],
)
def test_a_value_of_another_type_is_refused(content, message, write):
    with refuses(rf"^{message}.*\.$"):
        config_file.read(write("x.yaml", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("alpha = nan", "`alpha` must be a finite number, got nan"),
        ("epochs = 2026-01-01", "`epochs` must be an integer, got datetime.date"),
        ("epochs.first = 3", r"`epochs` must be an integer, got \{'first': 3\}"),
    ],
)
def test_values_that_only_toml_has(content, message, write):
    with refuses(rf"^{message}"):
        config_file.read(write("x.toml", content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch = 3", r"`key` must be one of dataset, .*; did you mean epochs\?$"),
        ("batch-size = 3", r"got batch-size; did you mean batch_size\?$"),
        ("xyz = 3", r"neuroplastic, got xyz\.$"),
        ("config = 'x'", r"`key` must be one of .*, got config\.$"),
        (
            "neuroplastic.maximun = 3",
            "`neuroplastic` must be one of activity_weight, .* got maximun; "
            r"did you mean maximum\?$",
        ),
        ("neuroplastic.measure = true", r"`neuroplastic` must be .* got measure\.$"),
        ("neuroplastic.scope = 'x'", "`neuroplastic` must be one of .* got scope"),
    ],
)
def test_unknown_keys_are_refused_with_those_there_are(content, message, write):
    with refuses(message):
        config_file.read(write("x.toml", content))


def test_a_key_that_is_no_string_is_refused(write):
    with refuses(r"`key` must be one of dataset, .* got 3\.$"):
        config_file.read(write("x.yaml", "3: epochs"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.toml", "", r"must hold a table of options, got \{\} in .*x\.toml\.$"),
        ("x.yaml", "# epochs: 3", "must hold a table of options, got None in"),
        ("x.yaml", "{}", r"must hold a table of options, got \{\} in"),
        ("x.yaml", "- epochs", r"must hold a table of options, got \['epochs'\] in"),
        ("x.yaml", "epochs", "must hold a table of options, got 'epochs' in"),
        ("x.json", "{}", r"must be a file of \.toml, \.yaml, \.yml, got .*x\.json\.$"),
        ("x", "{}", r"must be a file of \.toml, \.yaml, \.yml, got .*x\.$"),
        ("x.toml", "epochs: 3", "must be a readable file, got .*line 1"),
        (
            "x.toml",
            "seeds = 3\nseeds = 3\n",
            "must be a readable .*.*Cannot overwrite a value .*line 2",
        ),
        (
            "x.yaml",
            "seeds: 3\nseeds: 3",
            "must be a readable .*found `seeds` a second time .*line 2",
        ),
        (
            "x.yaml",
            "neuroplastic: {maximum: 3, maximum: 3}",
            ".*`maximum` a second time",
        ),
        ("x.yaml", "epochs: [3", r"must be a readable file, got .*line 1"),
        ("x.yaml", "a: 3\n---\na: 3", r"must be a readable file, got .*document"),
        ("x.yaml", "? [a]\n: 3", r"must be a readable file, got .*unhashable key"),
        ("x.yaml", "seeds: &a 3", ".*found an anchor, an alias or a tag .*line 1"),
        ("x.yaml", "seeds: *a", ".*found an anchor, an alias or a tag .*line 1"),
        ("x.yaml", "seeds: !!int x", ".*found an anchor, an alias or a tag .*line 1"),
        ("x.yaml", b"name: \xff", "must be a readable file, got .*x.yaml"),
        ("x.toml", b"name = '\xff'", "must be a readable file, got .*x.toml"),
        ("x.yaml", 3000 * "[", "must be a readable file, got .*recursion"),
    ],
)
def test_a_file_of_something_else_is_refused(name, content, message, write):
    with pytest.raises(ValueError) as error:
        config_file.read(write(name, content))
    line = " ".join(str(error.value).split())  # as the command prints it
    assert re.search(f"^`config` {message}", line)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none.toml", "No such file or directory"), ("folder.yaml", "Is a directory")],
)
def test_what_cannot_be_read_is_refused(name, reason, tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    with refuses(rf"`config` must be a readable file, got .*{name}: {reason}\.$"):
        config_file.read(str(tmp_path / name))


@pytest.mark.parametrize("name", ["digits.toml", "fashion_mnist.yaml"])
def test_the_examples_are_valid(name):
    config = make_config(config_file.read(str(EXAMPLES / name)))
    assert config.dataset == name.split(".")[0].replace("_", "-")
    compared = {"neuroplastic", "neuroplastic-control", "sgd", "adam", "adamw"}
    assert set(config.names) == compared


def test_no_example_is_missing():
    assert sorted(path.name for path in EXAMPLES.iterdir()) == [
        "digits.toml",
        "fashion_mnist.yaml",
    ]


def test_the_defaults_of_the_first_example_are_those_of_the_command():
    example = make_config(config_file.read(str(EXAMPLES / "digits.toml")))
    usual = make_config({"optimizer": ["neuroplastic", "sgd", "adam", "adamw"]})
    assert dataclasses.replace(example, neuroplastic={}) == usual
    recipe = inspect.signature(neo.plasticity.neuroplastic).parameters
    for name, value in example.neuroplastic.items():
        assert value == recipe[name].default
