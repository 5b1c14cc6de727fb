import json
import pathlib

import jax
import numpy as np
import pytest

from neat_optax.experiments.benchmarks import continual
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
    names = continual.leaderboard()
    assert names[:4] == continual.CONTROLS
    assert len(set(names)) == len(names)
    assert set(PARTS) - set(names) == {"decay", *continual.LEFT_OUT}


def test_a_name_says_the_parts_and_what_they_stand_around():
    recipe = continual.method("adam+l2+upgd")
    assert recipe.parts == (PARTS["l2"], PARTS["upgd"])
    assert recipe.rates == continual.ADAM_RATES
    assert continual.method("adamo").parts == (PARTS["adamo"],)
    assert continual.method("sgd") == continual.method("l2")._replace(parts=())
    assert continual.method("upgd").rates == continual.GATED_RATES


def test_an_ablation_leaves_out_one_part_at_a_time():
    assert continual.ablation("adam+l2+fire") == (
        "adam+l2+fire",
        "l2+fire",
        "adam+fire",
        "adam+l2",
    )


def test_studies_have_seeds_of_their_own(monkeypatch):
    monkeypatch.setattr(continual, "stream", lambda *_: SOURCE)
    board, recipes, ablation = continual.make_studies(TINY, None)
    firsts = [x.settings["first_seed"] for x in (board, recipes, ablation)]
    assert len(set(firsts)) == 3
    assert min(np.diff(firsts)) >= max(continual.FULL.seeds, TINY.seeds)
    assert continual.COMPOSED in recipes.methods
    assert continual.COMPOSED in board.methods


@pytest.mark.slow
@pytest.mark.parametrize("name", continual.leaderboard())
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
def test_the_recipe_is_the_best_of_those_tried():
    recipes = json.loads((RESULTS / "continual.json").read_text())["studies"]["recipes"]
    means = {name: x["mean"] for name, x in recipes["methods"].items()}
    assert max(means, key=means.get) == continual.COMPOSED
    assert tuple(means) == continual.RECIPES
