import json
import os
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.writing import plain

CONFIG = {"dataset": "digits", "epochs": 3, "optimizers": ("neat",)}


def test_runs_are_numbered(tmp_path):
    first = RunFolder(str(tmp_path), None, CONFIG)
    second = RunFolder(str(tmp_path), None, CONFIG)
    assert [first.path.name, second.path.name] == ["digits-1", "digits-2"]


def test_a_finished_run_is_never_overwritten(tmp_path):
    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        assert not folder.finished
        folder.write("result.json", {"kept": True})
    with pytest.raises(
        ValueError,
        match=r"`name` must be .* got mine.* `epochs` 3, and 4 is ask",
    ):
        RunFolder(str(tmp_path), "mine", {**CONFIG, "epochs": 4})
    before = (folder.path / "config.json").stat().st_mtime_ns
    with RunFolder(str(tmp_path), "mine", {**CONFIG, "added": None}) as again:
        assert again.finished
    assert (folder.path / "config.json").stat().st_mtime_ns == before
    assert json.loads((folder.path / "result.json").read_text()) == {"kept": True}


def test_a_run_that_goes_on_keeps_the_time_of_its_first_start(tmp_path):
    for _ in range(2):
        with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
            file = folder.path / "config.json"
            before = file.stat().st_mtime
            os.utime(file, (1e9, 1e9))
    assert before == 1e9


def test_two_writers_never_hold_one_folder(tmp_path):
    first = RunFolder(str(tmp_path), "mine", CONFIG)
    with pytest.raises(ValueError, match=r"`name` must be .* nobody else .*mine"):
        RunFolder(str(tmp_path), "mine", CONFIG)
    first.close()
    RunFolder(str(tmp_path), "mine", CONFIG).close()


HOLD = """
import sys, time
from neat_optax.experiments.runs.files import RunFolder
folder = RunFolder(sys.argv[1], "mine", {"dataset": "wine"})
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(tmp_path):
    program = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ValueError, match="nobody else is writing to"):
            RunFolder(str(tmp_path), "mine", {"dataset": "wine"})
        other.kill()
    assert (tmp_path / "mine" / ".lock").exists()
    RunFolder(str(tmp_path), "mine", {"dataset": "wine"}).close()


def test_what_a_killed_first_write_leaves_is_ours(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".config.json.tmp").write_text("{")
    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        names = sorted(path.name for path in folder.path.iterdir())
    assert names == [".lock", "config.json"]


def test_an_unfinished_run_continues_only_with_the_same_options(tmp_path):
    RunFolder(str(tmp_path), "mine", CONFIG)
    RunFolder(str(tmp_path), "mine", CONFIG)
    with pytest.raises(
        ValueError, match=r"`epochs` must be 3 to continue .*mine, got 4"
    ):
        RunFolder(str(tmp_path), "mine", {**CONFIG, "epochs": 4})


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="folder in use, got mine"):
        RunFolder(str(tmp_path), "mine", CONFIG)


def test_a_run_of_another_command_is_refused(tmp_path):
    RunFolder(str(tmp_path), "trained", CONFIG)
    with pytest.raises(ValueError, match=r"same command, got trained: .* has no task"):
        RunFolder(str(tmp_path), "trained", {"task": "sum"})
    RunFolder(str(tmp_path), "evolved", {"task": "sum"})
    with pytest.raises(ValueError, match=r"same command, got .* has no dataset"):
        RunFolder(str(tmp_path), "evolved", CONFIG)


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    """Its options hold nothing of what was added since, such as pruning."""
    RunFolder(str(tmp_path), "mine", CONFIG)
    RunFolder(str(tmp_path), "mine", {**CONFIG, "prune": None})
    with pytest.raises(ValueError, match="`prune` must be None to continue"):
        RunFolder(str(tmp_path), "mine", {**CONFIG, "prune": ("cubic",)})


def test_plain_is_what_json_can_hold():
    value = {"a": jnp.ones(2), "b": (float("nan"), 1), "c": np.float32(2)}
    assert json.loads(json.dumps(plain(value))) == {
        "a": [1.0, 1.0],
        "b": [None, 1],
        "c": 2.0,
    }


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b", ".."])
def test_a_name_is_one_folder(name, tmp_path):
    with pytest.raises(ValueError, match="`name` must be the name of a folder, got"):
        RunFolder(str(tmp_path / "runs"), name, CONFIG)


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\xff", b"[]", b"[" * 99999])
def test_a_damaged_configuration_is_named(tmp_path, content):
    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        (folder.path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"`name` must be .*config\.json"):
        RunFolder(str(tmp_path), "mine", CONFIG)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied")

    told = r"`output` must be a folder that can be written to, got .*: Permission den"
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "mkdir", forbidden)
        for name in ("mine", None):
            with pytest.raises(ValueError, match=told):
                RunFolder(str(tmp_path), name, CONFIG)
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(ValueError, match=told):
        RunFolder(str(tmp_path), "mine", CONFIG)


def test_what_a_full_disk_cut_off_is_named_and_takes_no_room(tmp_path, monkeypatch):
    def full(self, _):
        self.touch()
        raise OSError(28, "No space left on device")

    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        begun = (folder.path / "config.json").read_text()
        monkeypatch.setattr(pathlib.Path, "write_text", full)
        with pytest.raises(OSError, match=r"No space left on device: .*config\.json"):
            folder.write("config.json", {})
    names = sorted(path.name for path in folder.path.iterdir())
    assert names == [".lock", "config.json"]
    assert (folder.path / "config.json").read_text() == begun
