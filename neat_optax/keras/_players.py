"""Keras models whose optimizer gets one gradient for each player."""

from typing import Any

import jax
import jax.numpy as jnp
import keras

from neat_optax import _checks
from neat_optax.keras import _forward
from neat_optax.keras._optimizer import OptaxOptimizer
from neat_optax.players._examples import value_and_example_grads
from neat_optax.players._gradients import value_and_player_grads


class _Players:
    """A training step in which gradients have a leading player axis."""

    def train_step(self: Any, state: Any, data: Any) -> tuple[Any, Any]:
        """One step of Keras's JAX trainer.

        Args:
          state: values of the trainable, other, optimizer and metrics variables.
          data: a batch, as `fit` passes it.

        Returns:
          The logs and the new state.
        """
        trainable, other, optimizer, metrics = state
        values = _forward.Values(list(trainable), list(other), list(metrics))
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        _check_optimizer(self.optimizer)
        losses, gradients, loss, outputs, values = self._player_gradients(
            values, x, y, sample_weight
        )
        trainable, optimizer = self.optimizer.stateless_apply(
            optimizer, gradients, values.trainable, losses=losses
        )
        logs, metrics = _forward.update_metrics(
            self, values.metrics, loss, x, y, outputs, sample_weight
        )
        return logs, (trainable, values.other, optimizer, metrics)


class ExamplePlayers(_Players):
    r"""Mixin: every example, or every group of examples, is a player.

    .. math:: g_i = \nabla_p \frac{1}{|B_i|} \sum_{b \in B_i} \ell(p, b)

    Stands before the Keras class. The optimizer is an `OptaxOptimizer` whose chain
    reduces the player axis, as `neo.aggregators.upgrad()` does at its beginning. An
    example's loss is the compiled loss of that example with its sample weight, and the
    model's penalties; so the mean of the gradients is Keras's own gradient. Each
    example draws dropout masks of its own. Layers that mix examples have no gradient of
    one example and are refused, as is every other variable that the model changes
    while it trains.

    `compile` takes two arguments more:

    - `num_players`: number of groups of consecutive examples, which divides every
      batch; every example is a player by default.
    - `chunk_size`: players computed at a time; all of them by default.

    Raises:
      ValueError: when the step is traced: if the optimizer is not such a one, or clips
        or accumulates before the chain; if a layer mixes examples; if `num_players`
        does not divide a batch, the last of an epoch included; and see
        `value_and_example_grads`.

    Example:
      >>> import keras, numpy as np, optax
      >>> import neat_optax as neo, neat_optax.keras
      >>> class Net(neo.keras.ExamplePlayers, keras.Sequential):
      ...     pass
      >>> model = Net([keras.Input((2,)), keras.layers.Dense(1)])
      >>> tx = optax.chain(neo.aggregators.upgrad(), optax.adam(0.1))
      >>> model.compile(neo.keras.OptaxOptimizer(tx), loss="mse")
      >>> x, y = np.eye(2, dtype="float32"), np.ones((2, 1))
      >>> run = model.fit(x, y, epochs=30, verbose=0)
      >>> run.history["loss"][-1] < 0.5 * run.history["loss"][0]
      True
    """

    num_players: int | None = None
    chunk_size: int | None = None

    def compile(
        self: Any,
        *args: Any,
        num_players: int | None = None,
        chunk_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Keras's `compile`, and how examples are grouped."""
        for name, count in (("num_players", num_players), ("chunk_size", chunk_size)):
            if count is not None:
                _checks.check_integer(name, count, minimum=1)
        super().compile(*args, **kwargs)  # type: ignore[misc]
        self.num_players, self.chunk_size = num_players, chunk_size

    def get_compile_config(self: Any) -> dict[str, Any]:
        """What `model.save` keeps of `compile`."""
        config = super().get_compile_config()  # type: ignore[misc]
        own = {"num_players": self.num_players, "chunk_size": self.chunk_size}
        return {**config, **own} if config else config

    def compile_from_config(self: Any, config: dict[str, Any]) -> None:
        """Compiles a loaded model as it was compiled before."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def _player_gradients(
        self: Any, values: _forward.Values, x: Any, y: Any, sample_weight: Any
    ) -> Any:
        batch = (x, y, sample_weight)
        size = len(jax.tree.leaves(x)[0])
        _check_divides(self.num_players, size)
        seeds = _forward.are_seeds(self)

        def loss_fn(trainable: Any, number: Any, example: Any) -> Any:
            alone = jax.tree.map(lambda leaf: leaf[None], example)
            before = values._replace(
                trainable=trainable,
                other=_forward.reseeded(values.other, seeds, number),
            )
            loss, outputs, after = _forward.run(self, before, *alone)
            _check_apart(self, before.other, after.other, seeds)
            moved = _forward.changes(before, after)
            outputs = jax.tree.map(lambda leaf: leaf[0], outputs)
            return self.optimizer.scale_loss(loss), (loss, outputs, moved)

        gradients_of = value_and_example_grads(
            loss_fn,
            num_players=self.num_players,
            has_aux=True,
            chunk_size=self.chunk_size,
        )
        found, gradients = gradients_of(values.trainable, jnp.arange(size), batch)
        scaled, (losses, outputs, moved) = found
        after = values._replace(
            other=[a + b[0] for a, b in zip(values.other, moved.other, strict=True)],
            metrics=[
                a + jnp.sum(b, 0).astype(a.dtype)
                for a, b in zip(values.metrics, moved.metrics, strict=True)
            ],
        )
        losses_of_players = scaled / (self.optimizer.loss_scale_factor or 1.0)
        return losses_of_players, gradients, jnp.mean(losses), outputs, after


class TaskPlayers(_Players):
    """Mixin: the loss of each output of the model is a player.

    Stands before the Keras class; `compile` takes a loss for each output. There is one
    forward pass, so that batch normalization, dropout and everything else that changes
    work as in any model. Players are in the order of the model's outputs, and each
    one's loss includes the model's penalties. Sample weights multiply the examples'
    losses, those of one output or of all. The optimizer is an `OptaxOptimizer`
    whose chain reduces the player axis. Other players than outputs, such as groups of
    examples by a label, come from a class that overrides `player_losses`.

    Raises:
      ValueError: when the step is traced: if the optimizer is not such a one, or clips
        or accumulates before the chain; unless there is a loss for each output.

    Example:
      >>> import keras, numpy as np, optax
      >>> import neat_optax as neo, neat_optax.keras
      >>> class Net(neo.keras.TaskPlayers, keras.Model):
      ...     pass
      >>> x = keras.Input((2,))
      >>> heads = [keras.layers.Dense(1, name=name)(x) for name in ("up", "down")]
      >>> model = Net(x, heads)
      >>> tx = optax.chain(neo.aggregators.upgrad(), optax.adam(0.1))
      >>> model.compile(neo.keras.OptaxOptimizer(tx), loss=["mse", "mse"])
      >>> data = np.eye(2, dtype="float32"), [np.ones((2, 1)), -np.ones((2, 1))]
      >>> run = model.fit(*data, epochs=30, verbose=0)
      >>> run.history["loss"][-1] < 0.5 * run.history["loss"][0]
      True
    """

    def player_losses(
        self: Any, x: Any, y: Any, outputs: Any, sample_weight: Any
    ) -> Any:
        """The losses of the players: by default one for each output with a loss.

        Args:
          x: the inputs of the batch.
          y: the targets.
          outputs: what the model returned for `x`.
          sample_weight: weights of examples, or None.

        Returns:
          A list of numbers, or an array [P].
        """
        del x
        return _forward.losses_of_outputs(self, y, outputs, sample_weight)

    def _player_gradients(
        self: Any, values: _forward.Values, x: Any, y: Any, sample_weight: Any
    ) -> Any:
        def losses_fn(trainable: Any) -> Any:
            before = values._replace(trainable=trainable)
            losses, others = _forward.run_players(self, before, x, y, sample_weight)
            return jax.tree.map(self.optimizer.scale_loss, losses), others

        gradients_of = value_and_player_grads(losses_fn, has_aux=True)
        found, gradients = gradients_of(values.trainable)
        losses, (loss, outputs, after) = found
        losses = losses / (self.optimizer.loss_scale_factor or 1.0)
        after = after._replace(trainable=values.trainable)
        return losses, gradients, loss, outputs, after


_IN_CHAIN = {
    "clipnorm": "put optax.clip_by_block_rms or the like behind the aggregator",
    "clipvalue": "put optax.clip behind the aggregator",
    "global_clipnorm": "put optax.clip_by_global_norm behind the aggregator",
    "gradient_accumulation_steps": "write neat_optax.accumulate_players(chain, steps)",
}


def _check_optimizer(optimizer: Any) -> None:
    if not isinstance(optimizer, OptaxOptimizer):
        hint = (
            ": compute in mixed_bfloat16, which needs no loss scaling"
            if hasattr(optimizer, "inner_optimizer")
            else " whose chain reduces the player axis"
        )
        raise ValueError(
            "`optimizer` must be a neat_optax.keras.OptaxOptimizer for players, got "
            f"{type(optimizer).__name__}{hint}."
        )
    for name, instead in _IN_CHAIN.items():
        value = getattr(optimizer, name)
        if value is not None:
            raise ValueError(
                f"`{name}` must be None for players, whose gradients have an axis that "
                f"Keras does not know, got {value}: {instead}."
            )


def _check_divides(num_players: int | None, size: int) -> None:
    if num_players is not None and size % num_players:
        raise ValueError(
            f"`num_players` must divide every batch, got {num_players} for one of "
            f"{size} examples: choose a batch_size that it divides, and leave out a "
            "smaller last batch, by x[: len(x) // batch_size * batch_size] or "
            "drop_remainder=True of the data set."
        )


def _check_apart(model: Any, before: Any, after: Any, seeds: Any) -> None:
    """Raises if an example changes what all examples share."""
    variables = model.non_trainable_variables
    for variable, old, new, seed in zip(variables, before, after, seeds, strict=True):
        if new is not old and not seed:
            raise ValueError(
                f"`{variable.path}` must not change in the loss of one example, got a "
                "layer that changes it, such as BatchNormalization, which mixes "
                "examples: use GroupNormalization or LayerNormalization, or set that "
                "layer's trainable to False."
            )
