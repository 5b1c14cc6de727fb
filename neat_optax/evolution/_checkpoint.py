"""A search on disk: state and history of a generation are one orbax checkpoint.

folder/search.json           whose search it is, written first
       generation_<n>/       the state and the history after n generations
"""

import json
import os
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _tree

_FORMAT = 2
_PREFIX = "generation"
_METADATA = "_CHECKPOINT_METADATA"
_CONTENT = {_METADATA, "commit_success.txt", "state", "history", "names"}
"""What stands in a folder of a generation. One that was half deleted has some of it."""
_HINT = 'checkpoints need the extra "train": pip install "neat-optax[train]"'


class Folder:
    """The checkpoints of one search. Opening it creates or resumes the folder."""

    def __init__(self, path: str | os.PathLike[str], state: Any):
        try:
            import orbax.checkpoint as ocp
        except ImportError as error:
            raise ImportError(_HINT) from error
        self._args = ocp.args
        self._abstract = ocp.utils.to_shape_dtype_struct
        self.path = pathlib.Path(path).resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        _claim(self.path, _identity(state))
        _sweep(self.path)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1, step_prefix=_PREFIX, enable_async_checkpointing=False
        )
        self._manager = ocp.CheckpointManager(self.path, options=options)

    def restore(self, like: Any) -> tuple[Any, dict[str, np.ndarray]]:
        """The last checkpoint; (like, {}) if there is none."""
        last = self._manager.latest_step()
        if last is None:
            return like, {}
        wanted = self._args.Composite(
            state=self._args.StandardRestore(jax.tree.map(self._abstract, like)),
            history=self._args.StandardRestore(),
            names=self._args.JsonRestore(),
        )
        try:
            found = self._manager.restore(last, args=wanted)
        except ValueError as error:
            raise ValueError(
                f"`checkpoint` must be the folder of this search, got {self.path} of "
                "one with a breeder of another state."
            ) from error
        history, order = found["history"], found["names"]["history"]
        return found["state"], {name: history[name] for name in order}

    def save(self, state: Any, history: dict[str, np.ndarray]) -> None:
        """Replaces the checkpoint."""
        self._manager.save(
            int(state.generation),
            args=self._args.Composite(
                state=self._args.StandardSave(state),
                history=self._args.StandardSave(history),
                # A tree sorts its keys.
                names=self._args.JsonSave({"history": list(history)}),
            ),
        )

    def close(self) -> None:
        """Lets go of the folder."""
        self._manager.close()


def _claim(folder: pathlib.Path, identity: dict[str, Any]) -> None:
    """Raises if the folder is not this search's."""
    file, temporary = folder / "search.json", folder / ".search.tmp"
    if not file.exists():
        if set(folder.iterdir()) - {temporary}:
            raise ValueError(f"`checkpoint` must not be a folder in use, got {folder}.")
        temporary.write_text(json.dumps(identity, indent=2) + "\n")
        os.replace(temporary, file)
        return
    known = json.loads(file.read_text())
    if known.get("format") != identity["format"]:
        raise ValueError(
            "`checkpoint` must be a folder of this version of neat_optax, got "
            f"{folder} of another."
        )
    for name, value in identity.items():
        if known.get(name) != value:
            raise ValueError(
                f"`checkpoint` must be the folder of this search, got {folder} "
                f"of one with another {name}: {known.get(name)}, not {value}."
            )


def _sweep(folder: pathlib.Path) -> None:
    """Deletes what saves that were cut off have left.

    Raises if something else has the name of a generation: orbax would take it for one.
    """
    for path in folder.glob(f"{_PREFIX}_*"):
        number, _, ending = path.name.removeprefix(f"{_PREFIX}_").partition(".")
        if not number.isdigit():
            continue
        if ending.startswith("orbax-checkpoint-tmp") and path.is_dir():
            shutil.rmtree(path)
        elif not ending and not _is_generation(path):
            raise ValueError(
                f"`checkpoint` must not hold files of yours in {path.name}, got "
                f"{folder}."
            )


def _is_generation(path: pathlib.Path) -> bool:
    """Whether orbax has written a folder, of which a part may be deleted."""
    if not path.is_dir():
        return False
    names = {inside.name for inside in path.iterdir()}
    return not names or bool(names & _CONTENT)


def _identity(state: Any) -> dict[str, Any]:
    """What tells one search from another, as far as it can be written down."""
    params = state.population.params
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
    shapes = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves]
    return {
        "format": _FORMAT,
        "key": np.asarray(jax.random.key_data(state.key)).tolist(),
        "population": dict(zip(_tree.leaf_names(params), shapes, strict=True)),
        "return_best": state.best.fitness.shape[0],
    }
