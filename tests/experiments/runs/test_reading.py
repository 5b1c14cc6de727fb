import json
import math
import subprocess
import sys

import pytest

from experiments.made_results import make_player_result, make_result, make_stream_result
from neat_optax.experiments import read_run
from neat_optax.experiments.reports.statistics import Interval
from neat_optax.experiments.runs.writing import plain

SEARCH = {
    "runs": [
        {"seed": 7, "test": 0.5, "history": {"best": [1.0, 2.0], "mean": [None, 1.5]}}
    ]
}


def write(folder, result, config=None):
    folder.mkdir(exist_ok=True)
    config = config or result["config"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "result.json").write_text(json.dumps(plain(result)))
    return folder


def rows(run, **wanted):
    found = [row for row in run.measures() if wanted.items() <= row._asdict().items()]
    return [(row.seed, row.epoch, row.value) for row in found]


@pytest.mark.parametrize("make", [make_result, make_player_result])
def test_numbers_are_as_they_were(make, tmp_path):
    made = make()
    run = read_run(str(write(tmp_path / "mine", made)))
    assert run.name == "mine"
    assert run.config == made["config"]
    for name, report in run.reports.items():
        interval = report["test_accuracy_interval"]
        assert isinstance(interval, Interval)
        known = made[next(iter(made.keys() & {"optimizers", "aggregators"}))][name]
        assert str(interval) == str(known["test_accuracy_interval"])
        assert report["curves"] == known["curves"]


def test_measures_are_in_long_form(tmp_path):
    made = make_result()
    made["optimizers"]["neat"]["curves"] = {
        "loss": [[3.0, math.nan], [1.0, 2.0]],
        "conflict": [[0.5, 0.25], [0.0, 0.125]],
    }
    run = read_run(write(tmp_path / "mine", made))
    loss = rows(run, candidate="neat", measure="loss")
    assert str(loss) == "[(0, 1, 3.0), (1, 1, nan), (0, 2, 1.0), (1, 2, 2.0)]"
    tested = rows(run, candidate="neat", measure="test_accuracy")
    assert tested == [(0, 2, 0.89), (1, 2, 0.91)]
    first = run.measures()[0]
    assert (first.run, first.candidate, first.learning_rate) == ("mine", "neat", 0.2)


def test_epochs_of_a_stream_are_the_last_of_each_task(tmp_path):
    made = make_stream_result()
    made["config"]["epochs"] = 5
    run = read_run(write(tmp_path / "mine", made))
    seen = rows(run, candidate="adam", measure="dormant", seed=0)
    assert [epoch for _, epoch, _ in seen] == [5, 10, 15]


def test_a_search_has_generations(tmp_path):
    run = read_run(write(tmp_path / "mine", SEARCH, {"task": "sum"}))
    assert run.reports == {}
    assert rows(run, measure="best") == [(7, 0, 1.0), (7, 1, 2.0)]
    assert str(rows(run, measure="mean")) == "[(7, 0, nan), (7, 1, 1.5)]"
    assert rows(run, measure="test", candidate="search") == [(7, 1, 0.5)]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe\xff",
        b"[1]",
        b"{}",
        b'{"optimizers": {"neat": {}}}',
        b'{"runs": 3}',
        b'{"runs": [[]]}',
        b'{"optimizers": ["neat"]}',
    ],
)
def test_a_damaged_result_is_named(content, tmp_path):
    write(tmp_path, make_result())
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"`run` must be .* got .*result\.json"):
        read_run(tmp_path)


def test_what_is_no_finished_run_is_named(tmp_path):
    with pytest.raises(ValueError, match="`run` must be the folder of a run, got"):
        read_run(tmp_path)
    write(tmp_path, SEARCH, {"task": "sum"})
    (tmp_path / "config.json").write_text("3")
    with pytest.raises(ValueError, match=r"got .*config\.json, which holds no table"):
        read_run(tmp_path)
    write(tmp_path, SEARCH, {"task": "sum"})
    (tmp_path / "result.json").unlink()
    with pytest.raises(
        ValueError, match=r"`run` must be finished, .* neat-optax evolve"
    ):
        read_run(tmp_path)


@pytest.mark.slow
def test_reading_needs_none_of_what_training_needs():
    program = (
        "import sys, neat_optax.experiments; "
        "sys.exit(any(m in sys.modules for m in ('flax', 'orbax', 'matplotlib')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
