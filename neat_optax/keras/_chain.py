"""What makes the optax transformation at a learning rate, and how it is saved."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import keras
import optax

from neat_optax import compat
from neat_optax.conflict._neat import neat, neat_correction, scale_by_neat
from neat_optax.plasticity import neuroplastic, scale_by_plasticity

Factory = Callable[..., optax.GradientTransformation]

_KNOWN = (
    neat,
    neat_correction,
    scale_by_neat,
    neuroplastic,
    scale_by_plasticity,
    compat.neat_adaptive,
    compat.neat_adaptive_alpha,
    compat.neat_light,
    compat.neat_lion,
)
for _factory in _KNOWN:
    keras.saving.register_keras_serializable("neat_optax")(_factory)

_PLAIN = (bool, int, float, str, type(None))


@dataclasses.dataclass(frozen=True)
class Chain:
    """A transformation, or a factory of one with its keyword arguments."""

    source: Any
    arguments: dict[str, Any]
    has_own_rate: bool

    @classmethod
    def checked(cls, source: Any, arguments: Any, has_own_rate: bool) -> "Chain":
        """A chain of what the user gave.

        Raises:
          ValueError: unless it is a transformation without arguments or a factory
            with a dictionary of them.
        """
        finished = isinstance(source, optax.GradientTransformation)
        if not finished and not callable(source):
            raise ValueError(
                "`tx` must be an optax transformation or a factory of one, got "
                f"{source!r}."
            )
        if arguments is not None and not isinstance(arguments, Mapping):
            raise ValueError(
                f"`arguments` must be a dictionary of the factory's, got {arguments!r}."
            )
        if arguments and finished:
            raise ValueError(
                "`arguments` must be None with a finished transformation, got "
                f"{sorted(arguments)}: pass its factory as `tx`."
            )
        chain: Chain = cls(source, dict(arguments or {}), has_own_rate)
        if not finished:
            chain.check_arguments()
        return chain

    def check_arguments(self) -> None:
        """Raises unless the factory takes its arguments, and needs no others."""
        source: Any = self.source
        given = dict(self.arguments)
        takes_rate = not self.has_own_rate and _takes_rate(source)
        rate = {"learning_rate": None} if takes_rate else {}
        try:
            inspect.signature(source).bind(**given, **rate)
        except TypeError as error:
            raise ValueError(
                f"`arguments` must fit {_described(source)}, got {sorted(given)} and "
                f"{'a' if rate else 'no'} learning rate: {error}."
            ) from error

    def at(self, learning_rate: Any) -> optax.GradientTransformationExtraArgs:
        """The transformation at a learning rate, a number or a traced one."""
        rate = [] if self.has_own_rate else [learning_rate]
        source = self.source
        if isinstance(source, optax.GradientTransformation):
            tx = source
        elif rate and _takes_rate(source):
            tx, rate = source(**self.arguments, learning_rate=rate[0]), []
        else:
            tx = source(**self.arguments)
        if not isinstance(tx, optax.GradientTransformation):
            raise ValueError(
                "`tx` must be an optax transformation or a factory of one, got a "
                f"function that returns {tx!r}."
            )
        parts = [tx, *map(optax.scale_by_learning_rate, rate)]
        return optax.with_extra_args_support(optax.chain(*parts) if rate else tx)

    def config(self) -> dict[str, Any]:
        """What Keras saves of it.

        Raises:
          ValueError: unless it is a registered factory with plain arguments.
        """
        name = _registered_name(self.source)
        if name is None:
            raise ValueError(
                "`tx` must be a factory with a registered name to be saved, got "
                f"{_described(self.source)}: decorate the function that builds the "
                "chain with keras.saving.register_keras_serializable() and pass the "
                "function, or save with include_optimizer=False."
            )
        arguments = {key: _encoded(key, x) for key, x in self.arguments.items()}
        return {"tx": name, "arguments": arguments}


def restored(config: Mapping[str, Any], custom_objects: Any) -> dict[str, Any]:
    """A configuration with the factory and the arguments that it names.

    Raises:
      ValueError: if nothing is registered under the name.
    """
    factory = _object(config["tx"], custom_objects)
    arguments = {
        key: _decoded(x, custom_objects) for key, x in config["arguments"].items()
    }
    return {**config, "tx": factory, "arguments": arguments}


def _object(name: str, custom_objects: Any) -> Any:
    found = keras.saving.get_registered_object(name, custom_objects)
    if found is None:
        raise ValueError(
            "`tx` and its arguments must be registered with Keras before they are "
            f"loaded, got {name!r}: import the module that registers it, or pass "
            "custom_objects=."
        )
    return found


def _takes_rate(factory: Factory) -> bool:
    return "learning_rate" in inspect.signature(factory).parameters


def _registered_name(source: Any) -> str | None:
    if isinstance(source, optax.GradientTransformation):
        return None
    try:
        name = keras.saving.get_registered_name(source)
    except (AttributeError, TypeError):  # without a name, or not hashable
        return None
    return name if keras.saving.get_registered_object(name) is source else None


def _described(source: Any) -> str:
    if isinstance(source, optax.GradientTransformation):
        return "a finished transformation"
    return f"the function {getattr(source, '__qualname__', source)}"


def _encoded(name: str, value: Any) -> Any:
    """An argument as JSON can hold it: tuples and functions as what they are."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, list):
        return [_encoded(name, part) for part in value]
    if type(value) is tuple:
        return {"tuple": [_encoded(name, part) for part in value]}
    function = _registered_name(value)
    if function is None:
        raise ValueError(
            "`arguments` must be numbers, strings, lists of them or registered "
            f"functions to be saved, got {value!r} for {name}: build it inside of a "
            "registered factory."
        )
    return {"function": function}


def _decoded(value: Any, custom_objects: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(part, custom_objects) for part in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_decoded(value["tuple"], custom_objects))
    return _object(value["function"], custom_objects)
