"""A search on disk: saved so that a reader sees all of it or nothing, and resumable.

folder/search.json      whose search it is, written first
       <generation>/    the state after so many generations, by orbax
       <generation>.npz the history; a checkpoint that has it is complete
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

_METADATA = "_CHECKPOINT_METADATA"
_HINT = 'checkpoints need the extra "train": pip install "neat-optax[train]"'


class Folder:
    """The checkpoints of one search. Opening it creates or resumes the folder."""

    def __init__(self, path: Any, state: Any):
        try:
            import orbax.checkpoint as ocp
        except ImportError as error:
            raise ImportError(_HINT) from error
        self._orbax = ocp
        self.path = pathlib.Path(path).resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        self._claim(_identity(state))
        self._checkpointer = ocp.StandardCheckpointer()

    def restore(self, like: Any) -> tuple[Any, dict[str, np.ndarray]]:
        """The last complete checkpoint; (like, {}) if there is none."""
        complete = self._complete()
        remove_unfinished(self.path, {file.stem for file in complete})
        if not complete:
            return like, {}
        last = max(complete, key=lambda file: int(file.stem))
        abstract = jax.tree.map(self._orbax.utils.to_shape_dtype_struct, like)
        try:
            state = self._checkpointer.restore(self.path / last.stem, abstract)
        except ValueError as error:
            raise ValueError(
                f"`checkpoint` must be the folder of this search, got {self.path} of "
                "one with a breeder of another state."
            ) from error
        with np.load(last) as history:
            return state, dict(history)

    def save(self, state: Any, history: dict[str, np.ndarray]) -> None:
        """Replaces the checkpoint."""
        name = str(int(state.generation))
        self._checkpointer.save(self.path / name, state)
        self._checkpointer.wait_until_finished()
        temporary = self.path / ".history.tmp"
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **history)
        os.replace(temporary, self.path / f"{name}.npz")  # from here on it counts
        for old in self._complete():
            if old.stem != name:
                old.unlink()
                shutil.rmtree(self.path / old.stem)

    def _complete(self) -> list[pathlib.Path]:
        return [file for file in self.path.glob("*.npz") if is_state(self.path, file)]

    def _claim(self, identity: dict[str, Any]) -> None:
        """Raises if the folder is not this search's."""
        file = self.path / "search.json"
        temporary = self.path / ".search.tmp"
        if not file.exists():
            if set(self.path.iterdir()) - {temporary}:
                raise ValueError(
                    f"`checkpoint` must not be a folder in use, got {self.path}."
                )
            temporary.write_text(json.dumps(identity, indent=2) + "\n")
            os.replace(temporary, file)
            return
        known = json.loads(file.read_text())
        for name, value in identity.items():
            if known.get(name) != value:
                raise ValueError(
                    f"`checkpoint` must be the folder of this search, got {self.path} "
                    f"of one with another {name}: {known.get(name)}, not {value}."
                )


def is_state(folder: pathlib.Path, file: pathlib.Path) -> bool:
    """Whether a file stands beside a state that orbax has written under its number."""
    return file.stem.isdigit() and (folder / file.stem / _METADATA).exists()


def remove_unfinished(folder: pathlib.Path, complete: set[str]) -> None:
    """Deletes what saves that were cut off have left, and nothing else.

    Such a leftover is a folder that orbax has written, finished or not, under a number
    that is not among the complete ones.
    """
    for path in folder.iterdir():
        number, _, ending = path.name.partition(".")
        if not path.is_dir() or not number.isdigit() or path.name in complete:
            continue
        finished = not ending and (path / _METADATA).exists()
        if finished or ending.startswith("orbax-checkpoint-tmp"):
            shutil.rmtree(path)


def _identity(state: Any) -> dict[str, Any]:
    """What tells one search from another, as far as it can be written down."""
    params = state.population.params
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(params)]
    shapes = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in leaves]
    return {
        "key": np.asarray(jax.random.key_data(state.key)).tolist(),
        "population": dict(zip(_tree.leaf_names(params), shapes, strict=True)),
        "return_best": state.best.fitness.shape[0],
    }
