"""The networks for a data set, by name."""

import functools
from collections.abc import Callable

from flax import nnx

from neat_optax import _checks
from neat_optax.experiments.data.datasets import SHAPES, TEXTS
from neat_optax.experiments.data.parts import Data
from neat_optax.experiments.models import (
    ConvTrunk,
    MultiHead,
    OneHead,
    ResidualTrunk,
    TextTrunk,
    Trunk,
)
from neat_optax.experiments.models.shapes import Shape

Network = Callable[[Data, nnx.Rngs], nnx.Module]
"""From a data set and what makes weights random to a network."""


def _dense(data: Data, rngs: nnx.Rngs) -> nnx.Module:
    return Trunk(data.train.x.shape[1], rngs=rngs)


def _text(data: Data, rngs: nnx.Rngs) -> nnx.Module:
    length = data.train.x.shape[1]
    return TextTrunk(data.num_tokens, length, causal=data.sequential, rngs=rngs)


def _of_images(kind: Callable) -> Callable[[Shape], Network]:
    return lambda shape: lambda _, rngs: kind(shape, rngs=rngs)


IMAGE_TRUNKS = {"cnn": _of_images(ConvTrunk), "resnet": _of_images(ResidualTrunk)}
MODELS = {
    "mlp": "two hidden layers, the usual one",
    "cnn": "two convolutions and a hidden layer, for images",
    "resnet": "three residual blocks with GroupNorm, for images",
    "transformer": "two blocks of attention, for text, and the usual one there",
}


def models_for(dataset: str) -> tuple[str, ...]:
    """The names of the models that fit a data set, the usual one first."""
    if dataset in TEXTS:
        return ("transformer",)
    return ("mlp", *IMAGE_TRUNKS) if dataset in SHAPES else ("mlp",)


def choose(dataset: str, model: str | None = None) -> Network:
    """The network of that name for a data set; without one, the usual.

    One that has several labels for each example gets a head for each, and all others
    one linear layer.
    """
    fitting = models_for(dataset)
    model = fitting[0] if model is None else model
    _checks.check_choice("model", model, fitting)
    if model in IMAGE_TRUNKS:
        return functools.partial(_network, IMAGE_TRUNKS[model](SHAPES[dataset]))
    return usual if model == "mlp" else functools.partial(_network, _text)


def usual(data: Data, rngs: nnx.Rngs) -> nnx.Module:
    """Dense layers, or a transformer for text."""
    return _network(_text if data.tokens else _dense, data, rngs)


def _network(trunk: Network, data: Data, rngs: nnx.Rngs) -> nnx.Module:
    made = trunk(data, rngs)
    if data.train.y.ndim == 1 or data.sequential:
        return OneHead(made, data.num_classes, rngs=rngs)
    outputs = 1 if data.multi_label or data.targets else data.num_classes
    return MultiHead(made, data.num_labels, outputs, rngs=rngs)
