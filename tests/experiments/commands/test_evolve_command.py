import io
import json
import shlex
import signal
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from neat_optax.experiments.commands import evolve_command
from neat_optax.experiments.commands.cli import main
from neat_optax.experiments.commands.evolve_config import EvolveOptions, make_config
from neat_optax.experiments.reports import evolve_pictures
from neat_optax.experiments.runs import cartpole, checkpoints, evolve_experiment
from neat_optax.experiments.runs.evolve_tasks import make_task

QUICK = "--task sum --generations 4 --population 6 --parents 2 --elites 1"


def call(arguments, tmp_path):
    return main(["evolve", *arguments.split(), "--output", str(tmp_path)])


def assert_one_line(text, message):
    assert message in text
    assert len(text.strip().splitlines()) == 1


def found(config, params, best):
    """What a search returns, of the generations that are given."""
    best = np.asarray(best)
    reached = np.flatnonzero(best >= config.goal)
    history = {name: best for name in ("best", "mean", "diversity")}
    return SimpleNamespace(
        best_params=params,
        best_fitness=float(best.max()),
        generations=len(best),
        stopped="all generations done",
        reached=int(reached[0]) if len(reached) else None,
        history=history | {"acceptance": np.full(len(best), np.nan)},
    )


@pytest.fixture
def searched(monkeypatch):
    """Searches that find smaller weights with every seed, and are remembered."""
    seen = []

    def search(key, seed, config, task, folder, tick):
        del task, folder
        tick(seed, SimpleNamespace(generation=jnp.int32(3), best_fitness=-0.006), True)
        seen.append(key)
        size = 0.002 / len(seen)
        best = [-1.0, -0.5, -3 * size]
        return found(config, {"kernel": jnp.full((3, 1), size)}, best)

    monkeypatch.setattr(evolve_experiment, "_search", search)
    return seen


def test_a_run_writes_everything_and_says_what_happened(searched, tmp_path, capsys):
    assert call(f"{QUICK} --seeds 2 --seed 7 --name mine", tmp_path) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "seed 7, best -0.006: 3 of 7 generations" in printed
    assert "seed 8, best -0.006: 6 of 6 generations" in printed  # both ended after 3
    assert "seed 7: fitness -0.01 reached in generation 2;" in printed
    assert "test minus the sum -0.006, solved" in printed
    assert "the policy of seed 8 is saved" in printed
    assert len(searched) == 2
    run = tmp_path / "mine"
    with Image.open(run / "curves.png") as image:
        assert image.format == "PNG"
    result = json.loads((run / "result.json").read_text())
    assert [one["seed"] for one in result["runs"]] == [7, 8]
    assert result["selected"] == 8
    assert result["runs"][0]["history"]["acceptance"] == [None] * 3
    assert result["config"]["population"] == 6
    assert json.loads((run / "config.json").read_text()) == result["config"]
    assert not (run / "pole.gif").exists()


def test_the_policy_with_the_best_selection_score_is_saved(searched, tmp_path):
    call(f"{QUICK} --seeds 3 --name mine", tmp_path)
    like = {"kernel": jnp.zeros((3, 1))}
    restored = checkpoints.restore(tmp_path / "mine" / "checkpoints" / "best", like)
    generations, policy, _ = restored
    assert generations == 3
    np.testing.assert_allclose(policy["kernel"], 0.002 / 3, rtol=1e-6)
    assert len(searched) == 3


def test_a_finished_run_is_not_overwritten(searched, tmp_path, capsys):
    assert call(f"{QUICK} --name mine", tmp_path) == 0
    run = tmp_path / "mine"
    before = (run / "result.json").read_bytes()
    (run / "curves.png").unlink()
    shown = capsys.readouterr().out.splitlines()[-3:]
    assert call(f"{QUICK} --name mine", tmp_path) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1] == "finished before; its pictures are drawn again"
    assert printed[-3:] == shown
    assert (run / "curves.png").exists()
    assert call(f"{QUICK} --goal 1 --name mine", tmp_path) == 2
    message = "`name` must be that of a new or unfinished"
    assert_one_line(capsys.readouterr().err, message)
    assert (run / "result.json").read_bytes() == before
    assert len(searched) == 1


def test_runs_without_a_name_are_numbered(searched, tmp_path):
    for _ in range(2):
        call(QUICK, tmp_path)
    assert sorted(run.name for run in tmp_path.iterdir()) == ["sum-1", "sum-2"]
    keys = [jax.random.key_data(key).tolist() for key in searched]
    assert keys[0] == keys[1]


def test_a_run_stopped_before_its_result_goes_on(searched, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(evolve_experiment, "plain", None)
        with pytest.raises(TypeError):
            call(f"{QUICK} --name mine", tmp_path)
    assert not (tmp_path / "mine" / "result.json").exists()
    assert call(f"{QUICK} --name mine", tmp_path) == 0
    assert (tmp_path / "mine" / "result.json").exists()
    assert len(searched) == 2


def test_a_film_ends_with_the_episode(tmp_path, monkeypatch):
    states = np.linspace(0, 0.2, 501 * 4, dtype=np.float32).reshape(501, 4)
    filmed = []
    monkeypatch.setattr(cartpole, "record", lambda act, _: (act(states), 12.0))
    monkeypatch.setattr(evolve_pictures, "animate", lambda *given: filmed.append(given))
    task = SimpleNamespace(act=lambda policy, states: policy * states)
    evolve_command._film(task, 2, SimpleNamespace(path=tmp_path))
    ((shown, file),) = filmed
    np.testing.assert_array_equal(shown, 2 * states[:13])
    assert file == tmp_path / "pole.gif"


@pytest.mark.slow
def test_a_pole_is_filmed(tmp_path, monkeypatch):
    def search(key, seed, config, task, folder, tick):
        del seed, folder, tick
        return found(config, task.init(key), [9.0, 12.0])

    monkeypatch.setattr(evolve_experiment, "_search", search)
    assert call("--task cartpole --name pole", tmp_path) == 0
    with Image.open(tmp_path / "pole" / "pole.gif") as image:
        assert 8 <= image.n_frames <= 251
    result = json.loads((tmp_path / "pole" / "result.json").read_text())
    assert result["runs"][0]["reached"] is None
    assert 1 <= result["runs"][0]["test"] <= 500


def test_what_is_not_reached_is_said():
    one = {
        "seed": 3,
        "reached": None,
        "fitness": -0.25,
        "generations": 40,
        "test": 0.8125,
        "solved": False,
    }
    result = {
        "config": {"goal": -0.1},
        "monitor": "accuracy",
        "enough": 0.9,
        "selected": 3,
        "runs": [one],
    }
    out = io.StringIO()
    evolve_command.show(result, Console(file=out, width=200))
    assert out.getvalue().splitlines()[0] == (
        "seed 3: best fitness -0.25 after 40 generations; test accuracy 0.8125, "
        "not solved, which takes 0.9"
    )


def test_settings_are_the_tasks_where_nothing_is_asked_for():
    task = make_task("cartpole")
    config = make_config(EvolveOptions(task="cartpole", population=20), task)
    assert config.population == 20
    assert config.task == "cartpole"
    assert config.parents == task.settings.parents
    assert config.goal == task.goal
    assert config.reevaluate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--task digit", "`task` must be one of digits, cartpole, sum, got digit"),
        ("--generations 0", "`generations` must be an integer >= 1, got 0."),
        ("--population 1", "`population` must be an integer >= 2, got 1."),
        (
            "--parents 32",
            "`parents` must be less than the number of individuals, 32, got 32.",
        ),
        (
            "--elites 40",
            "`elites` must be less than the number of individuals, 32, got 40.",
        ),
        ("--elites -1", "`elites` must be an integer >= 0, got -1."),
        ("--mutation-scale 0", "`mutation_scale` must be in (0, inf), got 0.0."),
        ("--mutation-rate 1.5", "`mutation_rate` must be in (0, 1], got 1.5."),
        ("--acceptance 1", "`acceptance` must be in (0, 1), got 1.0."),
        ("--goal nan", "`goal` must be in (-inf, inf), got nan."),
        ("--seeds 0", "`seeds` must be an integer >= 1, got 0."),
        ("--seed -1", "`seed` must be an integer >= 0, got -1."),
        (f"--seed {2**64}", "must be less than 4294967296, got 18446744073709551616"),
        (f"--seed {2**32 - 1} --seeds 2", "`seed`, and those that follow it, must be"),
        ("--checkpoint-every 0", "`checkpoint_every` must be an integer >= 1, got 0."),
        ("--batch-size 0", "`batch_size` must be an integer >= 1, got 0."),
    ],
)
def test_a_bad_value_gives_one_line_and_leaves_nothing(
    arguments, message, tmp_path, capsys
):
    assert call(f"--task sum {arguments}", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, message)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('task = "digit"', "got digit; did you mean digits?"),
        ("generation = 3", "got generation; did you mean generations?"),
        ("epochs = 3", "`key` must be one of output, name, checkpoint_every, task"),
        ('goal = "high"', "`goal` must be a finite number, got 'high'."),
        (
            "elites = 64",
            "`elites` must be less than the number of individuals, 64, got 64.",
        ),
    ],
)
def test_a_bad_file_gives_one_line_and_leaves_nothing(
    content, message, tmp_path, capsys
):
    (tmp_path / "bad.toml").write_text(content)
    assert call(f"--config {tmp_path}/bad.toml", tmp_path / "runs") == 2
    assert_one_line(capsys.readouterr().err, message)
    assert not (tmp_path / "runs").exists()


def test_options_of_a_file_count_and_those_of_the_command_line_win(searched, tmp_path):
    file = 'task = "sum"\nseeds = 2\npopulation = 12\nname = "filed"\n'
    (tmp_path / "mine.toml").write_text(file)
    assert call(f"--config {tmp_path}/mine.toml --seeds 3", tmp_path) == 0
    config = json.loads((tmp_path / "filed" / "config.json").read_text())
    assert (config["seeds"], config["population"]) == (3, 12)
    assert len(searched) == 3


@pytest.mark.slow
def test_ctrl_c_stops_after_a_checkpoint_and_what_is_printed_goes_on(
    tmp_path, capsys, monkeypatch
):
    """The command, pasted, ends as if the run had not been stopped."""
    task = make_task("sum")  # the same object: compiled once
    monkeypatch.setattr(evolve_command, "make_task", lambda _: task)
    monkeypatch.setattr(evolve_experiment, "CHECKPOINT_EVERY", 2)
    quick = f"{QUICK} --goal 1 --name mine"
    with monkeypatch.context() as patch:
        patch.setattr(evolve_command, "_tick", interrupting)
        assert call(quick, tmp_path) == 130
    printed = capsys.readouterr()
    assert not printed.err
    assert not (tmp_path / "mine" / "result.json").exists()
    begun = (tmp_path / "mine" / "config.json").read_bytes()
    assert call(f"{quick} --elites 0", tmp_path) == 2
    assert_one_line(capsys.readouterr().err, "`elites` must be 1 to continue")
    last = printed.out.splitlines()[-1]
    assert last.startswith("stopped, with 2 generations of seed 0 saved; to go on: ")
    assert main(shlex.split(last.split(": ")[1])[1:]) == 0
    assert (tmp_path / "mine" / "config.json").read_bytes() == begun
    assert call(quick, tmp_path / "whole") == 0
    results = (tmp_path / "mine", tmp_path / "whole" / "mine")
    resumed, whole = ((run / "result.json").read_bytes() for run in results)
    assert resumed == whole


COUNTING = evolve_command._tick


def interrupting(config, *rest):
    """Someone who presses Ctrl-C when two of four generations are done."""
    count = COUNTING(config, *rest)

    def tick(seed, state, over):
        if state.generation == 2:
            signal.raise_signal(signal.SIGINT)
        count(seed, state, over)

    assert config.generations == 4
    return tick


def test_what_is_done_and_to_come_is_counted_over_all_seeds():
    config = make_config(
        EvolveOptions(task="sum", generations=10, seeds=2, seed=5), make_task("sum")
    )
    shown, stops = [], []
    tick = evolve_command._tick(config, lambda *x: shown.append(x), stops.append)
    tick(5, SimpleNamespace(generation=4, best_fitness=-0.25), False)
    tick(5, SimpleNamespace(generation=6, best_fitness=-0.1), True)
    tick(6, SimpleNamespace(generation=10, best_fitness=-0.2), True)
    assert shown == [
        ("seed 5, best -0.25", 4, 20),
        ("seed 5, best -0.1", 6, 16),
        ("seed 6, best -0.2", 16, 16),
    ]
    assert stops[1] == "with 6 generations of seed 5"


def test_compact_says_that_it_is_for_other_runs(searched, tmp_path, capsys):
    assert call(f"{QUICK} --name mine", tmp_path) == 0
    assert main(["compact", str(tmp_path / "mine")]) == 2
    assert_one_line(capsys.readouterr().err, "`run` must be one of neat-optax train")
    assert len(searched) == 1
