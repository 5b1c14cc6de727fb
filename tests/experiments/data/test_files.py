import hashlib

import pytest

from neat_optax.experiments.data import files

NAMES = [("a.gz", "a"), ("b.gz", "b")]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "installed")
    monkeypatch.delenv(files.FOLDER_VARIABLE, raising=False)
    return tmp_path


def write(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())


def test_a_named_folder_comes_before_what_is_installed(place, monkeypatch):
    write(place / "installed" / "mnist", "a.gz", "b.gz")
    assert files.find("mnist", NAMES)[0] == place / "installed" / "mnist" / "a.gz"
    write(place / "own", "a", "b.gz")
    monkeypatch.setenv(files.FOLDER_VARIABLE, str(place / "own"))
    assert files.find("mnist", NAMES) == [place / "own" / "a", place / "own" / "b.gz"]
    write(place / "named" / "mnist", "a", "b")
    found = files.find("mnist", NAMES, place / "named")
    assert found == [place / "named" / "mnist" / x for x in ("a", "b")]


def test_a_folder_without_all_files_is_passed_over(place):
    write(place / "own", "a")
    write(place / "installed" / "mnist", "a", "b")
    found = files.find("mnist", NAMES, place / "own")
    assert {path.parent for path in found} == {place / "installed" / "mnist"}


def test_what_is_missing_is_named_with_where_to_get_it(place):
    write(place / "own", "a")
    with pytest.raises(ValueError) as said:
        files.find("mnist", NAMES, place / "own")
    text = str(said.value)
    assert f"got mnist without b.gz in {place / 'own'}: get it from https://" in text
    assert files.FOLDER_VARIABLE in text


def test_every_set_that_is_read_from_files_says_how_to_come_by_them():
    assert all(len(how.split()) > 3 for how in files.HOW.values())


def test_another_content_is_refused_by_its_sum(tmp_path):
    whole = hashlib.md5(b"whole").hexdigest()
    files.check(tmp_path / "x", b"whole", whole)
    files.check(tmp_path / "x", b"any", None)
    with pytest.raises(ValueError, match=rf"whole files, got .*x with .*{whole}"):
        files.check(tmp_path / "x", b"whose", whole)
