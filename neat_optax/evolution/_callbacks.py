"""Ready callbacks of `search`. They need the extra `train`."""

import os
from typing import Any

from neat_optax import _showing


class ProgressBar:
    """Shows the generation and the best fitness so far.

    Args:
      generations: how many there are, as for `search`; None shows no end.
      console: a `rich.console.Console`; by default one on the terminal.

    Example::

        evolution.search(..., generations=200, callbacks=[evolution.ProgressBar(200)])
    """

    def __init__(self, generations: int | None = None, console: Any = None):
        self._bar = _showing.Bar("ProgressBar", "generation", generations, console)

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def __call__(self, state: Any, history: Any) -> None:
        """Moves the bar."""
        del history
        shown = f"best fitness {float(state.best_fitness):.6g}"
        self._bar.update(int(state.generation), shown)


class TensorBoard:
    """Writes the history for TensorBoard, each name as a curve over the generations.

    Args:
      folder: where to.
      prefix: what the names of the curves begin with.
    """

    def __init__(self, folder: str | os.PathLike[str], prefix: str = "search/"):
        self._writer = _showing.event_writer("TensorBoard", folder)
        self._prefix, self._written = prefix, 0

    def __enter__(self) -> "TensorBoard":
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def __call__(self, state: Any, history: Any) -> None:
        """Writes the generations that were not written yet."""
        del state
        numbers = history["generation"]
        for name, values in history.items():
            if name == "generation":
                continue
            for row in range(self._written, len(numbers)):
                tag, value = self._prefix + name, float(values[row])
                self._writer.add_scalar(tag, value, int(numbers[row]))
        self._written = len(numbers)
        self._writer.flush()
