"""The optimizer of neat-optim, under its names."""

import dataclasses
import math
from typing import Any

import keras
import optax

from neat_optax import _checks
from neat_optax.compat import NEATConfig, from_config
from neat_optax.keras._diagnostics import KEYS
from neat_optax.keras._optimizer import OptaxOptimizer

_BY_KERAS = ("learning_rate", "weight_decay")
_OPTIONS = {
    field.name
    for field in dataclasses.fields(NEATConfig)
    if field.name not in _BY_KERAS
}


@keras.saving.register_keras_serializable("neat_optax")
class NEAT(OptaxOptimizer):
    """NEAT for `model.compile`, with the argument names and defaults of neat-optim.

    A drop-in: only the import changes. The chain is that of `compat.from_config`, so
    that the differences listed as D1 to D18 in docs/math.md hold. Other than there,
    Keras schedules work, and `exclude_from_weight_decay` is honored.

    Args:
      learning_rate: a positive number, a Keras schedule, or a function without
        arguments.
      alpha: strength of the correction.
      beta: decay of the momentum, in [0, 1).
      weight_decay: decay per unit of learning rate; by Keras where decoupled.
      monitor: whether to measure what `diagnostic_snapshot` returns.
      name: the optimizer's name.
      **options: every other field of `compat.NEATConfig`, such as `nce_mode`,
        `opponent_source` and `adaptive_alpha`, and the options of Keras's base class.

    Raises:
      ValueError: if an argument is outside its range or not known.

    Example:
      >>> import keras, numpy as np
      >>> from neat_optax.keras import NEAT
      >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
      >>> model.compile(NEAT(learning_rate=0.1, alpha=0.5), loss="mse")
      >>> x, y = np.eye(2, dtype="float32"), np.ones((2, 1))
      >>> run = model.fit(x, y, epochs=3, verbose=0)
      >>> sorted(model.optimizer.diagnostic_snapshot())[0]
      'correction_active_fraction'
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        alpha: float = 0.25,
        beta: float = 0.9,
        *,
        weight_decay: float | None = 0.0,
        monitor: bool = True,
        name: str = "NEAT",
        **options: Any,
    ):
        own = {key: options.pop(key) for key in _OPTIONS & options.keys()}
        decay = 0.0 if weight_decay is None else weight_decay
        numbers = {"alpha": alpha, "beta": beta, "weight_decay": decay, **own}
        if not callable(learning_rate):
            numbers["learning_rate"] = learning_rate
        config = NEATConfig(**numbers)
        _checks.check_bool("monitor", monitor)
        by_keras = decay if config.decouple_weight_decay else None

        def factory(learning_rate: Any) -> optax.GradientTransformation:
            in_chain = 0.0 if by_keras is not None else decay
            here = dataclasses.replace(
                config, learning_rate=learning_rate, weight_decay=in_chain
            )
            return from_config(here, monitor=monitor)

        super().__init__(
            factory, learning_rate, weight_decay=by_keras or None, name=name, **options
        )
        self._config, self._monitor = config, monitor

    def exclude_from_weight_decay(
        self, var_list: Any = None, var_names: Any = None
    ) -> None:
        """Leaves variables out of weight decay; before the optimizer is built.

        Args:
          var_list: variables.
          var_names: patterns of names.

        Raises:
          ValueError: with `decouple_weight_decay=False`, where the chain decays.
        """
        if not self._config.decouple_weight_decay:
            raise ValueError(
                "`decouple_weight_decay` must be True for exclude_from_weight_decay, "
                "got False."
            )
        super().exclude_from_weight_decay(var_list, var_names)

    def diagnostic_snapshot(self) -> dict[str, float]:
        """What was measured, averaged over the steps since `reset_diagnostics`.

        Returns:
          The seven measures of neat-optim and two more, `mean_opposed` and
          `mean_skipped`, as Python floats; an empty dictionary before the optimizer is
          built. `mean_gradient_noise` is NaN unless `adaptive_alpha` is set.

        Raises:
          ValueError: with `monitor=False`.
        """
        snapshot = super().diagnostic_snapshot()
        unknown = dict.fromkeys(KEYS.values(), math.nan)
        return {**unknown, **snapshot} if snapshot else {}

    def get_config(self) -> dict[str, Any]:
        """The configuration that Keras saves."""
        base = keras.optimizers.Optimizer.get_config(self)
        own = self._config.as_dict()
        own.pop("learning_rate")
        return {**base, **own, "monitor": self._monitor}
