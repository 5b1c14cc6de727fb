"""A search that was cut off goes on as if it had not been."""

import functools
import json
import shutil
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from neat_optax import evolution as evo
from search_checkpoints import OPTIONS, names, whole
from search_runs import NEARBY, PARAMS, assert_same, assert_same_history, run


def test_resumed_is_uninterrupted(tmp_path):
    run(**{**OPTIONS, "generations": 4}, checkpoint=tmp_path / "a")
    for folder in (tmp_path / "a", str(tmp_path / "a")):  # the second is over
        resumed = run(**OPTIONS, checkpoint=folder)
        assert_same(resumed.state, whole().state)
        assert_same_history(resumed.history, whole().history)


def test_a_crash_between_chunks_and_leftovers_of_a_save(tmp_path):
    def crash(state, history):
        del history
        if state.generation == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(**OPTIONS, callbacks=crash, checkpoint=tmp_path)
    # One generation that was deleted in part, and one that was written in part.
    (tmp_path / "generation_2" / "_CHECKPOINT_METADATA").unlink()
    cut_off = tmp_path / "generation_9.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "generation_4", cut_off)
    numbers = []
    resumed = run(
        **OPTIONS,
        callbacks=lambda state, _: numbers.append(int(state.generation)),
        checkpoint=tmp_path,
    )
    assert numbers == [6]
    assert_same(resumed.state, whole().state)
    assert names(tmp_path) == [".lock", "generation_4", "generation_6", "search.json"]


def test_resuming_deletes_nothing_of_the_users(tmp_path):
    """Folders of any name stay, and so do files with names close to ours."""
    run(**{**OPTIONS, "generations": 4}, checkpoint=tmp_path)
    folders = (
        "figures",
        "2024",
        "4.backup",
        "generation_4.backup",
        "generation_notes",
        "9.orbax-checkpoint-tmp",
    )
    for name in folders:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    files = [tmp_path / name for name in ("notes.npz", "7.npz", "generation.txt")]
    for file in files:
        file.write_text("mine")
    resumed = run(**OPTIONS, checkpoint=tmp_path)
    assert int(resumed.state.generation) == 6
    for name in folders:
        assert (tmp_path / name / "mine.txt").read_text() == "mine"
    assert [file.read_text() for file in files] == ["mine"] * 3


@pytest.mark.parametrize("name", ["generation_3", "generation_30"])
def test_what_has_the_name_of_a_generation_is_neither_read_nor_deleted(tmp_path, name):
    run(**{**OPTIONS, "generations": 2}, checkpoint=tmp_path)
    mine = tmp_path / name / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(ValueError, match=f"must not hold files of yours in {name}"):
        run(**OPTIONS, checkpoint=tmp_path)
    assert mine.read_text() == "mine"


def test_two_searches_do_not_write_to_one_folder(tmp_path):
    folder = tmp_path / "search"
    refused = []

    def second(state, history):
        del state, history
        with pytest.raises(ValueError, match=r"`checkpoint` must .* nobody else") as no:
            run(**OPTIONS, checkpoint=folder)
        refused.append(str(no.value))

    assert_same(
        run(**OPTIONS, callbacks=second, checkpoint=folder).state, whole().state
    )
    assert len(refused) == 3  # after each chunk
    assert all(str(folder) in error for error in refused)


@pytest.mark.fast("error1")
@pytest.mark.parametrize("error", [OSError("no simulator"), KeyboardInterrupt()])
def test_what_is_over_when_a_function_raises_is_saved(tmp_path, error):
    calls, begun = [], []

    def fitness(params):
        calls.append(1)
        if len(calls) == 8 + 6 + 6 + 3:  # two are elites, whose scores are known
            raise error
        return -float(np.sum(params["w"] ** 2))

    def go(**more):
        evaluate = evo.outside_jax(fitness)
        options = {"chunk": 5, "generations": 4, "breeder": NEARBY, **more}
        return run(evaluate, **options)

    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        go(checkpoint=tmp_path)
    assert names(tmp_path) == [".lock", "generation_3", "scores.json", "search.json"]
    calls.clear()
    found = go(
        checkpoint=tmp_path,
        chunk=2,
        generations=6,
        callbacks=lambda state, _: begun.append(int(state.generation)),
    )
    assert begun == [5, 6]
    assert len(calls) == 6 - 2 + 6 + 6
    assert names(tmp_path) == [".lock", "generation_5", "generation_6", "search.json"]
    calls.extend([1] * 100)
    whole = go(generations=6)
    assert_same(found.state, whole.state)
    assert_same_history(found.history, whole.history)


def test_a_crash_while_the_folder_is_claimed(tmp_path):
    (tmp_path / ".search.tmp").write_text("{")
    run(**{**OPTIONS, "generations": 2}, checkpoint=tmp_path)
    assert names(tmp_path) == [".lock", "generation_2", "search.json"]


def test_another_search_is_not_overwritten(tmp_path):
    run(**{**OPTIONS, "generations": 2}, checkpoint=tmp_path / "a")
    before = sorted(path.name for path in (tmp_path / "a").rglob("*"))
    others = {
        "key": {"key": 1},
        "population": {
            "population_size": {
                name: np.zeros((12, *np.shape(x)), np.asarray(x).dtype)
                for name, x in PARAMS.items()
            }
        },
        "return_best": {"return_best": 2},
    }
    for name, other in others.items():
        with pytest.raises(ValueError, match=f"`checkpoint` .* another {name}"):
            run(**OPTIONS, **other, checkpoint=tmp_path / "a")
    with pytest.raises(ValueError, match=r"`checkpoint` must .* another state"):
        run(**{**OPTIONS, "breeder": NEARBY}, checkpoint=tmp_path / "a")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="must not be a folder in use"):
        run(**OPTIONS, checkpoint=tmp_path / "used")
    assert sorted(path.name for path in (tmp_path / "a").rglob("*")) == before
    assert names(tmp_path / "used") == ["thesis.tex"]


def test_a_folder_of_an_earlier_version_is_refused(tmp_path):
    """Its states stood beside their histories: 4/ and 4.npz."""
    key = jax.random.key_data(jax.random.key(0)).tolist()
    (tmp_path / "search.json").write_text(json.dumps({"key": key, "return_best": 3}))
    (tmp_path / "4").mkdir()
    (tmp_path / "4.npz").write_text("history")
    with pytest.raises(ValueError, match="must be a folder of this version"):
        run(**OPTIONS, checkpoint=tmp_path)
    assert names(tmp_path) == [".lock", "4", "4.npz", "search.json"]


@pytest.mark.slow
def test_modules_and_python_resume_too(tmp_path):
    model = nnx.Sequential(*[nnx.Linear(2, 2, rngs=nnx.Rngs(i)) for i in range(2)])
    x = np.ones(2, np.float32)
    evaluate = evo.outside_jax(lambda m: -float(jnp.sum(m(x) ** 2)))
    rng = np.random.default_rng(0)
    population = jax.tree.map(
        lambda w: rng.normal(size=(4, *w.shape)).astype(w.dtype), evo.weights(model)
    )
    options = {"population_size": population, "chunk": 1, "return_best": 1}
    go = functools.partial(run, evaluate, NEARBY, model, **options)

    go(generations=1, checkpoint=tmp_path)
    resumed = go(generations=2, checkpoint=tmp_path)
    whole = go(generations=2)
    assert_same(resumed.state, whole.state)
    np.testing.assert_array_equal(resumed.model()(x), whole.model()(x))


def test_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match=r"neat-optax\[train\]"):
        run(checkpoint=tmp_path)
