"""A training step on the gradients of several players."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax.training.train_state import TrainState

from neat_optax import _checks
from neat_optax.aggregators import aggregate
from neat_optax.aggregators._weighting import Weighting, as_weighting
from neat_optax.training import _losses, _player_gradients, _unstacked
from neat_optax.training._flax_state import begin_with
from neat_optax.training._models import Model
from neat_optax.training._player_factors import taking_factors
from neat_optax.training._player_kinds import PlayerKind
from neat_optax.training._player_rows import Rows, make_rows
from neat_optax.training._step import (
    Gradients,
    Step,
    TrainingState,
    make_step,
)


def player_train_step(
    model: Model | TrainState,
    loss: _losses.Loss,
    tx: optax.GradientTransformation | None = None,
    *,
    players: PlayerKind,
    weighting: Weighting | Callable[[jax.Array], jax.Array] | None = None,
    dtype: Any = None,
    scale: Any = None,
    ema: float | None = None,
    extras: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    measures: Callable[[Any], dict[str, jax.Array]] | None = None,
) -> Step:
    r"""A step of gradients with a player axis.

    .. math:: u = \operatorname{tx}(g_1, \dots, g_P), \qquad g_i = \nabla_p\, \ell_i(p)

    `tx` gets all gradients, so that it may hold any aggregator or contest. Those of
    examples stay factors where that is cheaper, and where `tx` reads them: an
    aggregator or contest first in the chain does. What cannot stay factors is formed,
    and everything is where `tx` asks for it, so that the step is the same to rounding.

    With a `weighting`, that stands before `tx`, as `aggregate(weighting)` over the
    whole tree. With one and a `chunk_size` of :math:`c`, no stack of gradients exists:
    the Gramian is measured in blocks of `c` players, whose gradients are made anew for
    each, and `tx` gets the weighted sum,

    .. math:: u = \operatorname{tx}\Bigl(\sum_i w_i\, g_i\Bigr), \qquad
        w = \operatorname{weighting}(G), \quad G_{ij} = g_i \cdot g_j

    in memory of :math:`2 c` gradients and the time of about :math:`P (P / c + 5) / 2`.
    What needs the gradients themselves cannot be had in this way: coordinates
    (`graddrop`, `trimmed_mean`), an average for each player (`moco`, `db_mtl`),
    contests, other scopes, and the second look that `upgrad`, `dual_proj` and `mgda`
    take at players that cancel to rounding. Squares of norms must be within float32.

    Args:
      model: as for `train_step`. A `TrainState` of Flax takes no `weighting`, since its
        optimizer's state would not fit.
      loss: as for `train_step`; with `tasks()` it returns one loss for each player.
      tx: a chain that reduces the player axis; without one, an optimizer, if there is a
        `weighting`. It gets the extra argument `losses=`, [P], and those of `extras`.
        That of a `TrainState` by default.
      players: `examples()`, `tasks()` or `microbatches(count)`.
      weighting: a `Weighting`, or a function from a Gramian [P, P] to weights [P], such
        as `aggregators.upgrad_weights` or `players.neat_weights`.
      dtype, ema, measures: as for `train_step`.
      scale: as for `train_step`. A step is left out where the gradients of any player
        are not finite.
      extras: as for `train_step`; `aux` has a leading player axis where players are
        parts of the batch.

    Returns:
      A `Step`. Its logs are `loss`, the mean over the players, that of each task as
      `loss_<name>`, the means in `aux`, and those of `measures`.

    Raises:
      ValueError: when it is traced, if the number of losses or of examples does not
        fit, if nothing reduces the players, or if players are examples and the model
        changes what it carries, as batch normalization does in training mode.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from neat_optax import aggregators
      >>> from neat_optax.training import from_function, tasks
      >>> model = from_function(lambda p: p, jnp.array([0.0, 0.0]))
      >>> def losses(model, batch):
      ...     return [jnp.sum((model() - target) ** 2) for target in batch]
      >>> tx = optax.chain(aggregators.upgrad(), optax.sgd(0.1))
      >>> step = player_train_step(model, losses, tx, players=tasks())
      >>> state, logs = step.update(step.init(), jnp.array([[1.0, 0.0], [0.0, 1.0]]))
      >>> print(state.params, logs["loss_0"])
      [0.1 0.1] 1.0
    """
    _checks.check_kind("players", players, PlayerKind)
    model, chain, init = begin_with(model, tx)
    _checks.check_kind("tx", chain, optax.GradientTransformation)
    if init is not None and weighting is not None:
        raise ValueError(
            "`weighting` must be None with a TrainState, got "
            f"{weighting}: put aggregate(weighting) first in its tx."
        )
    _checks.check_function("loss", loss)
    _checks.check_dtype("dtype", dtype)
    rule = None if weighting is None else as_weighting(weighting)
    if rule is not None:
        _check_count(rule, players)
    if rule is None or players.chunk_size is None:
        chain = taking_factors(chain if rule is None else _behind(rule, chain, players))
        find = functools.partial(_together, players)
    else:
        chain = _unstacked.around(rule, chain, players.num_players)
        find = functools.partial(_in_chunks, rule, players.chunk_size)

    def gradients(state: TrainingState, batch: Any) -> Gradients:
        rows = make_rows(players, model, loss, dtype, state, batch)
        return _to_gradients(rows, find(rows, state), state.scale, extras)

    step = make_step(model, gradients, chain, measures=measures, ema=ema, scale=scale)
    return step if init is None else step._replace(init=init)


class _Found(NamedTuple):
    losses: jax.Array  # [P]
    others: Any  # `(aux, extra)` of the batch
    grads: Any  # of all players, or their weighted sum
    finite: jax.Array | None  # [P]; None: nobody asks
    kept: dict[str, Any]  # the weighting's state, where the optimizer keeps it


def _together(players: PlayerKind, rows: Rows, state: TrainingState) -> _Found:
    """All gradients at once."""
    factor = _factor(state)
    found = _player_gradients.of_all(rows, players, state.params, factor)
    (losses, others), grads = found
    finite = None if factor is None else _player_gradients.are_finite(grads)
    return _Found(losses, others, grads, finite, {})


def _in_chunks(rule: Weighting, size: int, rows: Rows, state: TrainingState) -> _Found:
    """So many players at a time, and a weighted sum at the end."""
    chunks = _unstacked.make_chunks(rows, size, state.params, _factor(state))
    gramian, losses = _unstacked.measure(chunks, rows.num_players)
    weights, finite, own = _unstacked.decide(rule, gramian, losses, state.opt_state)
    grads, others = _unstacked.combine(chunks, weights, finite, state.params)
    return _Found(losses, rows.gather(others), grads, finite, {"weighting": own})


def _to_gradients(
    rows: Rows, found: _Found, scale: Any, extras: Callable[..., Any] | None
) -> Gradients:
    """What a step takes, with the logs."""
    aux, extra = found.others
    more = {} if extras is None else extras(aux)
    logs = {"loss": jnp.mean(found.losses), **_losses.logged(aux)}
    logs |= {f"loss_{name}": found.losses[i] for i, name in enumerate(rows.names)}
    arguments = {"losses": found.losses, **found.kept, **more}
    if scale is None or found.finite is None:
        return Gradients(found.grads, logs, extra, arguments)
    finite = jnp.all(found.finite)
    after = _player_gradients.next_scale(scale, finite)
    return Gradients(found.grads, logs, extra, arguments, after, finite)


def _factor(state: TrainingState) -> Any:
    """What losses are multiplied by in the backward pass."""
    return None if state.scale is None else state.scale.scale


def _behind(
    rule: Weighting, tx: optax.GradientTransformation, players: PlayerKind
) -> optax.GradientTransformation:
    """The optimizer behind an aggregator of that rule."""
    return optax.chain(aggregate(rule, num_players=players.num_players), tx)


def _check_count(rule: Weighting, players: PlayerKind) -> None:
    if rule.needs_num_players and players.num_players is None:
        raise ValueError(
            f"`players` must be microbatches(count) for {rule.name}, which remembers "
            f"something of each, got {players.kind}()."
        )
