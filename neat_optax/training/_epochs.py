"""The epochs of a training, launched ahead of what is read of them."""

import collections
from collections.abc import Callable
from typing import Any

from neat_optax.training._callbacks import Callback, Run
from neat_optax.training._folder import Folder, Progress
from neat_optax.training._sources import Source
from neat_optax.training._step import TrainingState
from neat_optax.training._sums import Sums

_AHEAD = 16
"""Steps that are launched before what is known of the epoch before is read."""
Score = Callable[[TrainingState], dict[str, float]]


class Epochs:
    """Takes the steps that are left, and tells of them.

    Reading a number waits for the device, which then waits for the next step. So where
    nobody needs the end of an epoch before the next one begins, the next is launched
    first.

    Args:
      source: of the batches.
      run: whose state and rows are brought forward.
      told: callbacks.
      folder: for checkpoints, or None.
      score: the logs of validation, or None.
    """

    def __init__(
        self,
        source: Source,
        run: Run,
        told: list[Any],
        folder: Folder | None,
        score: Score | None,
    ):
        self._source, self._run, self._told = source, run, told
        self._folder, self._score = folder, score
        self._every = None if folder is None else folder.options.every
        patient = all(getattr(callback, "ahead", False) for callback in told)
        self._ahead = patient and folder is None and score is None
        self._after = methods(told, "on_batch_end")
        self._late: collections.deque[tuple[int, int, Sums]] = collections.deque()

    def take(self, progress: Progress) -> None:
        """All that are left."""
        run, taken = self._run, int(self._run.state.step)
        try:
            while progress.epoch < run.epochs and not run.stop:
                progress, taken = self._epoch(progress, taken)
        finally:
            self._tell_late()
        if self._folder is not None:
            self._folder.save(taken, run.state, progress)

    def _epoch(self, progress: Progress, taken: int) -> tuple[Progress, int]:
        """What is left of an epoch. Nothing in the loop is there without need."""
        tell(self._told, "on_epoch_begin", progress.epoch)
        run, every, late, after_step = self._run, self._every, self._late, self._after
        sums, due = Sums(progress.sums), None
        before, enough = taken - progress.position, taken + _AHEAD
        for count, advance in self._source.pieces(progress, taken, every):
            if due is not None:
                self._save(due, taken, sums)
                due = None
            run.state, logs = advance(run.state)
            sums.add(logs)
            taken += count
            if late and taken >= enough:
                self._tell_late()
            for method in after_step:
                method(taken, logs)
            if every is not None and taken % every == 0:
                due = progress._replace(
                    position=taken - before, data=self._source.state()
                )
        self._tell_late()
        return self._end(progress._replace(position=taken - before), taken, sums), taken

    def _save(self, progress: Progress, taken: int, sums: Sums) -> None:
        """Begins a checkpoint before the step after it comes.

        If none comes in this epoch, that at its end stands for it.
        """
        assert self._folder is not None
        progress = progress._replace(sums=sums.total())
        self._folder.save(taken, self._run.state, progress)

    def _end(self, progress: Progress, taken: int, sums: Sums) -> Progress:
        """The end of an epoch, now or when steps of the next one are launched."""
        sums.send()
        ended = progress.epoch, progress.position, sums
        ends, data = (*progress.ends, taken), self._source.state(ended=True)
        new = Progress(progress.epoch + 1, rows=progress.rows, ends=ends, data=data)
        if self._ahead:
            self._late.append(ended)
            return new
        row = self._row(*ended)
        new = new._replace(rows=(*new.rows, row))
        if self._folder is not None and self._folder.is_due(new):
            self._folder.save(taken, self._run.state, new)
        self._tell_row(row)
        return new

    def _row(self, epoch: int, steps: int, sums: Sums) -> dict[str, float]:
        """The means of the logs of an epoch, and the validation after it."""
        row = {"epoch": epoch}
        row |= {name: total / steps for name, total in sums.total().items()}
        return row if self._score is None else row | self._score(self._run.state)

    def _tell_row(self, row: dict[str, float]) -> None:
        self._run.rows.append(row)
        logs = {name: value for name, value in row.items() if name != "epoch"}
        tell(self._told, "on_epoch_end", row["epoch"], logs)

    def _tell_late(self) -> None:
        while self._late:
            self._tell_row(self._row(*self._late.popleft()))


def tell(told: list[Any], name: str, *args: Any) -> None:
    """Calls a method of all callbacks that have it."""
    for method in methods(told, name):
        method(*args)


def methods(told: list[Any], name: str) -> list[Callable[..., None]]:
    """Those of callbacks that have one and that do something."""
    found = [getattr(callback, name, None) for callback in told]
    nothing = getattr(Callback, name)
    return [x for x in found if x and getattr(x, "__func__", None) is not nothing]
