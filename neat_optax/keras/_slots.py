"""What an optimizer keeps of its variables, and how it is given a learning rate."""

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from neat_optax import _checks
from neat_optax.keras import _packing


class Built:
    """What belongs to the variables that an optimizer was built for."""

    def __init__(self, moved: list[Any]):
        self.moved = moved
        self.numbers = {id(variable): i for i, variable in enumerate(moved)}
        self.places = _packing.places([variable.path for variable in moved])
        self.packing = _packing.Packing.of(())
        self.slots: list[Any] = []

    def state(self) -> Any:
        """The optax state that the slots hold, inside of a stateless scope too."""
        return self.packing.unpack([slot.value for slot in self.slots])

    def params(self) -> Any:
        """The parameters as the chain sees them."""
        return _packing.by_place(self.places, [v.value for v in self.moved])

    def check_complete(self, grads: Sequence[Any], variables: Any) -> None:
        """Raises unless each variable has a gradient; None stands for all variables."""
        given = self.moved if variables is None else list(variables)
        pairs = zip(given, grads, strict=False)
        with_gradient = {id(v) for v, gradient in pairs if gradient is not None}
        missing = [v.path for v in self.moved if id(v) not in with_gradient]
        if missing:
            raise ValueError(
                "`grads` must have a gradient for every variable that the optimizer "
                f"was built for, got none for {', '.join(missing)}."
            )


class Step:
    """Gradients of one step, which Keras hands over one by one."""

    def __init__(self):
        self.extra: dict[str, Any] = {}
        self.gradients: dict[int, Any] = {}


@contextlib.contextmanager
def hinting_at_players(grads: Any, params: Any) -> Iterator[None]:
    """Says what makes players where a chain misses them in a model's own gradients."""
    try:
        yield
    except ValueError as error:
        of_players = jax.tree.map(jnp.shape, grads) != jax.tree.map(jnp.shape, params)
        if of_players or "player axis" not in str(error):
            raise
        raise ValueError(
            f"{str(error).rstrip('.')}: let the model's class begin with TaskPlayers "
            "or ExamplePlayers of neat_optax.keras, as in class "
            "Net(ExamplePlayers, keras.Sequential)."
        ) from error


def constant(array: Any) -> Any:
    """An initializer that copies, since a state may hold the parameters themselves."""

    def initialize(shape: Any, dtype: Any = None) -> Any:
        del shape, dtype
        return jnp.array(array, copy=True)

    return initialize


def checked_rate(rate: Any) -> Any:
    schedule = keras.optimizers.schedules.LearningRateSchedule
    if isinstance(rate, schedule):
        return rate
    if callable(rate):
        parameters = inspect.signature(rate).parameters.values()
        if any(p.default is p.empty and p.kind < p.VAR_POSITIONAL for p in parameters):
            raise ValueError(
                "`learning_rate` must be a number, a Keras schedule or a function "
                f"without arguments, got {rate!r}: an optax schedule goes into the "
                "chain, with learning_rate=None."
            )
        return rate
    _checks.check_number("learning_rate", rate, "[0, inf)")
    return float(rate)
