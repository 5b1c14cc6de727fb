"""What a run was made with, for whoever wants to repeat it."""

import datetime
import importlib.metadata
import pathlib
import platform
import shlex
import subprocess
import warnings
from collections.abc import Sequence
from typing import Any

import jax

from neat_optax._damage import read_json
from neat_optax.experiments.runs.checkpoints import OPTION
from neat_optax.experiments.runs.files import RunFolder

ENVIRONMENT = "environment.json"
_PACKAGES = ("neat-optax", "jax", "jaxlib", "optax", "flax", "orbax-checkpoint")
_PATIENCE = 5.0


def note(folder: RunFolder, arguments: Sequence[str]) -> None:
    """Adds this start of a run to `environment.json`, a list with one entry for each.

    Warns where versions or devices are others than at the start before.

    Args:
      folder: of the run.
      arguments: the command line, without its program.
    """
    file = folder.path / ENVIRONMENT
    starts = read_json(file, OPTION) if file.exists() else []
    if not isinstance(starts, list):
        raise ValueError(
            f"`{OPTION}` must be one with readable files, got {file}, which holds no "
            "list."
        )
    now = environment()
    changed = _changed(starts[-1], now) if starts else ""
    if changed:
        warnings.warn(
            f"{folder.path} goes on elsewhere than it began, and its numbers may "
            f"differ from those of a run that was not stopped: {changed}",
            stacklevel=2,
        )
    start = {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["neat-optax", *arguments]),
        **now,
        "git": git_revision(pathlib.Path.cwd()),
    }
    folder.write(ENVIRONMENT, [*starts, start])


def _changed(before: Any, now: dict[str, Any]) -> str:
    """What is no longer as it was."""
    known = before if isinstance(before, dict) else {}
    return ", ".join(
        f"{name} {known.get(name)} before, {value} now"
        for name, value in now.items()
        if known.get(name) != value
    )


def environment() -> dict[str, Any]:
    """Versions and devices; a package that is not installed has none.

    Example:
      >>> sorted(environment())[:4]
      ['device', 'devices', 'flax', 'jax']
    """
    return {
        "python": platform.python_version(),
        **{name.replace("-", "_"): _version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_revision(folder: pathlib.Path) -> dict[str, Any] | None:
    """The commit that a folder is at, and whether files differ from it.

    None where there is no repository, or no git that answers.

    Args:
      folder: of a repository, or inside one.
    """
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        changes = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"revision": revision, "dirty": bool(changes)}


def _git(folder: pathlib.Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=_PATIENCE,
    )
    return done.stdout.strip()
