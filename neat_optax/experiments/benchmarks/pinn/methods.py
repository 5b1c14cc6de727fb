"""The methods: an aggregator of the terms' gradients, and the optimizer it stands in.

Aggregators stand before Adam, or inside the metric of an optimizer that divides. All
with the options of their papers; those that the papers leave open are the defaults of
`neat_optax.aggregators`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import optax

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.experiments.benchmarks.pinn import eigenbases
from neat_optax.experiments.benchmarks.pinn.network import on_layers
from neat_optax.experiments.benchmarks.pinn.watching import watch

RATES = (3e-3, 1e-2, 3e-2)
MUON_RATES = (1e-3, 3e-3, 1e-2)
SUM = "sum"


class Setting(NamedTuple):
    """What a method may know of the run."""

    rate: Callable[[Any], Any]  # of a step
    players: int
    key: jax.Array  # the seed's own
    layers: Callable[[jax.Array], Any]  # of the network, from its vector
    watched: bool = True


Aggregator = Callable[[Setting], optax.GradientTransformation]


class Method(NamedTuple):
    """How steps are made of the gradients of the terms."""

    optimizer: Callable[[optax.GradientTransformation, Setting], Any]
    aggregator: Aggregator | None = None  # None: the sum
    rates: tuple[float, ...] = RATES
    warmup: float = 0.01  # share of the steps

    @property
    def sums(self) -> bool:
        """Whether the gradient of the sum is all that it needs."""
        return self.aggregator is None

    def build(self, setting: Setting) -> optax.GradientTransformation:
        """The whole optimizer of gradients with a player axis.

        Where nothing is watched, a method that needs but the sum takes its gradient.
        """
        if setting.watched:
            own = watch((self.aggregator or _sum)(setting))
        else:
            own = self.aggregator(setting) if self.aggregator else optax.identity()
        step = self.optimizer(own, setting)
        return optax.chain(step, optax.scale_by_learning_rate(setting.rate))


def _sum(setting: Setting) -> optax.GradientTransformation:
    # the mean: no optimizer here sees the difference but those that divide by the
    # moment of the mean, whose steps a sum would make longer
    return aggregators.mean(num_players=setting.players)


def _of(factory: Callable, *options: Any) -> Aggregator:
    return lambda setting: factory(*options, num_players=setting.players)


def _by_chance(factory: Callable) -> Aggregator:
    return lambda setting: factory(key=setting.key)


def _relobralo(setting: Setting) -> optax.GradientTransformation:
    return aggregators.relobralo(num_players=setting.players, key=setting.key)


def _balanced(setting: Setting) -> optax.GradientTransformation:
    return aggregators.grad_norm_balancing(every=100, num_players=setting.players)


def before_adam(own: optax.GradientTransformation, setting: Setting):
    """The aggregate is what Adam sees."""
    del setting
    return optax.chain(own, optax.scale_by_adam())


def in_adam(own: optax.GradientTransformation, setting: Setting):
    """Adam, and the aggregator inside its metric."""
    del setting
    averaged = optax.chain(own, optax.ema(0.9, debias=True))
    return neo.precondition(averaged, debias=True)


def as_it_is(own: optax.GradientTransformation, setting: Setting):
    """The aggregate is the step."""
    del setting
    return own


def _before(optimizer: Callable[[], optax.GradientTransformation]):
    return lambda own, setting: optax.chain(own, on_layers(optimizer(), setting.layers))


def _inside(optimizer: Callable[[Any], optax.GradientTransformation]):
    return lambda own, setting: on_layers(optimizer(own), setting.layers)


def _muon() -> optax.GradientTransformation:
    # a rate of -1 leaves the sign of the gradient: the learning rate comes after it
    return optax.contrib.muon(-1.0, consistent_rms=1.0, adam_learning_rate=-1.0)


before_muon = _before(_muon)
before_soap = _before(lambda: eigenbases.soap(optax.identity()))
before_shampoo = _before(lambda: eigenbases.shampoo(optax.identity()))
in_soap = _inside(eigenbases.soap)
in_shampoo = _inside(eigenbases.shampoo)


def neat(alpha: float = 0.25, **options: Any) -> Aggregator:
    """NEAT between players, by kernels and biases unless another scope is given."""
    return lambda setting: on_layers(
        neo.player_neat_correction(alpha, num_players=setting.players, **options),
        setting.layers,
    )


def upgrad_by_leaf(setting: Setting) -> optax.GradientTransformation:
    """UPGrad on each kernel and bias alone."""
    own = aggregators.upgrad(scope=neo.per_leaf, num_players=setting.players)
    return on_layers(own, setting.layers)


_UPGRAD = _of(aggregators.upgrad)
AGGREGATORS: Mapping[str, Method] = {
    SUM: Method(before_adam),
    "random": Method(before_adam, _by_chance(aggregators.random)),
    "neat-control": Method(before_adam, neat(0.0)),
    "neat": Method(before_adam, neat()),
    "conflict-free": Method(before_adam, _of(aggregators.conflict_free)),
    "m-config": Method(as_it_is, _of(aggregators.m_config)),
    "pcgrad": Method(before_adam, _by_chance(aggregators.pcgrad)),
    "imtl-g": Method(before_adam, _of(aggregators.imtl_g)),
    "upgrad": Method(before_adam, _UPGRAD),
    "dual-proj": Method(before_adam, _of(aggregators.dual_proj)),
    "nash-mtl": Method(before_adam, _of(aggregators.nash_mtl)),
    "relobralo": Method(before_adam, _relobralo),
    "grad-norm-balancing": Method(before_adam, _balanced),
}
"""Ways to combine the gradients before Adam."""

OPTIMIZERS: Mapping[str, Method] = {
    SUM: Method(before_adam),
    "soap": Method(in_soap),
    "muon": Method(before_muon, rates=MUON_RATES),
    "shampoo": Method(in_shampoo),
    "upgrad-in-adam": Method(in_adam, _UPGRAD),
    "upgrad-before-soap": Method(before_soap, _UPGRAD),
    "upgrad-in-soap": Method(in_soap, _UPGRAD),
    "upgrad-before-muon": Method(before_muon, _UPGRAD, MUON_RATES),
    "upgrad-in-shampoo": Method(in_shampoo, _UPGRAD),
}
"""Preconditioners with the plain sum, and with a correction before or inside them."""

FEW_OPTIMIZERS = {
    name: OPTIMIZERS[name]
    for name in (SUM, "soap", "muon", "shampoo", "upgrad-in-adam", "upgrad-in-soap")
}
"""Those that are tried on every problem."""

PARTS: Mapping[str, Method] = {
    SUM: Method(before_adam),
    "neat-control": Method(before_adam, neat(0.0)),
    "neat": Method(before_adam, neat()),
    "neat-1": Method(before_adam, neat(1.0)),
    "neat-2": Method(before_adam, neat(2.0)),
    "neat-1-whole-tree": Method(before_adam, neat(1.0, scope=neo.whole_tree)),
    "upgrad": Method(before_adam, _UPGRAD),
    "upgrad-by-leaf": Method(before_adam, upgrad_by_leaf),
    "upgrad-in-adam": Method(in_adam, _UPGRAD),
    "upgrad-cold": Method(before_adam, _UPGRAD, warmup=0.0),
    "sum-cold": Method(before_adam, warmup=0.0),
}
"""Parts of a method: strength, scope, metric, warm-up."""

FIRST = {
    name: AGGREGATORS[name]._replace(rates=RATES[1:])
    for name in (SUM, "random", "nash-mtl")
}
"""A first look that takes less than a minute."""
