"""What shows how far something is: a bar, and curves. They need the extra `train`."""

import os
from typing import Any

HINT = 'needs the extra "train": pip install "neat-optax[train]"'


class Bar:
    """A bar of rich, with a count in front of it and a text behind.

    Args:
      who: whose bar it is, for an error.
      unit: what is counted.
      total: how many there are; None shows no end.
      console: a `rich.console.Console`; by default one on the terminal.
    """

    def __init__(self, who: str, unit: str, total: int | None, console: Any):
        try:
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )
        except ImportError as error:
            raise ImportError(f"{who} {HINT}") from error
        self._bar = Progress(
            TextColumn(unit),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[shown]}", markup=False),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("", total=total, shown="")

    def start(self) -> None:
        """Shows it."""
        self._bar.start()

    def stop(self) -> None:
        """Leaves it as it is."""
        self._bar.stop()

    def update(self, completed: int, shown: str, total: int | None = None) -> None:
        """Moves it, and replaces the text."""
        self._bar.update(self._task, completed=completed, shown=shown, total=total)


def event_writer(who: str, folder: str | os.PathLike[str], **options: Any) -> Any:
    """What writes curves for TensorBoard.

    Args:
      who: whose it is, for an error.
      folder: where to.
      **options: of `tensorboardX.SummaryWriter`.
    """
    try:
        import tensorboardX
    except ImportError as error:
        raise ImportError(f"{who} {HINT}") from error
    return tensorboardX.SummaryWriter(str(folder), **options)
