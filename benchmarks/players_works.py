"""Models, batches and steps that `players.py` and `players_jax.py` time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

import neat_optax as neo
from neat_optax import aggregators

SGD = optax.sgd(0.01)
RNG = np.random.default_rng(0)


class Dense(nn.Module):
    """Dense layers."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x):
        """Logits."""
        for width in self.widths:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(10)(x)


class Convolutional(nn.Module):
    """Two convolutions and two dense layers."""

    @nn.compact
    def __call__(self, x):
        """Logits."""
        for width in (16, 32):
            x = nn.max_pool(nn.relu(nn.Conv(width, (3, 3))(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(128)(x.reshape(*x.shape[:-3], -1)))
        return nn.Dense(10)(x)


class Transformer(nn.Module):
    """Four layers of width 128, of the mean over places."""

    @nn.compact
    def __call__(self, ids):
        """Logits."""
        embed = nn.Embed(512, 128)
        places = self.param("places", nn.initializers.normal(0.02), (64, 128))
        x = embed(ids) + places
        for _ in range(4):
            x = x + nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x))
            x = x + nn.Dense(128)(nn.gelu(nn.Dense(512)(nn.LayerNorm()(x))))
        return nn.Dense(10)(jnp.mean(x, axis=-2))


class Rule(NamedTuple):
    """What combines the players, and gates: multiples of the plain step."""

    tx: optax.GradientTransformationExtraArgs
    time: float | None = None
    memory: float | None = None


class Work(NamedTuple):
    """A model, a batch, and the rules of its steps."""

    name: str
    model: nn.Module
    x: np.ndarray
    rules: dict[str, Rule]


def neat(time: float | None = None, memory: float | None = None) -> dict[str, Rule]:
    """NEAT against the mean of the others, by each leaf."""
    return {"NEAT": Rule(neo.player_neat_correction(0.5), time, memory)}


def upgrad(time: float, memory: float | None = None) -> dict[str, Rule]:
    return {"UPGrad": Rule(aggregators.upgrad(), time, memory)}


def clipping() -> dict[str, Rule]:
    return {"clipping": Rule(aggregators.clip_example_norms(1.0), 1.2)}


def images(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


WIDE, CNN = Dense((256, 256)), Convolutional()
SMALL_MLP = Work(
    "MLP 32-128-128-10, 128", Dense((128, 128)), images(128, 32), upgrad(20)
)
CIFAR_CNN = Work("CNN 32 x 32 x 3, 128", CNN, images(128, 32, 32, 3), upgrad(2))
SMALL_MLP.rules.update(clipping())
CIFAR_CNN.rules.update(clipping())
WORKS = [
    Work("MLP 784-256-256-10, 64", WIDE, images(64, 784), neat(1.4)),
    Work("MLP 784-256-256-10, 256", WIDE, images(256, 784), neat(2.0, 4)),
    Work("MLP 784-256-256-10, 128", WIDE, images(128, 784), clipping()),
    SMALL_MLP,
    Work("CNN 28 x 28, 64", CNN, images(64, 28, 28, 1), neat(1.35)),
    Work("CNN 28 x 28, 256", CNN, images(256, 28, 28, 1), neat(1.35, 2)),
    Work("CNN 28 x 28, 128", CNN, images(128, 28, 28, 1), clipping()),
    CIFAR_CNN,
    Work(
        "transformer, 32 of length 64",
        Transformer(),
        RNG.integers(0, 512, (32, 64)),
        {
            **upgrad(1.25, 1.3),
            "IMTL-G": Rule(aggregators.imtl_g(), 1.25, 1.3),
            **neat(),
        },
    ),
]


class Step(NamedTuple):
    """One step of training, and what its optimizer begins with."""

    update: Callable[..., Any]
    init: Callable[[Any], Any]


def make_batch(work: Work) -> Any:
    """Examples and random labels, on the device."""
    return jax.device_put((work.x, RNG.integers(0, 10, len(work.x))))


def make_params(work: Work) -> Any:
    return work.model.init(jax.random.key(0), work.x)


def make_loss(work: Work) -> Callable[..., jax.Array]:
    """Cross-entropy of one example, or of each of many."""

    def loss(params, x, label):
        logits = work.model.apply(params, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, label)

    return loss


def make_plain(work: Work) -> Step:
    """The step of the mean gradient."""
    loss = make_loss(work)

    def step(params, state, x, labels):
        gradient = jax.grad(lambda p: jnp.mean(loss(p, x, labels)))(params)
        updates, state = SGD.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    return Step(step, SGD.init)


def make_step(work: Work, rule: Rule, factored: bool) -> Step:
    """A step that knows the gradient of every example."""
    of_each = neo.value_and_example_grads(make_loss(work), factored=factored)
    chain = optax.chain(rule.tx, SGD)

    def step(params, state, x, labels):
        _, gradients = of_each(params, x, labels)
        updates, state = chain.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    return Step(step, chain.init)
