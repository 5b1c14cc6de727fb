"""Examples with wrong labels, each a player: do they conflict, and who finds them?

In full all examples of both data sets, networks of 128 and 64 units, 100 epochs and 5
learning rates: about 60 hours on two cores, of which Fashion-MNIST takes 57.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import neat_optax as neo
from neat_optax import aggregators
from neat_optax.experiments.benchmarks import player_studies as studies_of
from neat_optax.experiments.benchmarks.multitask import has_fashion
from neat_optax.experiments.benchmarks.player_studies import Build, Problem, Sizes
from neat_optax.experiments.benchmarks.study import Benchmark, Study
from neat_optax.experiments.benchmarks.trained import ACCURACY
from neat_optax.experiments.candidates.candidate import AtEnd
from neat_optax.experiments.data import datasets
from neat_optax.experiments.data.networks import Network
from neat_optax.experiments.data.parts import Data, Split
from neat_optax.experiments.data.tasks import Losses, loss_of, make_task
from neat_optax.experiments.models import OneHead, Trunk

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
FULL_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
NAMES = (
    "mean",
    "random",
    "control",
    "neat",
    "upgrad",
    "trimmed-mean",
    "geometric-median",
    "multi-krum",
    "clip-example-norms",
)
CONTROLS = ("mean", "random", "control")
MEASURES = {
    **studies_of.MEASURES,
    "cosine of right and wrong labels' gradients": "right_with_wrong",
}
NOTES = (
    "A player is one example of a batch of 32, so that no sample is shared. The labels "
    "to train and to select by are wrong alike, since whoever has wrong labels has no "
    "others to select by; those of the test part are right. The cosine of right and "
    "wrong labels' gradients is that of their means over the validation part. "
    "`clip-example-norms` allows a length of 1. `trimmed-mean` drops one example at "
    "each end of a coordinate, `trimmed-mean-8` eight. `random` draws weights at each "
    "step, and `control` is NEAT with alpha 0."
)


class Noisy(NamedTuple):
    """A data set with wrong labels."""

    name: str
    data: Data
    wrong: np.ndarray  # [validation examples] bool
    share: float
    units: tuple[int, int]
    sizes: Sizes


def studies(full: bool = False, folder: str | None = None) -> list[Study]:
    """The studies of this benchmark.

    Args:
      full: whether with all examples.
      folder: with the files of Fashion-MNIST, without which digits are all there is.
    """
    sets = [_digits(full, share) for share in (0.2, 0.4)]
    if has_fashion(folder):
        sets += [_fashion(full, share, folder) for share in (0.2, 0.4)]
    return [*map(compare, sets), ablate(sets[1])]


def compare(given: Noisy) -> Study:
    """Aggregators of single examples on one data set."""
    before = studies_of.before_adam
    methods = {
        **studies_of.of_lineup(NAMES),
        "trimmed-mean-8": before(lambda *_: aggregators.trimmed_mean(8)),
        "clip-example-norms-0.1": before(
            lambda _, n: aggregators.clip_example_norms(0.1, num_players=n)
        ),
    }
    return _study(given, given.name, methods, {})


def ablate(given: Noisy) -> Study:
    """Strength, scope and number of groups."""
    usual = ("mean", "random", "control", "neat", "geometric-median", "upgrad")
    builds = studies_of.of_lineup(usual)
    grouped = ("neat", "geometric-median", "upgrad")
    groups = {f"{name}-8-groups": 8 for name in grouped}
    methods = {
        **builds,
        "neat-alpha-1": _neat(1.0),
        "neat-alpha-4": _neat(4.0),
        "neat-whole-tree": _neat(0.25, scope=neo.whole_tree),
        **{name: builds[name.removesuffix("-8-groups")] for name in groups},
    }
    return _study(given, f"{given.name}-ablation", methods, groups)


def _neat(alpha: float, **options: Any) -> Build:
    return studies_of.before_adam(
        lambda _, n: neo.player_neat_correction(alpha, num_players=n, **options)
    )


def _study(
    given: Noisy, name: str, methods: Mapping[str, Build], groups: Mapping[str, int]
) -> Study:
    network = _network(given.units)
    problem = functools.cache(functools.partial(_problem, given, network))

    def of(method: str) -> Problem:
        return problem(groups.get(method, given.sizes.batch_size))

    return Study(
        name=name,
        about=f"{given.data.train.x.shape[0]} images to train, "
        f"{100 * given.share:.0f} % of the labels wrong; every example of a batch a "
        "player; a dense network.",
        methods=studies_of.all_rates(methods, given.sizes.rates),
        controls=CONTROLS,
        trainer=lambda x: of(x).trainer(methods[x], given.sizes.rates),
        held_out=given.data.test,
        score=ACCURACY,
        seeds=given.sizes.seeds,
        num_epochs=given.sizes.epochs,
        settings={**of("mean").settings(), "units": given.units, "noise": given.share},
        measures=MEASURES,
        step=lambda x: of(x).step(methods[x], given.sizes.rates),
        probe=lambda: studies_of.probe_of(of("mean"), losses_of(given.data, network)),
        notes=NOTES,
        checkpoint_every=20,
    )


def _problem(given: Noisy, network: Network, players: int) -> Problem:
    task = make_task(given.data, "examples", players, network, factored=True)
    losses = losses_of(given.data, network)
    return Problem(task, given.data, given.sizes, right_with_wrong(losses, given.wrong))


def right_with_wrong(losses: Losses, wrong: np.ndarray) -> AtEnd:
    """The cosine of two mean gradients: of right labels and of wrong ones.

    Args:
      losses: of parameters and examples.
      wrong: which of the validation examples have wrong labels.
    """
    shares = np.stack([~wrong, wrong]).astype(np.float32)
    shares = shares / shares.sum(axis=1, keepdims=True)

    def at_end(params: Any, split: Any) -> dict[str, jax.Array]:
        _, pull = jax.vjp(lambda params: losses(params, split), params)
        right, false = (pull(jnp.asarray(row))[0] for row in shares)
        lengths = optax.tree.norm(right) * optax.tree.norm(false)
        cosine = optax.tree.vdot(right, false) / jnp.maximum(lengths, 1e-30)
        return {"right_with_wrong": jnp.asarray(cosine)}

    return at_end


def losses_of(data: Data, network: Network) -> Losses:
    """From parameters and a batch to the loss of each example: [examples]."""
    logits = make_task(data, None, None, network).logits
    assert logits is not None
    loss, outputs = loss_of(data), logits

    def losses(params: optax.Params, batch: Split) -> jax.Array:
        return loss(outputs(params, batch.x), batch.y)

    return losses


def _network(units: tuple[int, int]) -> Network:
    def network(data: Data, rngs: nnx.Rngs) -> nnx.Module:
        trunk = Trunk(data.train.x.shape[1], units, rngs=rngs)
        return OneHead(trunk, data.num_classes, rngs=rngs)

    return network


def _digits(full: bool, share: float) -> Noisy:
    sizes = Sizes(FULL_RATES, 20, 100, 32) if full else Sizes(RATES, 8, 25, 32)
    load = functools.partial(datasets.load, "digits", 1.0 if full else 0.5)
    return _noisy("digits", load, share, sizes, full)


def _fashion(full: bool, share: float, folder: str | None) -> Noisy:
    sizes = Sizes(FULL_RATES, 10, 100, 32) if full else Sizes(RATES, 6, 15, 32)
    name = "fashion-mnist"

    def load(label_noise: float = 0.0) -> Data:
        fraction = 1.0 if full else 0.02
        data = datasets.load(name, fraction, folder, label_noise=label_noise)
        return data if full else studies_of.halved(data, 28, 2000)

    return _noisy(name, load, share, sizes, full)


def _noisy(
    name: str, load: Callable[..., Data], share: float, sizes: Sizes, full: bool
) -> Noisy:
    data, right = load(label_noise=share), load()
    wrong = data.validation.y != right.validation.y
    units = (128, 64) if full else (64, 32)
    return Noisy(f"{name}-{100 * share:.0f}-wrong", data, wrong, share, units, sizes)


BENCHMARK = Benchmark(
    "Are examples with wrong labels players that conflict, and does it help to "
    "aggregate them otherwise than by their mean?",
    studies,
)
