"""What is damaged is named, and the checkpoint before it serves."""

import shutil

import pytest

from search_checkpoints import OPTIONS, names, whole
from search_runs import assert_same, assert_same_history, run


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The folder of a search with two checkpoints."""
    folder = tmp_path_factory.mktemp("saved")
    run(**{**OPTIONS, "generations": 4}, checkpoint=folder)
    return folder


def damage(folder, pattern, how):
    (file, *_) = sorted(folder.glob(pattern))
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    else:
        cut = content[: len(content) // 2]
        file.write_bytes(cut if how == "cut" else bytes(b ^ 0x55 for b in content))
    return file


DAMAGES = [
    ("state/manifest.ocdbt", "cut"),
    pytest.param("state/d/*", "gone", marks=pytest.mark.slow),
    pytest.param("state/_METADATA", "cut", marks=pytest.mark.slow),
    ("state/array_metadatas/*", "cut"),
    ("history/d/*", "flipped"),
    pytest.param("history/_METADATA", "gone", marks=pytest.mark.slow),
    ("names/metadata", "flipped"),
]


@pytest.mark.fast("state/manifest.ocdbt-cut")
@pytest.mark.parametrize(("pattern", "how"), DAMAGES)
def test_the_checkpoint_before_a_damaged_one_serves(saved, tmp_path, pattern, how):
    folder = tmp_path / "search"
    shutil.copytree(saved, folder)
    damage(folder, f"generation_4/{pattern}", how)
    told = (
        "generation_4 is damaged, generation_2 serves .* generation_4.damaged-1 keeps"
    )
    begun = []
    with pytest.warns(UserWarning, match=f"{folder}/{told}"):
        resumed = run(
            **OPTIONS,
            callbacks=lambda state, _: begun.append(int(state.generation)),
            checkpoint=folder,
        )
    assert begun == [4, 6]
    assert_same(resumed.state, whole().state)
    assert_same_history(resumed.history, whole().history)
    assert names(folder) == [
        ".lock",
        "generation_4",
        "generation_4.damaged-1",
        "generation_6",
        "search.json",
    ]
    assert_same(run(**OPTIONS, checkpoint=folder).state, whole().state)


def test_damage_without_a_checkpoint_before_it_is_named(saved, tmp_path):
    folder = tmp_path / "search"
    shutil.copytree(saved, folder)
    for number in (2, 4):
        damage(folder, f"generation_{number}/state/manifest.ocdbt", "cut")
    before = names(folder)
    named = "`checkpoint` must be .* can be read, got .*/generation_2, which is damaged"
    with pytest.raises(ValueError, match=named):
        run(**OPTIONS, checkpoint=folder)
    assert names(folder) == before


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\xff", b"[1]"])
def test_a_damaged_search_is_named(saved, tmp_path, content):
    shutil.copytree(saved, tmp_path / "search")
    (tmp_path / "search" / "search.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"`checkpoint` must be .*search\.json"):
        run(**OPTIONS, checkpoint=tmp_path / "search")
