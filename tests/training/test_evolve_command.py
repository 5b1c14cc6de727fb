import argparse
import io
import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from neat_optax.training import evolve_command, files
from neat_optax.training.evolve_config import make_config
from neat_optax.training.evolve_tasks import make_task

QUICK = "--task sum --generations 4 --population 6 --parents 2 --elites 1"


def call(arguments, tmp_path):
    parser = argparse.ArgumentParser()
    evolve_command.add_to(parser.add_subparsers())
    given = ["evolve", *arguments.split(), "--output", str(tmp_path)]
    options = parser.parse_args(given)
    options.run(options)


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

    def search(key, config, task, tick):
        del task
        tick(SimpleNamespace(generation=jnp.int32(2)))
        seen.append(key)
        size = 0.002 / len(seen)
        best = [-1.0, -0.5, -3 * size]
        return found(config, {"kernel": jnp.full((3, 1), size)}, best)

    monkeypatch.setattr(evolve_command, "_search", search)
    return seen


def test_a_run_writes_everything_and_says_what_happened(searched, tmp_path, capsys):
    call(f"{QUICK} --seeds 2 --seed 7 --name mine", tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
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
    restored = files.restore(tmp_path / "mine" / "checkpoints" / "best", like)
    generations, policy, _ = restored
    assert generations == 3
    np.testing.assert_allclose(policy["kernel"], 0.002 / 3, rtol=1e-6)
    assert len(searched) == 3


def test_a_finished_run_is_not_overwritten(searched, tmp_path):
    call(f"{QUICK} --name mine", tmp_path)
    before = (tmp_path / "mine" / "result.json").read_bytes()
    with pytest.raises(ValueError, match="`name` must be that of a new or unfinished"):
        call(f"{QUICK} --name mine", tmp_path)
    assert (tmp_path / "mine" / "result.json").read_bytes() == before
    assert len(searched) == 1


def test_runs_without_a_name_are_numbered(searched, tmp_path):
    for _ in range(2):
        call(QUICK, tmp_path)
    assert sorted(run.name for run in tmp_path.iterdir()) == ["sum-1", "sum-2"]
    keys = [jax.random.key_data(key).tolist() for key in searched]
    assert keys[0] == keys[1]


def test_an_unfinished_run_can_be_started_again(searched, tmp_path, monkeypatch):
    """Stopped between the checkpoint and the result, it searches again."""
    with monkeypatch.context() as patch:
        patch.setattr(evolve_command, "plain", None)
        with pytest.raises(TypeError):
            call(f"{QUICK} --name mine", tmp_path)
    assert not (tmp_path / "mine" / "result.json").exists()
    call(f"{QUICK} --name mine", tmp_path)
    assert (tmp_path / "mine" / "result.json").exists()
    assert len(searched) == 2


def test_a_pole_is_filmed(tmp_path, monkeypatch):
    def search(key, config, task, tick):
        del tick
        return found(config, task.init(key), [9.0, 12.0])

    monkeypatch.setattr(evolve_command, "_search", search)
    call("--task cartpole --name pole", tmp_path)
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
        "measure": "accuracy",
        "selected": 3,
        "runs": [one],
    }
    out = io.StringIO()
    evolve_command.show(result, Console(file=out, width=200))
    assert out.getvalue().splitlines()[0] == (
        "seed 3: best fitness -0.25 after 40 generations; test accuracy 0.8125, "
        "not solved"
    )


def test_settings_are_the_tasks_where_nothing_is_asked_for():
    task = make_task("cartpole")
    config = make_config({"population": 20, "output": "runs"}, task)
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
        ("--batch-size 0", "`batch_size` must be an integer >= 1, got 0."),
    ],
)
def test_a_bad_value_is_one_sentence_and_leaves_nothing(arguments, message, tmp_path):
    with pytest.raises(ValueError) as raised:
        call(f"--task sum {arguments}", tmp_path)
    assert message in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_the_search_itself_solves_the_sum(tmp_path, capsys):
    call("--task sum --acceptance 0.5 --name real", tmp_path)
    assert "solved" in capsys.readouterr().out
    result = json.loads((tmp_path / "real" / "result.json").read_text())
    (one,) = result["runs"]
    assert one["solved"]
    assert one["reached"] == one["generations"] - 1
    assert one["history"]["best_so_far"][-1] >= -0.01
