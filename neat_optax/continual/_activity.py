"""Mean activations of units, from what a Flax model records."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree


def layer_activity(
    outputs: Any,
    layers: Sequence[str],
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
    *,
    signed: bool = False,
) -> dict[str, jax.Array]:
    """The mean absolute activation of each unit, from recorded outputs of layers.

    Args:
      outputs: what `nnx.capture(..., nnx.Intermediate,
        method_outputs=nnx.Intermediate)` returns beside the result in NNX, or what
        `model.apply(..., capture_intermediates=True, mutable=["intermediates"])` does
        in linen. They hold the outputs of layers, before their activation function.
      layers: paths of layers, as `reset_dormant` takes them.
      activation: the function that follows the layers.
      signed: whether activations count with their sign, as `unit_mean=` of
        `continual_backprop` needs it.

    Returns:
      For each layer [units], the mean of the size over all axes but the last, and
      over all calls of the layer: what `reset_dormant` and `continual_backprop` take as
      `unit_activity=`.

    Raises:
      ValueError: if a layer has no recorded output.

    Example:
      >>> import jax.numpy as jnp
      >>> outputs = {"first": {"__call__": (jnp.array([[1.0, -2.0], [3.0, -4.0]]),)}}
      >>> layer_activity(outputs, ["first"])["first"].tolist()
      [2.0, 0.0]
    """
    _checks.check_function("activation", activation)
    _checks.check_bool("signed", signed)
    found: dict[str, list[jax.Array]] = {}
    pairs = zip(_tree.leaf_names(outputs), jax.tree.leaves(outputs), strict=True)
    for name, output in pairs:
        layer, called, _ = name.partition("/__call__")
        if called:
            found.setdefault(layer.removeprefix("intermediates/"), []).append(output)
    for layer in layers:
        if layer not in found:
            raise ValueError(
                f"`outputs` must hold the output of the layer {layer!r}, got those of "
                f"{', '.join(found) or 'no layer'}."
            )
    return {layer: _mean(found[layer], activation, signed) for layer in layers}


def _mean(
    outputs: Sequence[jax.Array],
    activation: Callable[[jax.Array], jax.Array],
    signed: bool,
) -> jax.Array:
    active = [_tree.widen(activation(output)) for output in outputs]
    counted = active if signed else [jnp.abs(x) for x in active]
    means = [jnp.mean(x, axis=tuple(range(x.ndim - 1))) for x in counted]
    return jax.lax.stop_gradient(sum(means[1:], means[0]) / len(means))
