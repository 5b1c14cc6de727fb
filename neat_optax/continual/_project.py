"""Normalize-and-project: each layer keeps the norm that it started with."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._leaves import Mask, chosen
from neat_optax.continual import _isometry, _matrices


class ProjectToInitialNormState(NamedTuple):
    """State of `project_to_initial_norm`."""

    norms: jax.Array  # [all layers] of the kernels, one after another


@cites("lyle2024normalization")
def project_to_initial_norm(
    *, mask: Mask | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""Projects kernels to the norms that they started with: normalize-and-project.

    .. math:: z = w + u, \qquad w + u \leftarrow \rho\, z / \|z\|, \qquad \rho = \|w_0\|

    In networks that normalize what comes into their nonlinearities, as by layer
    normalization, the length of a kernel changes nothing but the effective learning
    rate, which falls as kernels grow. With kernels of one length the schedule of the
    learning rate alone decides it. The normalization layers belong to the network, and
    their scales and offsets, like all that is no kernel, stay as they are: leave them
    out of the network or decay them. A kernel that starts at zero, or whose new value
    is zero or not finite, is not projected.

    Args:
      mask: which parameters are projected, as in `l2_to_init`; of those, kernels are.

    Returns:
      A transformation that needs `params` and goes last in a chain, behind the learning
      rate. It keeps one number for each layer.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = project_to_initial_norm()
      >>> w = {"kernel": jnp.array([[3.0], [4.0]]), "bias": jnp.array([1.0])}
      >>> step = {"kernel": jnp.array([[3.0], [4.0]]), "bias": jnp.array([1.0])}
      >>> u, _ = tx.update(step, tx.init(w), w)
      >>> new = optax.apply_updates(w, u)
      >>> [round(x, 4) for x in new["kernel"][:, 0].tolist()], new["bias"].tolist()
      ([3.0, 4.0], [2.0])

    References:
      Lyle et al., "Normalization and effective learning rates in reinforcement
      learning", 2024, algorithm 1.
    """

    def init_fn(params: optax.Params) -> ProjectToInitialNormState:
        _checks.check_inexact("params", params)
        return ProjectToInitialNormState(_norms(params, mask))

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, ProjectToInitialNormState]:
        del extra_args
        _checks.check_update(updates, params, "project_to_initial_norm")
        weights, treedef = jax.tree.flatten(params)
        moves, begin = treedef.flatten_up_to(updates), 0
        for n, layout in _chosen(params, mask).items():
            old = _tree.widen(_matrices.matrices(weights[n], layout))
            norms = state.norms[begin : begin + len(old)]
            moves[n], begin = _projected(moves[n], old, norms, layout), begin + len(old)
        return treedef.unflatten(moves), state

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _chosen(params: optax.Params, mask: Mask | None) -> dict[int, _matrices.Layout]:
    """The layouts of the kernels that are projected, by their numbers."""
    layouts = _matrices.find_layers(params).kernels
    return {n: layouts[n] for n in chosen(params, mask) if n in layouts}


def _norms(params: optax.Params, mask: Mask | None) -> jax.Array:
    weights = jax.tree.leaves(params)
    found = [
        _norm(_tree.widen(_matrices.matrices(weights[n], layout)))
        for n, layout in _chosen(params, mask).items()
    ]
    return jnp.concatenate(found) if found else jnp.zeros((0,))


def _norm(matrices: jax.Array) -> jax.Array:
    """[layers], in range wherever the entries are."""
    unit = _isometry.normalized(matrices, (1, 2))
    return jnp.sum(jnp.real(jnp.conj(unit) * matrices), axis=(1, 2))


def _projected(
    update: jax.Array, old: jax.Array, norms: jax.Array, layout: _matrices.Layout
) -> jax.Array:
    """The update to a kernel, old as matrices, of those norms."""
    way = _tree.widen(_matrices.matrices(update, layout))
    length = norms.reshape(-1, 1, 1)
    new = length * _isometry.normalized(old + way, (1, 2))
    kept = jnp.any(new != 0, axis=(1, 2), keepdims=True)
    kept &= jnp.all(jnp.isfinite(new), axis=(1, 2), keepdims=True)
    projected = jnp.where(kept, new - old, way)
    return _matrices.like_kernel(projected, update).astype(update.dtype)
