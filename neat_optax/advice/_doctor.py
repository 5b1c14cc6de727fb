"""`doctor`: a short look at how the players of a model conflict, and what to do."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import optax

from neat_optax import _checks
from neat_optax.advice import _candidates
from neat_optax.advice._code import RATE
from neat_optax.advice._costs import StepCost, step_costs
from neat_optax.advice._diagnosis import Diagnosis
from neat_optax.advice._geometry import step_cosines
from neat_optax.advice._measures import measure
from neat_optax.advice._probing import probe
from neat_optax.advice._problem import pose
from neat_optax.advice._rules import cause, recommend
from neat_optax.advice._steps import compile_steps
from neat_optax.advice._trial import trials

_log = logging.getLogger(__name__)


def doctor(
    losses_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    params: optax.Params,
    batches: Any,
    *,
    steps: int = 100,
    trial_steps: int = 200,
    seeds: int = 6,
    optimizer: optax.GradientTransformation | None = None,
    factors: Sequence[float] = (0.3, 1.0, 3.0),
    candidates: Iterable[str] | Mapping[str, Callable[[int], Any]] | None = None,
    halves: Callable[[Any], tuple[Any, Any]] | None = None,
    players: Iterable[str] | None = None,
    has_aux: bool = False,
) -> Diagnosis:
    r"""Says whether a model's players conflict beyond noise, and what helps if so.

    A copy of the parameters is trained for a few steps with the players' mean. At each
    step the gradients of two batches are compared at the same parameters. For players
    :math:`i \ne j` and batches :math:`A, B`,

    .. math::

        \text{between} = P(g_i^A \cdot g_j^B < 0), \qquad
        \text{within} = P(g_i^A \cdot g_i^B < 0)

    The second is conflict of a player with itself: what noise alone makes. A pair
    counts as opposed where its cosine on two batches stays negative over the probe, and
    is below -0.1 with the noise of both taken out. A player is harmed by the mean where
    :math:`g_i^B \cdot \bar g^A` is negative beyond its spread over steps. If
    there is cause, short trainings from that copy, with the same batches and as many
    learning rates for each, compare the mean with a few candidates. Where
    some parameters belong to one player alone, only the others are measured and
    aggregated. Nothing of the caller's is changed.

    What it is doing it tells to `logging.getLogger("neat_optax")`, at the level `INFO`.

    Args:
      losses_fn: as `value_and_player_grads` takes it: a function of parameters and a
        batch that returns the players' losses, an array [P], a list or a dictionary; or
        a sequence or dictionary of functions that return one loss each.
      params: a tree, or an `nnx.Module`, which is not changed either.
      batches: a list of batches of one shape, an iterator, or a function from a number
        to a batch. At most `steps + 1` are read; eight or more are a good number, since
        a quarter of them is held out in the trial. One batch is taken for all the data:
        then there is no noise.
      steps: of the probe, at least 2.
      trial_steps: of each training in the trial; 0 for no trial. There is none either
        where nothing gives cause for it, unless candidates are named.
      seeds: trainings of each candidate: from slightly moved parameters, other batches
        held out, and the others in another order; at least 2.
      optimizer: what follows the mean or an aggregator; it sees gradients as long as
        the players' mean. By default `optax.adam(1e-3)`.
      factors: on the optimizer's updates, as on its learning rate. In the trial each
        candidate, and the mean, tries all of them with the first seed.
      candidates: names of those that are timed and tried, among
        `neat_optax.advice.KNOWN`; or a dictionary from names to functions from the
        number of players to an aggregator. By default a few. Those that are named are
        timed and tried even where nothing gives cause for it.
      halves: from a batch to two independent halves of it, where draws of whole
        batches are not independent.
      players: names of the players; by default keys of a dictionary, or numbers.
      has_aux: whether `losses_fn` returns something besides the losses.

    Returns:
      A `Diagnosis`: `print` shows it as a text, `to_json()` writes all of it, and
      `neat_optax.plot.diagnosis` draws it.

    Raises:
      ValueError: if an argument is out of range, batches differ in shape, or no loss is
        finite at `params`.

    Example:
      >>> import jax.numpy as jnp, neat_optax as neo
      >>> ends, scales = jnp.array([1.0, 2.0]), jnp.array([1.0, 30.0])
      >>> losses = lambda params, batch: scales * (params - ends) ** 2
      >>> found = neo.doctor(losses, jnp.zeros(2), [jnp.ones(())], trial_steps=0)
      >>> found.measures.norm_ratio > 10
      True
    """
    _checks.check_count("steps", steps, minimum=2)
    _checks.check_count("trial_steps", trial_steps, minimum=0)
    _checks.check_count("seeds", seeds, minimum=2)
    usual = _optimizer(optimizer)
    tried = _factors(factors)
    own = None if candidates is None else _candidates.named(candidates)
    problem = pose(
        losses_fn,
        params,
        batches,
        most=steps + 1,
        halves=halves,
        has_aux=has_aux,
        players=players,
    )
    count, names = problem.num_players, problem.players
    _log.info("probe of %d players, %d steps", count, steps)
    met = probe(problem, usual, steps)
    kinds = {"sampled": problem.is_sampled, "heads": problem.has_heads}
    measures = measure(met, names, **kinds)._replace(is_module=problem.is_module)
    why = cause(measures)
    _log.info("cause for a method: %s", why or "none")
    asked = own is not None and count > 1
    if own is None:
        own = _candidates.named(_candidates.usual(count, measures.alike))
    if why or asked:
        compiled = compile_steps(problem, own, usual)
        measures = measures._replace(costs=step_costs(problem, compiled))
        if trial_steps:
            _announce(measures.costs, (len(tried) + seeds - 1) * trial_steps)
            options = tried, trial_steps, seeds, measures.alike
            measures = measures._replace(trial=trials(problem, compiled, *options))
    advice = recommend(measures, candidates={**_candidates.KNOWN, **own})
    return Diagnosis(measures, advice, step_cosines(met.plain, count), met.losses)


def _announce(costs: Mapping[str, StepCost], steps: int) -> None:
    """Says how long a trial takes, from what was measured."""
    seconds = steps * sum(cost.milliseconds for cost in costs.values()) / 1e3
    each = "trial: %d steps with the mean and each candidate, about %.0f s of computing"
    _log.info(each, steps, seconds)


def _optimizer(
    given: optax.GradientTransformation | None,
) -> optax.GradientTransformation:
    if given is None:
        return optax.adam(RATE)
    _checks.check_kind("optimizer", given, optax.GradientTransformation)
    return given


def _factors(given: Sequence[float]) -> tuple[float, ...]:
    if not given:
        raise ValueError("`factors` must hold at least one number, got none.")
    for factor in given:
        _checks.check_number("factors", factor, "(0, inf)")
    return tuple(given)
