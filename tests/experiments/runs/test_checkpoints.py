import shutil

import numpy as np
import orbax.checkpoint as ocp
import pytest

from neat_optax.experiments.runs.files import RunFolder

CONFIG = {"dataset": "digits", "epochs": 3, "optimizers": ("neat",)}


def test_the_last_complete_checkpoint_comes_back(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32), "step": np.zeros((), np.int32)}
    assert folder.restore("neat", like) == (0, like, [])
    for epoch in (5, 10):
        state = {"w": np.full(3, epoch, np.float32), "step": np.array(epoch, np.int32)}
        folder.save("neat", epoch, state, [{"loss": epoch}])
    folder.close()
    epoch, state, rows = RunFolder(str(tmp_path), "mine", CONFIG).restore("neat", like)
    assert (epoch, rows) == (10, [{"loss": 10}])
    np.testing.assert_array_equal(state["w"], [10.0, 10.0, 10.0])
    assert state["step"].dtype == np.int32


def test_only_the_last_two_checkpoints_are_kept(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    for epoch in (5, 10, 15):
        folder.save("neat", epoch, {"w": np.full(3, epoch)}, [{}] * epoch)
    checkpoints = folder.path / "checkpoints" / "neat"
    names = sorted(path.name for path in checkpoints.iterdir())
    assert names == ["epoch_10", "epoch_15"]


DAMAGES = ("state/manifest.ocdbt", "state/_METADATA", "rows/metadata")


@pytest.mark.parametrize("file", DAMAGES)
def test_the_checkpoint_before_a_damaged_one_serves(tmp_path, file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = RunFolder(".", "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    for epoch in (5, 10):
        folder.save("neat", epoch, {"w": np.full(3, epoch, np.float32)}, [{}] * epoch)
    checkpoints = folder.path / "checkpoints" / "neat"
    damaged = checkpoints / "epoch_10" / file
    damaged.write_bytes(damaged.read_bytes()[:5])
    told = "epoch_10 is damaged, epoch_5 serves instead, and epoch_10.damaged-1 keeps"
    with pytest.warns(UserWarning, match=f"{checkpoints}/{told}"):
        epoch, state, rows = folder.restore("neat", like)
    assert (epoch, len(rows)) == (5, 5)
    np.testing.assert_array_equal(state["w"], [5.0, 5.0, 5.0])
    folder.save("neat", 10, like, [{}] * 10)
    assert folder.restore("neat", like)[0] == 10
    assert (checkpoints / "epoch_10.damaged-1" / file).exists()


def test_a_damaged_checkpoint_without_one_before_it_is_named(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    folder.save("neat", 5, like, [{}])
    damaged = folder.path / "checkpoints" / "neat" / "epoch_5"
    (damaged / "rows" / "metadata").write_text('{"rows"')
    with pytest.raises(ValueError, match=r"`name` .* got .*epoch_5, which is damaged"):
        folder.restore("neat", like)
    assert damaged.exists()


def test_a_checkpoint_of_something_else_is_not_damaged(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    folder.save("neat", 5, {"w": np.zeros(3, np.float32)}, [{}])
    with pytest.raises(ValueError, match=r"`name` .* hold something else"):
        folder.restore("neat", {"other": np.zeros(4, np.float32)})


def test_a_save_that_was_cut_off_can_be_made_again(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    folder.save("neat", 10, like, [{}])
    checkpoints = folder.path / "checkpoints" / "neat"
    shutil.copytree(
        checkpoints / "epoch_10", checkpoints / "epoch_15.orbax-checkpoint-tmp-1"
    )
    assert folder.restore("neat", like)[0] == 10
    folder.save("neat", 15, like, [{}])
    assert folder.restore("neat", like)[0] == 15
    names = sorted(path.name for path in checkpoints.iterdir())
    assert names == ["epoch_10", "epoch_15"]


def test_resuming_deletes_nothing_of_the_users(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    folder.save("neat", 5, like, [{}])
    checkpoints = folder.path / "checkpoints" / "neat"
    files = [checkpoints / name for name in ("notes.json", "7.json", "epoch_9.txt")]
    for file in files:
        file.write_text("mine")
    folders = [checkpoints / name for name in ("figures", "2024", "7", "epoch_x")]
    for path in folders:
        path.mkdir()
        (path / "mine.txt").write_text("mine")
    assert folder.restore("neat", like)[0] == 5
    folder.save("neat", 10, like, [{}])
    assert folder.restore("neat", like)[0] == 10
    assert [file.read_text() for file in files] == ["mine"] * 3
    assert [(path / "mine.txt").read_text() for path in folders] == ["mine"] * 4


def test_a_folder_of_the_users_is_no_checkpoint(tmp_path):
    folder = RunFolder(str(tmp_path), "mine", CONFIG)
    like = {"w": np.zeros(3, np.float32)}
    folder.save("neat", 5, like, [{}])
    own = folder.path / "checkpoints" / "neat" / "epoch_7"
    own.mkdir()
    for call in (folder.restore, lambda *_: folder.save("neat", 10, like, [])):
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
    folder.save("cubic:0.9", 5, {"w": np.ones(3, np.float32)}, [{}])
    assert (folder.path / "checkpoints" / "cubic-0.9" / "epoch_5").exists()
    assert folder.restore("cubic:0.9", {"w": np.zeros(3, np.float32)})[0] == 5
