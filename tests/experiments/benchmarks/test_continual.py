import json
import pathlib

import jax
import numpy as np
import pytest

from neat_optax.experiments.benchmarks import continual
from neat_optax.experiments.benchmarks import continual_recipes as recipes
from neat_optax.experiments.benchmarks.carrying_out import carry_out
from neat_optax.experiments.benchmarks.online import Seeds, Stream
from neat_optax.experiments.candidates.continual import PARTS
from neat_optax.experiments.data.datasets import Split

RESULTS = pathlib.Path(__file__).parents[3] / "benchmarks" / "results"
draw = np.random.default_rng(0)
EXAMPLES = Split(draw.normal(size=(30, 4)).astype(np.float32), np.arange(30) % 3)
TINY = continual.Size(1, (6, 5), 2, 12, 5)
SOURCE = "made-up", Stream(EXAMPLES, EXAMPLES, TINY.tasks, TINY.task_steps)


def test_pixels_are_pooled_in_squares():
    image = np.arange(16.0).reshape(1, 4, 4)
    pooled = continual.pool(Split(image.reshape(1, 16), np.zeros(1)), 2)
    np.testing.assert_array_equal(pooled.x, [[2.5, 4.5, 10.5, 12.5]])


def test_every_method_is_on_the_leaderboard_once():
    names = recipes.leaderboard()
    assert names[:4] == recipes.CONTROLS
    assert len(set(names)) == len(names)
    assert set(PARTS) - set(names) == {"decay", *recipes.LEFT_OUT}


def test_a_name_says_the_parts_and_what_they_stand_around():
    recipe = recipes.method("adam+l2+upgd")
    assert recipe.parts == (PARTS["l2"], PARTS["upgd"])
    assert recipe.rates == recipes.GATED_ADAM_RATES
    assert recipes.method("adamo").parts == (PARTS["adamo"],)
    assert recipes.method("sgd") == recipes.method("l2")._replace(parts=())
    assert recipes.method("upgd").rates == recipes.GATED_RATES


def test_an_ablation_leaves_out_one_part_at_a_time():
    assert recipes.ablation("adam+l2+fire") == (
        "adam+l2+fire",
        "l2+fire",
        "adam+fire",
        "adam+l2",
        recipes.SINGLE,
    )


def test_studies_have_seeds_of_their_own(monkeypatch):
    monkeypatch.setattr(continual, "stream", lambda *_: SOURCE)
    board, selecting, last = continual.make_studies(TINY, None)
    firsts = [x.settings["first_seed"] for x in (board, selecting, last)]
    assert len(set(firsts)) == 3
    assert min(np.diff(firsts)) >= max(continual.FULL.seeds, TINY.seeds)
    assert recipes.COMPOSED in selecting.methods
    assert recipes.COMPOSED in board.methods


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes.leaderboard())
def test_every_method_learns_by_the_example(name):
    task = continual.make_network_task(SOURCE[1], TINY.units)
    trainer = continual.trainer(name, task, SOURCE[1], Seeds(0, 5))
    like = trainer.like()
    after, row = jax.eval_shape(lambda x: trainer.epoch(x, 0), like)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
        lambda x: (x.shape, x.dtype), like
    )
    assert row["accuracy"].shape == (15,)


@pytest.mark.slow
def test_a_study_is_carried_out(tmp_path):
    names = ("sgd", "normalize-inputs", "adam+reset-dormant")
    study = continual.study(
        "tiny", "Numbers.", TINY, SOURCE, 7, names, ("sgd",), costs=True
    )
    found = carry_out(study, tmp_path, lambda *_: None)
    for row in found["methods"].values():
        assert len(row["scores"]) == 5
        assert set(continual.MEASURES.values()) <= set(row["measures"])
        assert row["cost"]["milliseconds"] > 0


@pytest.mark.skipif(
    not (RESULTS / "continual.json").exists(), reason="the results are not there"
)
def test_what_is_reported_is_the_best_of_those_tried():
    results = json.loads((RESULTS / "continual.json").read_text())
    tried = results["studies"]["recipes"]["methods"]
    means = {name: x["mean"] for name, x in tried.items()}
    assert tuple(means) == recipes.RECIPES
    for single, best in ((True, recipes.SINGLE), (False, recipes.COMPOSED)):
        kind = [name for name in means if recipes.is_single(name) == single]
        assert max(kind, key=means.__getitem__) == best
