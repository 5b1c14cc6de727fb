"""Training of networks on a problem: all rates and seeds of a method at once."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import neat_optax as neo
from neat_optax._timing import Step
from neat_optax.experiments.benchmarks.pinn.judging import (
    Halves,
    halve,
    relative_error,
    scores_of,
)
from neat_optax.experiments.benchmarks.pinn.methods import Method, Setting
from neat_optax.experiments.benchmarks.pinn.network import Network, make_network
from neat_optax.experiments.benchmarks.pinn.problem import (
    Problem,
    draw,
    losses,
    until,
)
from neat_optax.experiments.benchmarks.pinn.watching import cosines, seen
from neat_optax.experiments.runs.loop import COMPILED_FAST, Replicas, Trainer

FINAL = 0.1
"""The last learning rate, as a share of the first."""


class Sizes(NamedTuple):
    """What decides on the cost of a run."""

    width: int = 20
    hidden: int = 3
    inside: int = 200
    outside: int = 50
    steps: int = 2500
    pieces: int = 10  # after each of which the error is taken
    end: float | None = None  # an earlier last time than the problem's own


class Run(NamedTuple):
    """A problem, a network for it, and what both are measured with."""

    problem: Problem
    network: Network
    sizes: Sizes
    reference: Halves


def make_run(problem: Problem, sizes: Sizes) -> Run:
    """What all methods on a problem share."""
    if sizes.end is not None:
        problem = until(problem, sizes.end)
    shape = len(problem.low), problem.outputs, sizes.width, sizes.hidden
    return Run(problem, make_network(*shape), sizes, halve(problem.reference()))


def make_trainer(
    run: Run, method: Method, rates: tuple[float, ...], seeds: int
) -> Trainer:
    """A trainer for every pair of rate and seed, in row-major order.

    A seed decides on the first parameters, on the points of every step, and on what a
    method draws; it means the same for every method and rate.

    Args:
      run: from `make_run`.
      method: one of `methods`.
      rates: learning rates.
      seeds: how many.
    """
    numbers = jnp.tile(jnp.arange(seeds), len(rates))
    tried = jnp.repeat(jnp.asarray(rates, jnp.float32), seeds)

    def init_one(seed: jax.Array, rate: jax.Array) -> Replicas:
        params = run.network.init(_key(0, seed))
        return Replicas(params, optimizer_of(run, method, seed, rate).init(params))

    def epoch_one(replica: Replicas, seed: jax.Array, rate: jax.Array, points: Any):
        step = step_of(run, optimizer_of(run, method, seed, rate))
        own = jax.tree.map(lambda x: x[seed], points)
        replica, rows = jax.lax.scan(step, replica, own)
        row = jax.tree.map(jnp.mean, rows)
        found = run.network.apply(replica.params, run.reference.validation.x)
        error = relative_error(found, run.reference.validation.y)
        return replica, {**row, "validation_error": error}

    @functools.partial(jax.jit, donate_argnums=0, compiler_options=COMPILED_FAST)
    def epoch_all(replicas: Replicas, points: Any):
        # one by one: a replica's arrays stay in the caches, and what is done in some
        # steps only is not done in all
        return jax.lax.map(
            lambda one: epoch_one(one[0], one[1], one[2], points),
            (replicas, numbers, tried),
        )

    init_all = jax.vmap(init_one)
    return Trainer(
        init=functools.partial(
            jax.jit(init_all, compiler_options=COMPILED_FAST), numbers, tried
        ),
        like=lambda: jax.eval_shape(init_all, numbers, tried),
        epoch=lambda replicas, number: epoch_all(
            replicas, points_of(run, seeds, number)
        ),
        scores=functools.partial(scores_of, run.network.apply, run.reference.solution),
        step=lambda: plain_step(run, method),
    )


def _key(purpose: int, seed: Any) -> jax.Array:
    return jax.random.fold_in(jax.random.key(purpose), seed)


def optimizer_of(
    run: Run, method: Method, seed: Any, rate: Any, watched: bool = True
) -> optax.GradientTransformation:
    """A method's optimizer, whose rate warms up and falls as a cosine.

    Args:
      run: what is trained.
      method: how.
      seed: decides on what the method draws.
      rate: the largest learning rate.
      watched: whether it records what it does.
    """
    steps = run.sizes.steps
    shape = optax.warmup_cosine_decay_schedule(
        0.0 if method.warmup else 1.0,
        1.0,
        max(1, round(method.warmup * steps)),
        steps,
        FINAL,
    )
    setting = Setting(
        rate=lambda step: rate * shape(step),
        players=len(run.problem.players),
        key=_key(2, seed),
        layers=run.network.layers,
        watched=watched,
    )
    return method.build(setting)


def terms_of(run: Run) -> Callable[[jax.Array, Any], list]:
    """The terms of the loss as a function of parameters and points."""
    return lambda params, batch: losses(
        run.problem,
        functools.partial(run.network.apply, params),
        functools.partial(run.network.jet, params),
        batch,
    )


def points_of(run: Run, seeds: int, number: int) -> dict[str, np.ndarray]:
    """Points for all steps of a piece, [seeds, steps, n, coordinates].

    Args:
      run: whose problem and sizes they are for.
      seeds: how many.
      number: of the piece, which with the seed decides on the points.
    """
    sizes = run.sizes
    counts = sizes.steps // sizes.pieces, sizes.inside, sizes.outside
    drawn = [
        draw(run.problem, np.random.default_rng((seed, number)), *counts)
        for seed in range(seeds)
    ]
    return {name: np.stack([own[name] for own in drawn]) for name in drawn[0]}


def step_of(run: Run, tx: optax.GradientTransformation) -> Callable:
    """A step on given points, with what is measured in it."""
    gradients = neo.value_and_player_grads(terms_of(run))
    tx = optax.with_extra_args_support(tx)

    def step(replica: Replicas, batch: Any):
        params, opt_state = replica
        values, found = gradients(params, batch)
        updates, opt_state = tx.update(found, opt_state, params, losses=values)
        pairs = cosines(found)
        row = {
            "loss": jnp.sum(values),
            "conflicting_pairs": jnp.mean(pairs < 0),
            "worst_cosine": jnp.min(pairs),
            **seen(opt_state),
        }
        return Replicas(optax.apply_updates(params, updates), opt_state), row

    return step


def plain_step(run: Run, method: Method) -> Step:
    """A step that records nothing, on given points; of a sum only its gradient."""
    tx = optimizer_of(run, method, 0, method.rates[0], watched=False)
    tx = optax.with_extra_args_support(tx)
    terms = terms_of(run)

    def of_sum(params: jax.Array, batch: Any):
        return jax.value_and_grad(lambda p: sum(terms(p, batch)))(params)

    gradients = of_sum if method.sums else neo.value_and_player_grads(terms)

    def step(params: jax.Array, opt_state: Any, batch: Any):
        values, found = gradients(params, batch)
        extra = {} if method.sums else {"losses": values}
        updates, opt_state = tx.update(found, opt_state, params, **extra)
        return optax.apply_updates(params, updates), opt_state

    params = run.network.init(_key(0, 0))
    batch = {name: x[0, 0] for name, x in points_of(run, 1, 0).items()}
    return Step(step, (params, tx.init(params), batch))
