"""A search on disk: state and history of a generation are one orbax checkpoint.

folder/search.json           whose search it is, written first
       generation_<n>/       the state and the history after n generations, and those
                             of the checkpoint before, which serves if this is damaged
       scores.json           of the generation after the last one, as far as it was
                             scored when what scores it raised
       .lock                 held by the search that writes here
"""

import contextlib
import json
import os
import pathlib
import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _damage, _lock, _tree

_FORMAT = 2
_PREFIX = "generation"
_TEMPORARY = ".search.tmp"
_SCORES = "scores.json"
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
        _check_addressable(state)
        self.path.mkdir(parents=True, exist_ok=True)
        _check_free(self.path)  # else a lock would be put beside files of the user's
        with contextlib.ExitStack() as stack:
            stack.callback(_lock.hold(self.path, "checkpoint"))
            _claim(self.path, _identity(state))
            _sweep(self.path)
            options = ocp.CheckpointManagerOptions(
                max_to_keep=2, step_prefix=_PREFIX, enable_async_checkpointing=False
            )
            self._manager = ocp.CheckpointManager(self.path, options=options)
            stack.callback(self._manager.close)
            self._held = stack.pop_all()

    def restore(self, like: Any) -> tuple[Any, dict[str, np.ndarray]]:
        """The last checkpoint that can be read; (like, {}) if there is none."""
        abstract = jax.tree.map(self._abstract, like)
        steps = self._manager.all_steps()
        folders = {step: self.path / f"{_PREFIX}_{step}" for step in steps}

        def read(step: int) -> tuple[Any, dict[str, np.ndarray]]:
            found = self._read(step, self._args.StandardRestore(abstract))
            history, order = found["history"], found["names"]["history"]
            return found["state"], {name: history[name] for name in order}

        last = _damage.last_readable(
            folders,
            read,
            lambda step: self._read(step, self._args.StandardRestore()),
            f"`checkpoint` must be the folder of this search, got {self.path} of one "
            "with a breeder of another state.",
            "checkpoint",
        )
        self._manager.reload()
        return (like, {}) if last is None else last[1]

    def _read(self, step: int, state: Any) -> Any:
        wanted = self._args.Composite(
            state=state,
            history=self._args.StandardRestore(),
            names=self._args.JsonRestore(),
        )
        return self._manager.restore(step, args=wanted)

    def save(self, state: Any, history: dict[str, np.ndarray]) -> None:
        """Replaces the checkpoint."""
        (self.path / _SCORES).unlink(missing_ok=True)
        self._manager.save(
            int(state.generation),
            args=self._args.Composite(
                state=self._args.StandardSave(state),
                history=self._args.StandardSave(history),
                # A tree sorts its keys.
                names=self._args.JsonSave({"history": list(history)}),
            ),
        )

    def keep_scores(self, state: Any, scores: np.ndarray) -> None:
        """Notes the scores of a generation that is not over; NaN for those without."""
        numbers = np.flatnonzero(~np.isnan(scores))
        by_number = {int(number): float(scores[number]) for number in numbers}
        content = {"generation": int(state.generation), "fitness": by_number}
        _write(self.path / _SCORES, content)

    def scores(self, state: Any) -> np.ndarray | None:
        """The scores that the next generation has, NaN for the others, or None."""
        file = self.path / _SCORES
        if not file.exists():
            return None
        content = _damage.read_json(file, "checkpoint")
        if content["generation"] != int(state.generation):
            return None
        scores = np.full_like(jax.device_get(state.population.fitness), np.nan)
        for number, score in content["fitness"].items():
            scores[int(number)] = score
        return scores

    def close(self) -> None:
        """Lets go of the folder."""
        self._held.close()


def _check_addressable(state: Any) -> None:
    """Raises if other processes hold a part: one process writes the folder."""
    leaves = jax.tree.leaves(state.population.params)
    if not all(leaf.is_fully_addressable for leaf in leaves):
        raise ValueError(
            "`checkpoint` must be None for a population over several processes, got a "
            "folder: save the states of search_steps with orbax."
        )


def _check_free(folder: pathlib.Path) -> None:
    """Raises if files of something else are there."""
    if (folder / "search.json").exists():
        return
    if {path.name for path in folder.iterdir()} - {_TEMPORARY, _lock.LOCK}:
        raise ValueError(f"`checkpoint` must not be a folder in use, got {folder}.")


def _claim(folder: pathlib.Path, identity: dict[str, Any]) -> None:
    """Raises if the folder is not this search's."""
    file = folder / "search.json"
    if not file.exists():
        _write(file, identity)
        return
    known = _damage.read_json(file, "checkpoint")
    if not isinstance(known, dict):
        raise ValueError(
            f"`checkpoint` must be the folder of a search, got {folder}, whose "
            f"{file.name} holds no table."
        )
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


def _write(file: pathlib.Path, content: dict[str, Any]) -> None:
    """Writes all of it or nothing."""
    temporary = file.parent / _TEMPORARY
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    os.replace(temporary, file)


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
