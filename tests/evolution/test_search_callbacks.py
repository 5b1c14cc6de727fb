"""What callbacks see, and that they can stop a search."""

import io
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from event_files import written
from neat_optax import evolution as evo
from search_runs import assert_same_history, run


def test_callbacks_see_state_and_history_between_chunks():
    seen = []

    def note(state, history):
        seen.append((int(state.generation), len(history["best"])))
        assert state.best_fitness == history["best_so_far"][-1]

    run(callbacks=note, chunk=3)
    assert seen == [(3, 3), (6, 6), (9, 9), (10, 10)]


def test_true_stops_and_all_callbacks_are_called():
    calls = []

    def stop(state, history):
        del history
        return bool(state.generation == 6)

    found = run(callbacks=[stop, lambda *_: calls.append(1)], chunk=3)
    assert found.stopped == "a callback asked for it"
    assert found.generations == 6
    assert len(calls) == 2
    whole = run(generations=6)
    assert_same_history(found.history, whole.history)


def test_context_managers_are_entered_and_left_also_after_an_error():
    class Listener:
        def __init__(self, fails):
            self.log, self.fails = [], fails

        def __enter__(self):
            self.log.append("in")

        def __exit__(self, *error):
            self.log.append("out")

        def __call__(self, *_):
            self.log.append("called")
            if self.fails:
                raise OSError

    calm, failing = Listener(False), Listener(True)
    run(callbacks=[calm])
    assert calm.log == ["in", "called", "out"]
    with pytest.raises(OSError):
        run(callbacks=[failing])
    assert failing.log == ["in", "called", "out"]


@pytest.mark.parametrize("kind", [bool, np.bool_, jnp.asarray, int])
def test_whatever_is_true_stops(kind):
    found = run(callbacks=lambda state, _: kind(state.generation >= 2), chunk=3)
    assert (found.generations, found.stopped) == (3, "a callback asked for it")


def test_progress_bar_shows_generation_and_best():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    found = run(callbacks=[evo.ProgressBar(10, console)], chunk=3)
    text = console.file.getvalue()
    assert "10/10" in text
    assert f"best fitness {found.best_fitness:.6g}" in text


def test_progress_bar_needs_no_number():
    with evo.ProgressBar(console=Console(file=io.StringIO())) as bar:
        bar(run(generations=0).state, {})


def test_tensorboard_gets_every_generation_once(tmp_path):
    board = evo.TensorBoard(tmp_path, prefix="ga/")
    history = run(callbacks=[board], chunk=3).history
    events = written(next(tmp_path.iterdir()))
    assert set(events) == {f"ga/{name}" for name in history if name != "generation"}
    for name in ("best", "failed"):
        steps, values = zip(*events[f"ga/{name}"], strict=True)
        assert steps == tuple(range(10))
        np.testing.assert_allclose(values, history[name], rtol=1e-6)


@pytest.mark.parametrize(
    ("module", "build"),
    [
        ("rich.progress", lambda path: evo.ProgressBar(3)),  # noqa: ARG005
        ("tensorboardX", lambda path: evo.TensorBoard(path)),
    ],
)
def test_the_extra_is_named(module, build, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"neat-optax\[train\]"):
        build(tmp_path)
