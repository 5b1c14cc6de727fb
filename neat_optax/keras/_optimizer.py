"""Any optax chain as a Keras optimizer."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import optax

from neat_optax import _checks, _recording
from neat_optax.keras import _chain, _layouts, _packing, _slots
from neat_optax.keras._diagnostics import read_snapshot


@keras.saving.register_keras_serializable("neat_optax")
class OptaxOptimizer(keras.optimizers.Optimizer):
    r"""An optax chain as a Keras optimizer, for `model.compile` and `fit`.

    .. math:: p \leftarrow p + \mathrm{tx}(g, s, p), \qquad
              p \leftarrow p + \mathrm{tx}_{\eta}(g, s, p) \quad\text{or}\quad
              p \leftarrow p - \eta\, \mathrm{tx}(g, s, p)

    The chain sees a nested dictionary of the variables' paths, `{"dense": {"kernel":
    ..., "bias": ...}}`, so that masks, labels and scopes by name work. Its state is
    kept in Keras variables with the dtypes of `tx.init`, and saved with the model. With
    `keras.distribution`, what it keeps of a parameter lies on devices as that does.

    Args:
      tx: an optax transformation, or a factory of one. Only a factory with a name that
        Keras knows can be saved in a model: decorate it with
        `keras.saving.register_keras_serializable()`. This library's recipes are
        registered.
      learning_rate: None where the chain has its own. Otherwise a number, a Keras
        schedule or a function without arguments. A factory with an argument
        `learning_rate` gets the current value as an array; what any other chain
        returns is multiplied by minus that value. So a finished chain that contains
        its rate, such as `optax.adam(1e-3)`, needs None; and one with something behind
        its rate, such as `prune_below`, needs None or a factory.
      arguments: keyword arguments of a factory.
      **options: those of the base class: `weight_decay`, `clipnorm`, `clipvalue`,
        `global_clipnorm`, `use_ema`, `ema_momentum`, `ema_overwrite_frequency`,
        `loss_scale_factor`, `gradient_accumulation_steps`, `name`. Keras clips and
        decays before the chain, and multiplies `weight_decay` by the learning rate.

    Raises:
      ValueError: if `tx`, `learning_rate` or `arguments` is none of these; when it is
        traced, if a variable has no gradient, or if an update has another shape than
        its variable, as with players that nothing reduces.

    Example:
      >>> import keras, numpy as np, optax
      >>> import neat_optax as neo, neat_optax.keras
      >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
      >>> tx = optax.chain(neo.neat_correction(), optax.adam(0.1))
      >>> model.compile(neo.keras.OptaxOptimizer(tx), loss="mse")
      >>> x = np.eye(2, dtype="float32")
      >>> history = model.fit(x, np.ones((2, 1)), epochs=30, verbose=0)
      >>> history.history["loss"][-1] < 0.5 * history.history["loss"][0]
      True
    """

    def __init__(
        self,
        tx: optax.GradientTransformation | _chain.Factory,
        learning_rate: Any = None,
        arguments: Mapping[str, Any] | None = None,
        **options: Any,
    ):
        own = learning_rate is None
        if own and options.get("weight_decay"):
            raise ValueError(
                "`weight_decay` must be None where `learning_rate` is None, since "
                f"Keras multiplies them, got {options['weight_decay']}: put "
                "optax.add_decayed_weights into the chain."
            )
        chain = _chain.Chain.checked(tx, arguments, own)
        super().__init__(1.0 if own else _slots.checked_rate(learning_rate), **options)
        self._chain, self._optax, self._step = chain, _slots.Built([]), _slots.Step()

    def build(self, variables: Sequence[Any]) -> None:
        """Makes a variable of each array in the chain's state.

        Args:
          variables: the model's trainable variables.
        """
        if self.built:
            return
        super().build(variables)
        built = _slots.Built([v for v in variables if not v.overwrite_with_gradient])
        rate = keras.ops.convert_to_tensor(self.learning_rate)
        state = self._chain.at(rate).init(built.params())
        built.packing = _packing.Packing.of(state)
        arrays = built.packing.pack(state)
        layouts = _layouts.of_state(state, arrays, built.places, built.moved)
        rows = zip(built.packing.names, arrays, layouts, strict=True)
        built.slots = [
            self.add_variable(
                shape=array.shape,
                initializer=_slots.constant(array),
                dtype=array.dtype.name,
                layout=layout,
                name=f"state_{number}_{name}",
            )
            for number, (name, array, layout) in enumerate(rows)
        ]
        self._optax = built

    def apply(
        self,
        grads: Sequence[Any],
        trainable_variables: Sequence[Any] | None = None,
        **extra_args: Any,
    ) -> None:
        """One step, with a gradient for every variable the optimizer was built for.

        Args:
          grads: gradients in the order of the variables; with a leading player axis if
            the chain reduces it.
          trainable_variables: the variables; those of `build` by default.
          **extra_args: extra arguments of `tx.update`, such as `losses=`.
        """
        step = self._step
        step.extra, step.gradients = {**step.extra, **extra_args}, {}
        if trainable_variables is not None and not self.built:
            self.build(list(trainable_variables))
        self._optax.check_complete(grads, trainable_variables)
        try:
            super().apply(grads, trainable_variables)
        finally:
            step.extra, step.gradients = {}, {}

    def stateless_apply(
        self,
        optimizer_variables: Sequence[Any],
        grads: Sequence[Any],
        trainable_variables: Sequence[Any],
        **extra_args: Any,
    ) -> tuple[list[Any], list[Any]]:
        """`apply` as a pure function, as Keras's JAX trainer calls it.

        Args:
          optimizer_variables: values of `optimizer.variables`.
          grads: gradients, as in `apply`.
          trainable_variables: values of the model's trainable variables.
          **extra_args: extra arguments of `tx.update`.

        Returns:
          The new values of the trainable and of the optimizer's variables.
        """
        step = self._step
        step.extra = extra_args
        try:
            return super().stateless_apply(
                optimizer_variables, grads, trainable_variables
            )
        finally:
            step.extra = {}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Takes one variable's gradient; the chain runs when all have come."""
        numbers, gradients = self._optax.numbers, self._step.gradients
        gradients[numbers[id(variable)]] = gradient
        if len(gradients) == len(numbers):
            self._advance(keras.ops.convert_to_tensor(learning_rate))

    def _advance(self, learning_rate: Any) -> None:
        built, step = self._optax, self._step
        params = built.params()
        grads = _packing.by_place(built.places, step.gradients)  # type: ignore[arg-type]
        update = self._chain.at(learning_rate).update
        with _slots.hinting_at_players(grads, params):
            updates, state = update(grads, built.state(), params, **step.extra)
        _checks.check_same_structure("updates", updates, "params", params)
        after = optax.apply_updates(params, updates)
        arrays = built.packing.pack(state)
        moved = _packing.in_order(built.places, after)
        for variable, value in zip(built.moved, moved, strict=True):
            self.assign(variable, value)
        for slot, value in zip(built.slots, arrays, strict=True):
            self.assign(slot, value)

    @property
    def opt_state(self) -> Any:
        """The chain's state, for `neat_optax.diagnostics(optimizer)` among others."""
        return self._optax.state() if self.built else ()

    @property
    def learning_rate(self) -> Any:
        """The current learning rate; 1 where the chain has its own."""
        return keras.optimizers.Optimizer.learning_rate.fget(self)  # type: ignore[attr-defined]

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        if self._chain.has_own_rate:
            raise ValueError(
                "`learning_rate` must be given to the optimizer to be set afterwards, "
                f"got {learning_rate!r} for a chain with its own rate."
            )
        keras.optimizers.Optimizer.learning_rate.fset(self, learning_rate)  # type: ignore[attr-defined]

    def diagnostic_snapshot(self) -> dict[str, float]:
        """What was measured, averaged over the steps since `reset_diagnostics`.

        Returns:
          A dictionary of Python floats, empty before the optimizer is built. What
          neat-optim measures has its keys: `mean_conflict_ratio`,
          `mean_correction_ratio`, `mean_update_alignment`, `mean_opponent_norm`,
          `correction_active_fraction`, `mean_effective_alpha`, `mean_gradient_noise`;
          every other number of `neat_optax.diagnostics` is called `mean_` and its
          name. Numbers of single players are left out.

        Raises:
          ValueError: if the chain measures nothing.
        """
        return read_snapshot(self.opt_state) if self.built else {}

    def reset_diagnostics(self) -> None:
        """Begins the averages anew; nothing that the optimizer goes by changes."""
        if not self.built:
            return
        state = _recording.restart_means(self.opt_state)
        arrays = self._optax.packing.pack(state)
        for slot, value in zip(self._optax.slots, arrays, strict=True):
            slot.assign(value)

    def get_config(self) -> dict[str, Any]:
        """The configuration that Keras saves.

        Raises:
          ValueError: unless `tx` is a registered factory with plain arguments.
        """
        config = {**super().get_config(), **self._chain.config()}
        return {**config, "learning_rate": None} if self._chain.has_own_rate else config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> "OptaxOptimizer":
        """An optimizer with that configuration, not yet built.

        Args:
          config: what `get_config` returned.
          custom_objects: objects by name, where they are not registered.
        """
        if "tx" in config:
            config = _chain.restored(config, custom_objects)
        return super().from_config(config, custom_objects)
