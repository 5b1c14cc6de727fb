"""The file of metrics: a line for each candidate and epoch, written as a run goes."""

import json
from collections.abc import Sequence
from typing import Any

from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.runs.files import RunFolder
from neat_optax.experiments.runs.listing import METRICS
from neat_optax.experiments.runs.selection import TEST
from neat_optax.experiments.runs.writing import plain


class Metrics:
    """Writes the lines of one candidate after the other.

    What a process that was killed has written after its last checkpoint is replaced.
    """

    def __init__(self, folder: RunFolder, config: TrainConfig):
        self._folder = folder
        self._config = config
        self._text = ""
        self._candidate = ""
        self._rows: Sequence[dict[str, Any]] = ()

    def begin(self, candidate: str, rows: Sequence[dict[str, Any]]) -> None:
        """Goes on to a candidate.

        Args:
          candidate: its name.
          rows: of the epochs that it has behind it; those that follow are added to it
            by the caller, before `add`.
        """
        self._text += self._lines(0)  # of the one before
        self._candidate, self._rows = candidate, rows
        self._folder.write_text(METRICS, self._text + self._lines(0))

    def add(self) -> None:
        """Writes the line of the last row."""
        self._folder.append_text(METRICS, self._lines(len(self._rows) - 1))

    def _lines(self, first: int) -> str:
        return "".join(
            json.dumps(plain(self._line(epoch, row))) + "\n"
            for epoch, row in enumerate(self._rows[first:], start=first + 1)
        )

    def _line(self, epoch: int, row: dict[str, Any]) -> dict[str, Any]:
        config = self._config
        return {
            config.lineup.kind: self._candidate,
            "epoch": epoch,
            **({"task": 1 + (epoch - 1) // config.epochs} if config.stream else {}),
            "learning_rate": config.rates(self._candidate),
            **{key: x for key, x in row.items() if not key.startswith(TEST)},
        }
