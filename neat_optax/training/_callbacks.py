"""What is told of a training as it runs, in the manner of Keras."""

import math
from collections.abc import Sequence
from typing import Any

from neat_optax import _checks


class Run:
    """A training while it runs, for callbacks.

    Attributes:
      epochs: how many there will be.
      steps: in an epoch, or None if that is not known.
      state: the `TrainingState` now. The next step takes its memory: copy what is to be
        kept.
      rows: the logs of all complete epochs.
      stop: to be set to True; then no epoch follows.
    """

    def __init__(self, epochs: int, steps: int | None, state: Any, rows: Sequence[Any]):
        self.epochs, self.steps, self.state = epochs, steps, state
        self.rows, self.stop = list(rows), False


class Callback:
    """Methods that `fit` calls. Override some; any object with some of them will do.

    A training that goes on from a checkpoint begins with the `rows` of the epochs
    before: what a callback remembers it makes of those.

    Attributes:
      ahead: whether the next epoch may begin before `on_epoch_end`, so that the device
        does not wait for the logs to be read. For callbacks that neither look at the
        state of the run nor end it.

    Example:
      >>> class Shout(Callback):
      ...     def on_epoch_end(self, epoch, logs):
      ...         print(f"epoch {epoch}: loss {logs['loss']:.2f}!")
      >>> Shout().on_epoch_end(0, {"loss": 0.5})
      epoch 0: loss 0.50!
    """

    ahead = False

    def on_train_begin(self, run: Run) -> None:
        """Before the first step, also of a training that goes on."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Before an epoch, or the rest of one."""

    def on_batch_end(self, step: int, logs: dict[str, Any]) -> None:
        """After each compiled call: a step, or all up to the next checkpoint.

        Args:
          step: how many steps have been taken.
          logs: arrays that may not be computed yet, with an axis of steps if the data
            are arrays.
        """

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """After an epoch: the means of its logs, and validation as `val_<name>`."""

    def on_train_end(self) -> None:
        """At the end, also after an error."""


class History(Callback):
    """The logs of all epochs, which `fit` also returns.

    Example:
      >>> history = History([{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0}])
      >>> history["loss"]
      [2.0, 1.0]
    """

    ahead = True

    def __init__(self, rows: Sequence[dict[str, float]] = ()):
        self.rows = list(rows)

    def __repr__(self) -> str:
        return f"History({self.rows})"

    def __getitem__(self, name: str) -> list[float]:
        return [row[name] for row in self.rows]

    def on_train_begin(self, run: Run) -> None:
        """Starts from the epochs before."""
        self.rows = list(run.rows)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Adds a row."""
        self.rows.append({"epoch": epoch, **logs})


class EarlyStopping(Callback):
    """Ends a training whose metric has not become better for some epochs.

    Args:
      monitor: a name in the logs.
      patience: how many epochs without a better value are waited for.
      mode: "min" or "max": which values are better.
      min_delta: by how much a value must be better to count.

    Example::

        fit(..., callbacks=[EarlyStopping("val_loss", patience=5)])
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 0,
        *,
        mode: str = "min",
        min_delta: float = 0.0,
    ):
        _checks.check_count("patience", patience, schedule=False)
        _checks.check_choice("mode", mode, ("min", "max"))
        _checks.check_fields({"min_delta": min_delta}, {"min_delta": "[0, inf)"})
        self.monitor, self.patience, self.min_delta = monitor, patience, min_delta
        self._sign = 1 if mode == "min" else -1
        self._run: Run | None = None

    def on_train_begin(self, run: Run) -> None:
        """Counts the epochs before."""
        self._run, self._best, self._waited = run, math.inf, 0
        for row in run.rows:
            self._see(row)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Looks at the metric."""
        del epoch
        self._see(logs)

    def _see(self, logs: dict[str, float]) -> None:
        if self.monitor not in logs:
            known = ", ".join(logs)
            raise ValueError(
                f"`monitor` must be in the logs, {known}, got {self.monitor}."
            )
        value = self._sign * logs[self.monitor]
        better = value < self._best - self.min_delta
        self._best = value if better else self._best
        self._waited = 0 if better else self._waited + 1
        if self._run is not None and self._waited > self.patience:
            self._run.stop = True
