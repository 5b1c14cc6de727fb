"""The run folder: written atomically and by one process, never overwritten, resumable.

runs/<name>/config.json     what was asked for, written first
            environment.json  versions, device, revision, of each start
            metrics.jsonl   one line per optimizer and epoch
            checkpoints/    the last of each optimizer, by orbax, or one search
                            per seed and the policy that was selected
            result.json     the result; a run that has it is finished, and what stands
                            below is made of it, again if the same is asked for again
            tensorboard/    the selected runs' curves, or those of each seed
            measures.csv    all numbers at the selected rates, in long form
            curves.png
            sparsity.png    of a run that prunes
            plasticity.png  of a run with plasticity
            pole.gif        of a run that evolves a policy for CartPole
            .lock           held by the process that writes here
            compact/        what `neat-optax compact` writes: weights,
            compact.json    and what they have saved
"""

import json
import pathlib
import shutil
import weakref
from typing import Any

from neat_optax import _lock
from neat_optax.experiments.runs import checkpoints, places
from neat_optax.experiments.runs.checkpoints import OPTION
from neat_optax.experiments.runs.reading import CONFIG, RESULT
from neat_optax.experiments.runs.writing import folder_name, named, write_text


class RunFolder:
    """One run's files. Opening it creates or resumes the folder.

    No other process can open it before it is closed, or this one has ended.
    """

    def __init__(
        self,
        root: str,
        name: str | None,
        config: dict[str, Any],
        keep: checkpoints.Keep = checkpoints.Keep(),  # noqa: B008
    ):
        self.path = places.choose(pathlib.Path(root), name, config)
        with places.writable(self.path):
            release = _lock.hold(self.path, OPTION)
        self.close = weakref.finalize(self, release)
        self._keep = keep
        self._writer: checkpoints.Writer | None = None
        # others may have been here before the lock
        places.check_usable(self.path, config)
        if not (self.path / CONFIG).exists():
            self.write(CONFIG, config)  # its time is that of the first start

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self._change_writer(None)
        finally:
            self.close()

    @property
    def finished(self) -> bool:
        """Whether the run has its result."""
        return (self.path / RESULT).exists()

    def write(self, file: str, content: Any) -> None:
        """Writes JSON, so that a reader sees all of it or nothing."""
        self.write_text(file, json.dumps(content, indent=2) + "\n")

    def write_text(self, file: str, text: str) -> None:
        """Writes text, so that a reader sees all of it or nothing."""
        write_text(self.path / file, text)

    def append_text(self, file: str, text: str) -> None:
        """Adds lines to a file."""
        path = self.path / file
        with named(path), path.open("a") as opened:
            opened.write(text)

    def save(self, optimizer: str, epoch: int, replicas: Any, rows: Any) -> None:
        """Begins a checkpoint of an optimizer, which ends beside what follows."""
        folder = self._checkpoints(optimizer)
        with named(folder):
            if self._writer is None or self._writer.folder != folder:
                self._change_writer(None)
                self._change_writer(checkpoints.Writer(folder, self._keep))
            assert self._writer is not None
            self._writer.save_rows(epoch, replicas, rows)

    def wait(self) -> None:
        """Returns when all checkpoints are written; raises if one could not be."""
        if self._writer is not None:
            with named(self._writer.folder):
                self._writer.wait()

    def restore(self, optimizer: str, like: Any) -> tuple[int, Any, list[dict]]:
        """The last checkpoint of an optimizer; (0, like, []) if there is none."""
        self._change_writer(None)
        folder = self._checkpoints(optimizer)
        return checkpoints.restore(folder, like) or (0, like, [])

    def forget(self, optimizer: str) -> None:
        """Deletes the checkpoints of a candidate that needs them no more."""
        self._change_writer(None)
        shutil.rmtree(self._checkpoints(optimizer), ignore_errors=True)

    def _change_writer(self, writer: checkpoints.Writer | None) -> None:
        before, self._writer = self._writer, writer
        if before is not None:
            with named(before.folder):
                before.close()

    def _checkpoints(self, optimizer: str) -> pathlib.Path:
        return self.path / "checkpoints" / folder_name(optimizer)
