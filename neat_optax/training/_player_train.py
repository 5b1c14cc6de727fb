"""A training step on the gradients of several players."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax.aggregators._weighting import Weighting, as_weighting
from neat_optax.players._gradients import map_rows, value_and_player_grads
from neat_optax.training import _losses, _unstacked
from neat_optax.training._models import Model
from neat_optax.training._player_kinds import PlayerKind
from neat_optax.training._player_rows import Rows, make_rows
from neat_optax.training._step import (
    Gradients,
    Step,
    TrainingState,
    make_step,
)


def player_train_step(
    model: Model,
    loss: _losses.Loss,
    tx: optax.GradientTransformation,
    *,
    players: PlayerKind,
    weighting: Weighting | Callable[[jax.Array], jax.Array] | None = None,
    dtype: Any = None,
    ema: float | None = None,
    extras: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    measures: Callable[[Any], dict[str, jax.Array]] | None = None,
) -> Step:
    r"""A step of gradients with a player axis.

    .. math:: u = \operatorname{tx}(g_1, \dots, g_P), \qquad g_i = \nabla_p\, \ell_i(p)

    Without a `weighting`, `tx` gets the stacked gradients, `P` times the parameters, so
    that it may hold any aggregator or contest. With one, no stack exists: the Gramian
    is measured in blocks of `chunk_size` players, whose gradients are made anew for
    each, and `tx` gets the weighted sum,

    .. math:: u = \operatorname{tx}\Bigl(\sum_i w_i\, g_i\Bigr), \qquad
        w = \operatorname{weighting}(G), \quad G_{ij} = g_i \cdot g_j

    in memory of :math:`2 c` gradients for chunks of :math:`c`, and the time of about
    :math:`P (P / c + 5) / 2`. This is `aggregate(weighting)` before `tx` over the whole
    tree. What needs the gradients themselves cannot be had in this way: coordinates
    (`graddrop`, `trimmed_mean`), an average for each player (`moco`, `db_mtl`),
    contests, other scopes, and the second look that `upgrad`, `dual_proj` and `mgda`
    take at players that cancel to rounding. Squares of norms must be within float32.

    Args:
      model: from `from_nnx`, `from_linen` or `from_function`.
      loss: as for `train_step`; with `tasks()` it returns one loss for each player.
      tx: a chain that reduces the player axis; without one, an optimizer, if there is a
        `weighting`. It gets the extra argument `losses=`, [P], and those of `extras`.
      players: `examples()`, `tasks()` or `microbatches(count)`.
      weighting: a `Weighting`, or a function from a Gramian [P, P] to weights [P], such
        as `aggregators.upgrad_weights` or `players.neat_weights`.
      dtype, ema, measures: as for `train_step`. A loss scale is not offered.
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
    _checks.check_function("loss", loss)
    _checks.check_dtype("dtype", dtype)
    rule = None if weighting is None else as_weighting(weighting)

    def gradients(state: TrainingState, batch: Any) -> Gradients:
        rows = make_rows(players, model, loss, dtype, state, batch)
        if rule is None:
            losses, others, grads = _stacked_grads(rows, players.chunk_size, state)
            kept = {}
        else:
            losses, others, grads, kept = _summed(rule, rows, players.chunk_size, state)
        aux, extra = others
        more = {} if extras is None else extras(aux)
        logs = {"loss": jnp.mean(losses), **_losses.logged(aux)}
        logs |= {f"loss_{name}": losses[i] for i, name in enumerate(rows.names)}
        return Gradients(grads, logs, extra, {"losses": losses, **kept, **more})

    if rule is not None:
        _check_count(rule, players)
        tx = _unstacked.around(rule, tx, players.num_players)
    return make_step(model, gradients, tx, measures=measures, ema=ema)


def _stacked_grads(rows: Rows, chunk_size: int | None, state: TrainingState):
    """Losses [P], what is beside them, and gradients [P, ...]."""
    if rows.whole is not None:
        of_all = value_and_player_grads(rows.whole, has_aux=True, chunk_size=chunk_size)
        (losses, others), grads = of_all(state.params)
        return losses, others, grads
    of_player = jax.value_and_grad(rows.loss, has_aux=True)
    (losses, others), grads = map_rows(
        lambda row: of_player(state.params, row), rows.inputs, chunk_size
    )
    return losses, rows.gather(others), grads


def _summed(rule: Weighting, rows: Rows, chunk_size: int | None, state: TrainingState):
    """The same with one gradient, the weighted sum, and the weighting's state."""
    chunks = _unstacked.make_chunks(rows, state.params, chunk_size)
    gramian, losses = _unstacked.measure(chunks, rows.num_players)
    weights, finite, own = _unstacked.decide(rule, gramian, losses, state.opt_state)
    grads, others = _unstacked.combine(chunks, weights, finite, state.params)
    return losses, rows.gather(others), grads, {"weighting": own}


def _check_count(rule: Weighting, players: PlayerKind) -> None:
    if rule.needs_num_players and players.num_players is None:
        raise ValueError(
            f"`players` must be microbatches(count) for {rule.name}, which remembers "
            f"something of each, got {players.kind}()."
        )
