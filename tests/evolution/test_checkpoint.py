"""A search that was cut off goes on as if it had not been."""

import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from neat_optax import evolution as evo
from search_runs import CHAIN, assert_same, assert_same_history, run


def noisy(params, key):
    import jax

    return -jnp.sum((params["w"] - 2) ** 2) + 0.1 * jax.random.normal(key)


OPTIONS = {"evaluate": noisy, "breeder": CHAIN, "evaluation_key": "own", "chunk": 2}


def test_resumed_is_uninterrupted(tmp_path):
    whole = run(**OPTIONS, return_best=3)
    run(**OPTIONS, return_best=3, generations=4, checkpoint=tmp_path / "a")
    resumed = run(**OPTIONS, return_best=3, checkpoint=tmp_path / "a")
    assert_same(resumed.state, whole.state)
    assert_same_history(resumed.history, whole.history)
    again = run(**OPTIONS, return_best=3, checkpoint=str(tmp_path / "a"))
    assert_same(again.state, whole.state)
    assert_same_history(again.history, whole.history)


def test_a_crash_between_chunks_and_leftovers_of_a_save(tmp_path):
    def crash(state, history):
        del history
        if state.generation == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(**OPTIONS, callbacks=crash, checkpoint=tmp_path)
    # A state without its history is not complete, nor is one half written.
    shutil.copytree(tmp_path / "6", tmp_path / "8")
    shutil.copytree(tmp_path / "6", tmp_path / "9.orbax-checkpoint-tmp")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["6", "6.npz", "8", "9.orbax-checkpoint-tmp", "search.json"]
    numbers = []
    resumed = run(
        **OPTIONS,
        callbacks=lambda state, _: numbers.append(int(state.generation)),
        checkpoint=tmp_path,
    )
    assert numbers == [8, 10]
    assert_same(resumed.state, run(**OPTIONS).state)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["10", "10.npz", "search.json"]


def test_resuming_deletes_nothing_of_the_users(tmp_path):
    """Folders of any name stay, and so do files whose endings are those of a save."""
    run(**OPTIONS, generations=4, checkpoint=tmp_path)
    for name in ("figures", "2024", "4.backup"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    files = [tmp_path / name for name in ("notes.npz", "7.npz")]
    for file in files:
        file.write_text("mine")
    resumed = run(**OPTIONS, checkpoint=tmp_path)
    assert int(resumed.state.generation) == 10
    for name in ("figures", "2024", "4.backup"):
        assert (tmp_path / name / "mine.txt").read_text() == "mine"
    assert [file.read_text() for file in files] == ["mine"] * 2


def test_a_crash_while_the_folder_is_claimed(tmp_path):
    (tmp_path / ".search.tmp").write_text("{")
    run(**OPTIONS, generations=2, checkpoint=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["2", "2.npz", "search.json"]


def test_another_search_is_not_overwritten(tmp_path):
    run(**OPTIONS, generations=2, checkpoint=tmp_path / "a")
    before = sorted(path.name for path in (tmp_path / "a").rglob("*"))
    others = {
        "key": {"key": 1},
        "population": {"population_size": 12},
        "return_best": {"return_best": 2},
    }
    for name, other in others.items():
        with pytest.raises(ValueError, match=f"`checkpoint` .* another {name}"):
            run(**OPTIONS, **other, checkpoint=tmp_path / "a")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="must not be a folder in use"):
        run(**OPTIONS, checkpoint=tmp_path / "used")
    assert sorted(path.name for path in (tmp_path / "a").rglob("*")) == before
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["thesis.tex"]


def test_modules_and_python_resume_too(tmp_path):
    model = nnx.Sequential(*[nnx.Linear(2, 2, rngs=nnx.Rngs(i)) for i in range(2)])
    breeder = evo.breeder(evo.truncation(2))
    evaluate = evo.outside_jax(lambda m: -float(jnp.sum(m(jnp.ones(2)) ** 2)))

    def go(generations, **options):
        return evo.search(
            0,
            model,
            evaluate,
            breeder,
            generations=generations,
            population_size=4,
            chunk=1,
            **options,
        )

    go(2, checkpoint=tmp_path)
    resumed = go(4, checkpoint=tmp_path)
    whole = go(4)
    assert_same(resumed.state, whole.state)
    np.testing.assert_array_equal(
        resumed.model()(jnp.ones(2)), whole.model()(jnp.ones(2))
    )


def test_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(ImportError, match=r"neat-optax\[train\]"):
        run(checkpoint=tmp_path)


def test_a_breeder_with_another_state(tmp_path):
    run(**OPTIONS, generations=2, checkpoint=tmp_path)
    other = {**OPTIONS, "breeder": evo.breeder()}
    with pytest.raises(ValueError, match=r"`checkpoint` must .* another state"):
        run(**other, checkpoint=tmp_path)
