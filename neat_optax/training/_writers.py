"""Callbacks that show a training or write it down."""

import csv
import json
import os
import pathlib
from typing import Any

from neat_optax import _showing
from neat_optax.training._callbacks import Callback, Run


class ProgressBar(Callback):
    """Shows the epoch, and the logs of the one before. Needs the extra `train`.

    Args:
      console: a `rich.console.Console`; by default one on the terminal.
    """

    ahead = True

    def __init__(self, console: Any = None):
        self._bar = _showing.Bar("ProgressBar", "epoch", None, console)
        self._total: int | None = None

    def on_train_begin(self, run: Run) -> None:
        """Shows the bar."""
        self._total = run.epochs
        self._bar.update(len(run.rows), "", run.epochs)
        self._bar.start()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Moves it."""
        shown = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
        self._bar.update(epoch + 1, shown)

    def on_train_end(self) -> None:
        """Leaves it as it is."""
        self._bar.stop()


class TensorBoard(Callback):
    """Writes each log as a curve over the epochs. Needs the extra `train`.

    A training that goes on replaces what was written after its checkpoint.

    Args:
      folder: where to.
      prefix: what the names of the curves begin with.
    """

    ahead = True

    def __init__(self, folder: str | os.PathLike[str], prefix: str = "train/"):
        self._folder, self._prefix = folder, prefix

    def on_train_begin(self, run: Run) -> None:
        """Opens a file of events."""
        begun = len(run.rows)
        self._writer = _showing.event_writer(
            "TensorBoard", self._folder, purge_step=begun or None
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Adds a point to each curve."""
        for name, value in logs.items():
            self._writer.add_scalar(self._prefix + name, value, epoch)
        self._writer.flush()

    def on_train_end(self) -> None:
        """Closes the file."""
        self._writer.close()


class _Table(Callback):
    """One line for each epoch in a file, which is written anew from the start."""

    ahead = True

    def __init__(self, path: str | os.PathLike[str]):
        self._path = pathlib.Path(path)

    def on_train_begin(self, run: Run) -> None:
        """Writes the epochs before."""
        self._file = self._path.open("w", newline="")
        self._begun = False
        for row in run.rows:
            self._write(row)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Adds a line."""
        self._write({"epoch": epoch, **logs})

    def on_train_end(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, row: dict[str, float]) -> None:
        self._add(row)
        self._file.flush()

    def _add(self, row: dict[str, float]) -> None:
        raise NotImplementedError


class JSONLLogger(_Table):
    """Writes the logs of each epoch as a line of JSON.

    Args:
      path: of the file. A training that goes on writes the epochs before again.
    """

    def _add(self, row: dict[str, float]) -> None:
        self._file.write(json.dumps(row) + "\n")


class CSVLogger(_Table):
    """Writes the logs of each epoch as a row of a table, under their names.

    Args:
      path: of the file. A training that goes on writes the epochs before again.
    """

    def _add(self, row: dict[str, float]) -> None:
        writer = csv.DictWriter(self._file, list(row), lineterminator="\n")
        if not self._begun:
            writer.writeheader()
            self._begun = True
        writer.writerow(row)


class LearningCurves(Callback):
    """Draws a picture of all logs over the epochs at the end of the training.

    Needs the extra `train`. A log and its validation share a panel.

    Args:
      path: of the picture; its ending names the format.
    """

    ahead = True

    def __init__(self, path: str | os.PathLike[str]):
        self._path = pathlib.Path(path)
        self._run: Run | None = None

    def on_train_begin(self, run: Run) -> None:
        """Remembers where the rows are."""
        self._run = run

    def on_train_end(self) -> None:
        """Draws, if there is an epoch to draw."""
        rows = self._run.rows if self._run is not None else []
        if not rows:
            return
        from matplotlib.figure import Figure

        names = [name for name in rows[0] if name != "epoch"]
        panels = list(dict.fromkeys(name.removeprefix("val_") for name in names))
        figure = Figure((4 * len(panels), 3), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axis, panel in zip(axes, panels, strict=True):
            for name in (name for name in (panel, f"val_{panel}") if name in names):
                axis.plot([row["epoch"] for row in rows], [row[name] for row in rows])
                axis.lines[-1].set_label(name)
            axis.set_xlabel("epoch")
            axis.legend()
        figure.savefig(self._path)
