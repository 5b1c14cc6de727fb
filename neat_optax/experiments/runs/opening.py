"""Checkpoints for a user's own program; what they need is imported when it is used."""

import os
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from neat_optax import _checks
from neat_optax.experiments.data.parts import Data
from neat_optax.experiments.runs.reading import Run


class Checkpoint(NamedTuple):
    """One candidate of a run after one of its epochs, at one learning rate."""

    candidate: str
    epoch: int
    learning_rate: float
    params: Any  # each leaf with a leading axis of seeds
    opt_state: Any  # likewise
    data: Data  # the parts that it was trained, selected and tested on
    build: Callable[[Any], Any]  # from the parameters of one seed to its network

    def model(self, seed: int = 0) -> Any:
        """The Flax NNX network of one seed."""
        seeds = len(jax.tree.leaves(self.params)[0])
        _checks.check_count("seed", seed)
        _checks.check_fewer("seed", seed, "seeds", seeds)
        return self.build(jax.tree.map(lambda x: x[seed], self.params))


def load_checkpoint(
    run: str | os.PathLike[str] | Run,
    which: str | int = "latest",
    *,
    candidate: str | None = None,
    learning_rate: float | None = None,
    data: str | os.PathLike[str] | None = None,
) -> Checkpoint:
    """What a run of `neat-optax train` has trained, finished or not.

    Nothing in the folder changes, so that a run at work can be looked at. The data of
    the run are loaded too, for the shapes of the network and to evaluate it.

    Args:
      run: its folder, or what `read_run` returns.
      which: "latest"; "best", of those that are there the one with the highest
        accuracy on validation data, where `--keep-best` has kept that of the whole
        run; or the number of an epoch that has a checkpoint.
      candidate: the optimizer, aggregator or pruning; may be left out where there is
        one.
      learning_rate: one of those that the candidate has tried; by default the one with
        the highest accuracy on validation data after that epoch, the mean over seeds.
      data: folder with the files of a data set that is read from files.

    Returns:
      A `Checkpoint`: `params` and `opt_state` with a leading axis of seeds,
      `model(seed)` for the Flax network of one seed, `data` with its three parts, and
      the `candidate`, `epoch` and `learning_rate` that they are of.

    Raises:
      ValueError: if the folder is not that of such a run, if an argument names what is
        not there, or if the checkpoint is damaged.

    Example:
      >>> import contextlib, io, tempfile
      >>> from neat_optax.experiments.commands.cli import main
      >>> root = tempfile.mkdtemp()
      >>> line = "train --dataset wine --optimizer adam:0.01 --seeds 2 --epochs 4"
      >>> with contextlib.redirect_stdout(io.StringIO()):
      ...     status = main([*line.split(), "--name", "x", "--output", root])
      >>> found = load_checkpoint(pathlib.Path(root, "x"), "latest")
      >>> x, labels = found.data.test
      >>> found.epoch, float((found.model(seed=1)(x).argmax(-1) == labels).mean()) > 0.8
      (4, True)
    """
    from neat_optax.experiments.runs import loading

    path = run.path if isinstance(run, Run) else pathlib.Path(run)
    return loading.load(path, which, candidate, learning_rate, data)
