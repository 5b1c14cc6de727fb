"""Measures under the names of neat-optim, and a callback that logs them."""

from typing import Any

import keras

from neat_optax._reading import diagnostics

KEYS = {
    "conflict": "mean_conflict_ratio",
    "correction_ratio": "mean_correction_ratio",
    "update_alignment": "mean_update_alignment",
    "opponent_norm": "mean_opponent_norm",
    "active": "correction_active_fraction",
    "alpha": "mean_effective_alpha",
    "noise": "mean_gradient_noise",
}
"""The names of neat-optim, by those of `diagnostics`."""


def read_snapshot(opt_state: Any) -> dict[str, float]:
    """The averages of all numbers that a state has recorded."""
    means = {
        name: read["mean"] for name, read in diagnostics(opt_state, plain=True).items()
    }
    return {
        KEYS.get(name, f"mean_{name}"): mean
        for name, mean in means.items()
        if isinstance(mean, float)
    }


@keras.saving.register_keras_serializable("neat_optax")
class DiagnosticsCallback(keras.callbacks.Callback):
    """Puts the optimizer's `diagnostic_snapshot()` into the logs of each epoch.

    They are then in the history that `fit` returns, and in what callbacks after this
    one write. Measures that are not taken, NaN in a snapshot, are left out.

    Args:
      log_dir: a folder for TensorBoard, which gets them as scalars; needs tensorboardX,
        of the extra `train`.
      reset_each_epoch: whether the averages begin anew with each epoch.
      prefix: what the names begin with, as in `neat/mean_conflict_ratio`; an empty one
        leaves the names alone.

    Attributes:
      history: the snapshots of all epochs so far.

    Raises:
      ValueError: in the first epoch, unless the model's optimizer measures something.

    Example:
      >>> import keras, numpy as np
      >>> from neat_optax.keras import NEAT, DiagnosticsCallback
      >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
      >>> model.compile(NEAT(0.1), loss="mse")
      >>> x, y = np.eye(2, dtype="float32"), np.ones((2, 1))
      >>> run = model.fit(x, y, callbacks=[DiagnosticsCallback()], verbose=0)
      >>> len(run.history["neat/mean_conflict_ratio"])
      1
    """

    def __init__(
        self,
        log_dir: str | None = None,
        reset_each_epoch: bool = True,
        prefix: str = "neat",
    ):
        super().__init__()
        self.log_dir, self.reset_each_epoch = log_dir, reset_each_epoch
        self.prefix = prefix.strip("/")
        self.history: list[dict[str, float]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Begins the averages anew, so that those of the last epoch stay."""
        del epoch, logs
        optimizer = self._optimizer()
        if self.reset_each_epoch and optimizer.built:
            optimizer.reset_diagnostics()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Reads the snapshot, and logs it."""
        snapshot = self._optimizer().diagnostic_snapshot()
        self.history.append(snapshot)
        start = f"{self.prefix}/" if self.prefix else ""
        named = {start + key: x for key, x in snapshot.items() if x == x}
        if logs is not None:
            logs.update(named)
        if self.log_dir is not None:
            self._write(named, epoch)

    def get_config(self) -> dict[str, Any]:
        """The arguments, for a run file."""
        names = ("log_dir", "reset_each_epoch", "prefix")
        return {name: getattr(self, name) for name in names}

    def _optimizer(self) -> Any:
        optimizer: Any = getattr(self.model, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not hasattr(optimizer, "diagnostic_snapshot"):
            raise ValueError(
                "`optimizer` must be one of neat_optax.keras for DiagnosticsCallback, "
                f"got {optimizer!r}."
            )
        return optimizer

    def _write(self, named: dict[str, float], epoch: int) -> None:
        from tensorboardX import SummaryWriter  # an extra, and only where asked for

        with SummaryWriter(self.log_dir) as writer:
            for key, value in named.items():
                writer.add_scalar(key, value, epoch)
