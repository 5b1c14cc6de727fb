import os
import shutil
from collections import namedtuple

import numpy as np
import orbax.checkpoint as ocp
import pytest

from neat_optax.experiments.runs.checkpoints import Keep, Writer
from neat_optax.experiments.runs.files import RunFolder

CONFIG = {"dataset": "digits", "epochs": 3, "optimizers": ("neat",)}


def save(folder, *checkpoint):
    folder.save(*checkpoint)
    folder.wait()


def test_the_last_complete_checkpoint_comes_back(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32), "step": np.zeros((), np.int32)}
    assert folder.restore("neat", like) == (0, like, [])
    for epoch in (5, 10):
        state = {"w": np.full(3, epoch, np.float32), "step": np.array(epoch, np.int32)}
        save(folder, "neat", epoch, state, [{"loss": epoch}])
    folder.close()
    epoch, state, rows = RunFolder(str(tmp_path), "mine", CONFIG).restore("neat", like)
    assert (epoch, rows) == (10, [{"loss": 10}])
    np.testing.assert_array_equal(state["w"], [10.0, 10.0, 10.0])
    assert state["step"].dtype == np.int32


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    for epoch in (5, 10, 15):
        save(folder, "neat", epoch, {"w": np.full(3, epoch)}, [{}] * epoch)
    checkpoints = folder.path / "checkpoints" / "neat"
    names = sorted(path.name for path in checkpoints.iterdir())
    assert names == ["epoch_10", "epoch_15"]


def test_as_many_are_kept_as_are_asked_for_and_the_best(tmp_path):
    """The score is that of the best rate: the mean over its seeds."""
    scores = [[[0.1, 0.1]], [[0.5, 0.9]], [[0.8, 0.5]], [[0.2, 0.2]], [[0.3, 0.3]]]
    rows = [{"validation_accuracy": [*score, [0.0, 0.1]]} for score in scores]
    kept = {}
    for keep in (Keep(3), Keep(1, best=True)):
        with RunFolder(str(tmp_path), str(keep), CONFIG, keep) as folder:
            for epoch in range(1, 6):
                folder.save("neat", epoch, {"w": np.full(3, epoch)}, rows[:epoch])
        found = (folder.path / "checkpoints" / "neat").iterdir()
        kept[keep] = sorted(path.name for path in found)
    assert kept == {
        Keep(3): ["epoch_3", "epoch_4", "epoch_5"],
        Keep(1, best=True): ["epoch_2", "epoch_5"],
    }


def test_what_is_saved_is_what_was_there_when_it_was_begun(tmp_path):
    """Training goes on in the same buffers."""
    weights = np.zeros(10**6, np.float32)
    like = {"w": np.zeros(10**6, np.float32)}
    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        rows = [{"loss": 1}]
        folder.save("neat", 1, {"w": weights}, rows)
        weights += 1
        rows.append({"loss": 2})
        folder.wait()
        _, state, found = folder.restore("neat", like)
    assert not np.any(state["w"])
    assert found == [{"loss": 1}]


def test_a_full_disk_is_seen_before_a_checkpoint_is_begun(tmp_path, monkeypatch):
    full = namedtuple("Usage", "free")(2**20 + 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        with pytest.raises(OSError, match=r"No space left on device: .*neat"):
            folder.save("neat", 1, {"w": np.zeros(1, np.float32)}, [])
        assert not list((folder.path / "checkpoints" / "neat").iterdir())


def test_a_checkpoint_that_could_not_be_written_is_an_error_of_the_disk(
    tmp_path, monkeypatch
):
    def full(_):
        raise ValueError("RESOURCE_EXHAUSTED: 3 bytes: No space left on device [28]")

    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        folder.save("neat", 1, {"w": np.zeros(1, np.float32)}, [])
        with monkeypatch.context() as patch:
            patch.setattr(Writer, "wait", full)
            with pytest.raises(OSError, match=r"No space left on device: .*neat"):
                folder.wait()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_any_file_may_be_cut(tmp_path):
    """Either the checkpoint before serves, or nothing is lost."""
    like = {"w": np.zeros(3, np.float32), "step": np.zeros((), np.int32)}
    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        for epoch in (5, 10):
            state = {"w": np.full(3, epoch, np.float32), "step": np.int32(epoch)}
            save(folder, "neat", epoch, state, [{"loss": 0.5}] * epoch)
    last = folder.path / "checkpoints" / "neat" / "epoch_10"
    files = [path for path in last.rglob("*") if path.is_file()]
    served = {}
    for file in files:
        for size in {0, file.stat().st_size // 2}:
            copy = tmp_path / "copy"
            shutil.copytree(tmp_path / "mine", copy)
            os.truncate(copy / file.relative_to(tmp_path / "mine"), size)
            with RunFolder(str(tmp_path), "copy", CONFIG) as cut:
                epoch, state, rows = cut.restore("neat", like)
            assert (len(rows), int(state["step"])) == (epoch, epoch)
            np.testing.assert_array_equal(state["w"], np.full(3, epoch, np.float32))
            served[file.relative_to(last), size] = epoch
            shutil.rmtree(copy)
    assert len(files) > 5
    assert 5 in served.values()


DAMAGES = ("state/manifest.ocdbt", "state/_METADATA", "rows/metadata")


@pytest.mark.parametrize("file", DAMAGES)
def test_the_checkpoint_before_a_damaged_one_serves(tmp_path, file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(".", "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    for epoch in (5, 10):
        save(folder, "neat", epoch, {"w": np.full(3, epoch, np.float32)}, [{}] * epoch)
    checkpoints = folder.path / "checkpoints" / "neat"
    damaged = checkpoints / "epoch_10" / file
    damaged.write_bytes(damaged.read_bytes()[:5])
    told = "epoch_10 is damaged, epoch_5 serves instead, and epoch_10.damaged-1 keeps"
    with pytest.warns(UserWarning, match=f"{checkpoints}/{told}"):
        epoch, state, rows = folder.restore("neat", like)
    assert (epoch, len(rows)) == (5, 5)
    np.testing.assert_array_equal(state["w"], [5.0, 5.0, 5.0])
    save(folder, "neat", 10, like, [{}] * 10)
    assert folder.restore("neat", like)[0] == 10
    assert (checkpoints / "epoch_10.damaged-1" / file).exists()


def test_a_damaged_checkpoint_without_one_before_it_is_named(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    save(folder, "neat", 5, like, [{}])
    damaged = folder.path / "checkpoints" / "neat" / "epoch_5"
    (damaged / "rows" / "metadata").write_text('{"rows"')
    with pytest.raises(ValueError, match=r"`name` .* got .*epoch_5, which is damaged"):
        folder.restore("neat", like)
    assert damaged.exists()


def test_a_checkpoint_of_something_else_is_not_damaged(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    save(folder, "neat", 5, {"w": np.zeros(3, np.float32)}, [{}])
    with pytest.raises(ValueError, match=r"`name` .* hold something else"):
        folder.restore("neat", {"other": np.zeros(4, np.float32)})


def test_a_save_that_was_cut_off_can_be_made_again(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    save(folder, "neat", 10, like, [{}])
    checkpoints = folder.path / "checkpoints" / "neat"
    shutil.copytree(
        checkpoints / "epoch_10", checkpoints / "epoch_15.orbax-checkpoint-tmp-1"
    )
    assert folder.restore("neat", like)[0] == 10
    save(folder, "neat", 15, like, [{}])
    assert folder.restore("neat", like)[0] == 15
    names = sorted(path.name for path in checkpoints.iterdir())
    assert names == ["epoch_10", "epoch_15"]


def test_resuming_deletes_nothing_of_the_users(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    save(folder, "neat", 5, like, [{}])
    checkpoints = folder.path / "checkpoints" / "neat"
    files = [checkpoints / name for name in ("notes.json", "7.json", "epoch_9.txt")]
    for file in files:
        file.write_text("mine")
    folders = [checkpoints / name for name in ("figures", "2024", "7", "epoch_x")]
    for path in folders:
        path.mkdir()
        (path / "mine.txt").write_text("mine")
    assert folder.restore("neat", like)[0] == 5
    save(folder, "neat", 10, like, [{}])
    assert folder.restore("neat", like)[0] == 10
    assert [file.read_text() for file in files] == ["mine"] * 3
    assert [(path / "mine.txt").read_text() for path in folders] == ["mine"] * 4


def test_a_folder_of_the_users_is_no_checkpoint(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    save(folder, "neat", 5, like, [{}])
    own = folder.path / "checkpoints" / "neat" / "epoch_7"
    own.mkdir()
    for call in (folder.restore, lambda *_: save(folder, "neat", 10, like, [])):
        with pytest.raises(ValueError, match=r"checkpoints of its own, got .*epoch_7"):
            call("neat", like)
    assert own.exists()


def test_a_run_of_an_earlier_version_is_refused_by_name(tmp_path):
    """Its checkpoints were folders of numbers, each with a file of rows."""
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    old = folder.path / "checkpoints" / "neat" / "5"
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(old, {"w": np.zeros(3, np.float32)})
    old.with_suffix(".json").write_text("[{}]")
    with pytest.raises(ValueError, match=r"of this version, got .*mine.*neat, which"):
        folder.restore("neat", {"w": np.zeros(3, np.float32)})
    assert old.exists()


def test_checkpoints_of_prunings_have_no_colon(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    save(folder, "cubic:0.9", 5, {"w": np.ones(3, np.float32)}, [{}])
    assert (folder.path / "checkpoints" / "cubic-0.9" / "epoch_5").exists()
    assert folder.restore("cubic:0.9", {"w": np.zeros(3, np.float32)})[0] == 5
