import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import running
from event_files import written
from neat_optax.experiments.commands.evolve_config import EvolveOptions, make_config
from neat_optax.experiments.runs import checkpoints, evolve_experiment, files
from neat_optax.experiments.runs.evolve_tasks import make_task

TASK = make_task("sum")
CONFIG = make_config(
    EvolveOptions(
        task="sum",
        generations=6,
        population=6,
        parents=2,
        elites=1,
        acceptance=0.5,
        goal=1.0,  # which no sum of sizes reaches
        seeds=2,
    ),
    TASK,
)


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch):
    monkeypatch.setattr(evolve_experiment, "CHECKPOINT_EVERY", 2)


@running.quickly()
def run(path, config=CONFIG, tick=lambda *_: None):
    with files.RunFolder(str(path), "mine", {"task": "sum"}) as folder:
        return evolve_experiment.run(config, TASK, folder, tick)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing has cut off."""
    path = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evolve_experiment, "CHECKPOINT_EVERY", 2)
        run(path)
    return path / "mine"


def interrupted_at(call):
    calls = []

    def tick(*given):
        calls.append(given)
        if len(calls) == call:
            raise KeyboardInterrupt

    return tick


@pytest.mark.parametrize(
    "call", [2, 5, *(pytest.param(x, marks=pytest.mark.slow) for x in (1, 3, 4, 8))]
)
@pytest.mark.slow
def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(call, whole, tmp_path):
    """Bit for bit: after a chunk, between seeds, and in the second of them."""
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tick=interrupted_at(call))
    assert not (tmp_path / "mine" / "result.json").exists()
    run(tmp_path)
    assert_same_files(tmp_path / "mine", whole)


def assert_same_files(found, expected):
    name = "result.json"
    assert (found / name).read_bytes() == (expected / name).read_bytes()
    like = {"kernel": jnp.zeros((3, 1))}
    best, known = (
        checkpoints.restore(run / "checkpoints" / "best", like)
        for run in (found, expected)
    )
    assert best[0] == known[0]
    np.testing.assert_array_equal(best[1]["kernel"], known[1]["kernel"])
    for seed in (0, 1):
        curves, expected_curves = (
            written(next((run / "tensorboard" / f"seed-{seed}").iterdir()))
            for run in (found, expected)
        )
        np.testing.assert_equal(curves, expected_curves)


@pytest.mark.slow
def test_what_was_done_is_not_done_again(whole, tmp_path):
    """Stopped before the result, a run has only to write it."""
    shutil.copytree(whole, tmp_path / "mine")
    (tmp_path / "mine" / "result.json").unlink()
    seen = []
    run(tmp_path, tick=lambda seed, state, over: seen.append((seed, state, over)))
    assert [(seed, int(state.generation)) for seed, state, _ in seen] == [
        (0, 6),
        (1, 6),
    ]
    assert all(over for *_, over in seen)
    assert_same_files(tmp_path / "mine", whole)


def test_ticks_come_with_checkpoints_and_at_the_end(tmp_path):
    seen = []

    def tick(seed, state, over):
        seen.append((seed, int(state.generation), over))
        saved = tmp_path / "mine" / "checkpoints" / f"seed-{seed}"
        assert (saved / f"generation_{state.generation}").exists()

    run(tmp_path, tick=tick)
    of_one = [(2, False), (4, False), (6, False), (6, True)]
    assert seen == [(seed, *pair) for seed in (0, 1) for pair in of_one]


def test_tensorboard_has_the_history_of_each_seed_once(whole):
    result = json.loads((whole / "result.json").read_text())
    for one in result["runs"]:
        (file,) = (whole / "tensorboard" / f"seed-{one['seed']}").iterdir()
        curves = written(file)
        assert set(curves) == set(one["history"]) - {"generation"}
        assert {"best", "mean", "std", "diversity", "acceptance"} < set(curves)
        for name, points in curves.items():
            steps, values = zip(*points, strict=True)
            assert steps == tuple(range(6))
            expected = np.asarray(one["history"][name], float)
            np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_tensorboard_is_written_while_it_runs(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tick=interrupted_at(2))
    (file,) = (tmp_path / "mine" / "tensorboard" / "seed-0").iterdir()
    assert len(written(file)["best"]) == 4


@pytest.mark.slow
def test_data_reach_the_fitness_as_arguments(tmp_path):
    seen = []

    def fitness(params, key, image=None):
        seen.append(image)
        return TASK.fitness(params, key) + jnp.sum(image)

    task = TASK._replace(fitness=fitness, args=(jnp.zeros(2),))
    folder = files.RunFolder(str(tmp_path), "mine", {"task": "sum"})
    evolve_experiment.run(CONFIG, task, folder, lambda *_: None)
    assert seen
    assert all(isinstance(image, jax.core.Tracer) for image in seen)


@pytest.mark.slow
def test_a_search_that_solves_its_task_ends(tmp_path):
    config = make_config(EvolveOptions(task="sum"), TASK)
    result = run(tmp_path, config)
    (one,) = result["runs"]
    assert one["solved"]
    assert one["reached"] == one["generations"] - 1
    assert one["history"]["best_so_far"][-1] >= -0.01
    assert one["test"] == TASK.test(result["policy"], None)
