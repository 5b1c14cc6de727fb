"""The effective rank of features, as a penalty in a loss."""

from typing import Any

import jax
import jax.numpy as jnp

from neat_optax import _checks
from neat_optax._citing import cites
from neat_optax.continual._measures import effective_rank


@cites("he2025spectral", "roy2007effective")
def feature_rank_penalty(features: Any) -> jax.Array:
    r"""Minus the mean effective rank of layers' features: the ER of L2-ER.

    .. math:: -\frac1L \sum_l \exp\Bigl(-\sum_i p_{li} \log p_{li}\Bigr), \qquad
        p_{li} = \frac{\sigma_{li}}{\sum_j \sigma_{lj}}

    with :math:`\sigma_{li}` the singular values of the features of layer :math:`l`,
    which are not centered. It is part of the loss, with a strength of its own, as are
    the activations that it is of; the L2 of L2-ER is in the optimizer,
    `optax.add_decayed_weights`. A gradient transformation cannot do it, since it takes
    the derivative through the network.

    Args:
      features: a tree of arrays [..., units], one for each layer. All axes but the last
        number the examples.

    Returns:
      A number from minus the smaller of examples and units to -1, in float32 or wider;
      0 for a layer whose features are all zero, and for a tree without arrays. The
      derivative by features that are all zero is 0.

    Example:
      >>> import jax.numpy as jnp
      >>> print(feature_rank_penalty([jnp.eye(4), jnp.ones((3, 2))]).round(3))
      -2.5

    References:
      He et al., "Spectral Collapse Drives Loss of Plasticity in Deep Continual
      Learning", 2025; Roy and Vetterli, "The effective rank: A measure of
      effective dimensionality", 2007.
    """
    _checks.check_inexact("features", features)
    ranks = [effective_rank(leaf) for leaf in jax.tree.leaves(features)]
    return -sum(ranks[1:], ranks[0]) / len(ranks) if ranks else jnp.zeros(())
