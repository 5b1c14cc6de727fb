import json
import subprocess

import jax
import pytest

from neat_optax.experiments.runs import provenance
from neat_optax.experiments.runs.files import RunFolder

CONFIG = {"dataset": "digits", "epochs": 3, "optimizers": ("neat",)}


def read(folder):
    return json.loads((folder.path / "environment.json").read_text())


def test_each_start_of_a_run_is_noted(tmp_path):
    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        provenance.note(folder, ["train", "--output", "a b"])
        provenance.note(folder, ["train", "--resume", "mine"])
    first, second = read(folder)
    assert first["command"] == "neat-optax train --output 'a b'"
    assert second["command"] == "neat-optax train --resume mine"
    assert first["jax"] == jax.__version__
    assert first["devices"] == jax.device_count()
    known = {"python", "jaxlib", "optax", "flax", "neat_optax", "platform", "device"}
    assert known < set(first)
    assert first["started"].endswith("+00:00")


def test_a_run_that_goes_on_with_other_versions_is_told(tmp_path):
    with RunFolder(str(tmp_path), "mine", CONFIG) as folder:
        provenance.note(folder, ["train"])
        begun = read(folder)
        folder.write("environment.json", [begun[0] | {"jax": "0.1"}])
        told = f"differ .* not stopped: jax 0.1 before, {jax.__version__} now$"
        with pytest.warns(UserWarning, match=told):
            provenance.note(folder, ["train"])
        folder.write("environment.json", {})
        with pytest.raises(ValueError, match=r"`name` .*environment\.json.* no list"):
            provenance.note(folder, ["train"])


def test_the_revision_is_that_of_the_folder(tmp_path):
    assert provenance.git_revision(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x"]
    file = tmp_path / "file"
    file.write_text("one")
    for arguments in ("init -q", "add file", "commit -q -m one"):
        subprocess.run([*git, *arguments.split()], check=True)
    found = provenance.git_revision(tmp_path)
    assert len(found["revision"]) == 40
    assert not found["dirty"]
    file.write_text("two")
    assert provenance.git_revision(tmp_path) == found | {"dirty": True}


def test_without_git_there_is_no_revision(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_revision(tmp_path) is None
