"""What corrections and updates did, recorded for `diagnostics`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _recording, _tree
from neat_optax._recording import MonitorState, Recorded
from neat_optax.conflict._alignment import Alignment, Contest
from neat_optax.conflict._detect import stateful_rule


class CorrectionRecord(NamedTuple):
    """What `monitor_correction` records, one number per scope."""

    conflict: jax.Array  # in [0, 1]
    correction_ratio: jax.Array  # |correction| / |gradient|, in plain coordinates
    active: jax.Array  # 1 where the correction is not zero
    opponent_norm: jax.Array  # of the opponent that this step was corrected against
    alpha: jax.Array  # effective alpha
    noise: jax.Array | None  # where the contest watches the history
    skipped: jax.Array  # 1 where the gradient is not finite
    opposed: jax.Array  # 1 where there is any conflict: its mean is the conflict rate


class UpdateRecord(NamedTuple):
    """What `monitor_update` records, one number per leaf."""

    update_alignment: jax.Array  # cosine of the gradient with -update


def monitor_correction() -> optax.GradientTransformation:
    """Rule: records what the rules before it decided. Comes last.

    The contest is returned unchanged. `latest` holds the last step's numbers, `mean`
    their average over all steps; skipped steps enter with no conflict.
    """

    def init(contest: Contest) -> Recorded:
        zero = jnp.zeros((), jnp.float32)
        noise = None if contest.noise is None else zero
        blank = CorrectionRecord(zero, zero, zero, zero, zero, noise, zero, zero)
        return _recording.start(blank, zero)

    def decide(contest: Contest, state: Recorded) -> tuple[Contest, Recorded]:
        latest = _record(contest)
        return contest, _recording.advance(state, latest, contest.size, contest.step)

    return stateful_rule(init, decide)


def _record(contest: Contest) -> CorrectionRecord:
    finite = contest.raw.gg < jnp.inf
    ratio = contest.correction_ratio
    opponent_norm = _tree.root(contest.raw.oo)
    conflict = contest.detected("monitor_correction")
    return CorrectionRecord(
        conflict=conflict,
        correction_ratio=ratio,
        active=(ratio > 0).astype(jnp.float32),
        opponent_norm=jnp.where(opponent_norm < jnp.inf, opponent_norm, 0.0),
        alpha=contest.alpha,
        noise=contest.noise,
        skipped=(~finite).astype(jnp.float32),
        opposed=(conflict > 0).astype(jnp.float32),
    )


def monitor_update(
    inner: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    r"""Records how far the applied update lies along the gradient.

    .. math:: \cos(g, -\Delta p)

    per leaf, where :math:`\Delta p` is what `inner` returns: 1 is plain gradient
    descent, 0 or less is a step that does not descend on this gradient. Wrap the whole
    optimizer, learning rate included: momentum, preconditioning and decay all count.

    Args:
      inner: the optimizer to record. Its updates are returned unchanged.
    """
    inner = optax.with_extra_args_support(inner)

    def init_fn(params: optax.Params) -> MonitorState:
        count = len(jax.tree.leaves(params))
        zeros = jnp.zeros((count,), jnp.float32)
        recorded = _recording.start(UpdateRecord(zeros), zeros)
        return MonitorState(inner.init(params), jnp.zeros((), jnp.int32), recorded)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, MonitorState]:
        gradients = jax.tree.leaves(updates)
        updates, inner_state = inner.update(updates, state.inner, params, **extra_args)
        pairs = zip(gradients, jax.tree.leaves(updates), strict=True)
        cosines = [-Alignment(*_tree.gram(g, u)).cosine for g, u in pairs]
        latest = UpdateRecord(jnp.asarray(cosines, jnp.float32))
        size = jnp.asarray([g.size for g in gradients], jnp.float32)
        recorded = _recording.advance(state.recorded, latest, size, state.step)
        return updates, MonitorState(inner_state, _tree.increment(state.step), recorded)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
