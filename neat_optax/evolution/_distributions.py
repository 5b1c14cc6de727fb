"""Gaussian search distributions with a learned spread: SNES and PGPE gradients."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax.evolution._pairs import Pairs, monitor
from neat_optax.evolution._shaping import Shaping, nes_utilities, raw
from neat_optax.evolution._strategies import check_sigma, leaf_sigmas, over_players


class Gaussian(NamedTuple):
    """A normal distribution of parameters, each entry independent of the others.

    An ordinary pytree, so that `optax.apply_updates` updates both. Steps of `log_sigma`
    multiply the standard deviation, which stays positive.
    """

    mean: Any  # the parameters
    log_sigma: Any  # a tree like them: the logarithm of each standard deviation


def init_gaussian(params: Any, sigma: Any) -> Gaussian:
    """A search distribution around parameters.

    Args:
      params: the mean: a tree of real floating arrays.
      sigma: the standard deviation, as in `es_value_and_grad`; with 0 an entry never
        moves.

    Returns:
      A `Gaussian` whose `log_sigma` has the shapes and shardings of `params`, float32
      or wider.

    Raises:
      ValueError: if a leaf is not real and floating, or `sigma` does not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> init_gaussian({"w": jnp.ones(2)}, 1.0)
      Gaussian(mean={'w': Array([1., 1.], dtype=float32)}, \
log_sigma={'w': Array([0., 0.], dtype=float32)})
    """
    check_sigma(sigma)
    sigmas = leaf_sigmas(sigma, params)
    _check_real(params)
    leaves, treedef = jax.tree.flatten(params)
    logs = [
        jnp.zeros_like(_tree.widen(leaf)) + jnp.log(s)
        for leaf, s in zip(leaves, sigmas, strict=True)
    ]
    return Gaussian(params, treedef.unflatten(logs))


def snes_sigma_rate(params: Any) -> float:
    r"""The usual learning rate of SNES for `log_sigma`.

    .. math:: \frac{3 + \log N}{5 \sqrt{N}}

    for `N` parameters; that of the mean is 1 (Wierstra et al. 2014).

    Example:
      >>> import jax.numpy as jnp
      >>> round(snes_sigma_rate(jnp.zeros(100)), 4)
      0.1521
    """
    size = max(1, sum(jnp.size(leaf) for leaf in jax.tree.leaves(params)))
    return (3 + math.log(size)) / (5 * math.sqrt(size))


@cites("wierstra2014natural")
def snes_value_and_grad(
    loss: Callable[..., Any],
    num_pairs: int,
    *,
    shaping: Shaping = nes_utilities,
    batch_size: int | None = None,
    has_aux: bool = False,
) -> Callable[..., tuple[Any, Any]]:
    r"""The natural gradient of separable natural evolution strategies (SNES).

    .. math:: g_\mu = \frac{\sigma}{\lambda} \sum_{k=1}^\lambda u_k s_k, \qquad
        g_{\log \sigma} = \frac{1}{2 \lambda} \sum_{k=1}^\lambda u_k (s_k^2 - 1), \qquad
        u_k \text{ from } \ell(\mu + \sigma s_k)

    entry by entry, for the :math:`\lambda` = 2 `num_pairs` evaluations. Samples come in
    mirrored pairs :math:`\pm s`. Steps of size 1 for the mean and `snes_sigma_rate` for
    `log_sigma` are the published update::

        optax.partition(
            {"mean": optax.sgd(1.0), "log_sigma": optax.sgd(snes_sigma_rate(params))},
            Gaussian("mean", "log_sigma"),
        )

    Args:
      loss: a function of the parameters, as in `es_value_and_grad`.
      num_pairs: pairs of evaluations.
      shaping: from losses to utilities :math:`u`, as in `es_value_and_grad`.
      batch_size: pairs that are evaluated at once, as in `es_value_and_grad`.
      has_aux: whether `loss` returns something besides the losses.

    Returns:
      A function `(key, gaussian, *args, **kwargs)` that returns `(value, grads)`, or
      `((value, aux), grads)` with `has_aux`. `grads` is a `Gaussian` with the dtypes
      of `gaussian`, and with a leading axis P if the loss returns [P] values.

    Raises:
      ValueError: as `es_value_and_grad`, and if a leaf is complex.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> search = init_gaussian(jnp.full(3, 2.0), 1.0)
      >>> value_and_grad = snes_value_and_grad(lambda p: jnp.sum(p**2), 16)
      >>> for step in range(40):
      ...     value, grads = value_and_grad(step, search)
      ...     search = jax.tree.map(lambda x, g: x - 0.5 * g, search, grads)
      >>> bool(value < 1e-3)
      True

    References:
      Wierstra et al., "Natural Evolution Strategies", JMLR 2014, section 3.5.
    """
    pairs = Pairs(loss, num_pairs, shaping, batch_size, has_aux)
    return _value_and_grad(pairs, share=0.5)


@cites("sehnke2010parameter")
def pgpe_value_and_grad(
    loss: Callable[..., Any],
    num_pairs: int,
    *,
    shaping: Shaping = raw,
    batch_size: int | None = None,
    has_aux: bool = False,
) -> Callable[..., tuple[Any, Any]]:
    r"""Policy gradients with parameter-based exploration (PGPE), symmetric sampling.

    .. math:: g_\mu = \frac{1}{n} \sum_{k=1}^n \frac{u_k^+ - u_k^-}{2} \epsilon_k,
        \qquad g_{\log \sigma} = \frac{1}{n} \sum_{k=1}^n \frac{u_k^+ + u_k^-}{2}
        \, \frac{\epsilon_k^2 - \sigma^2}{\sigma^2}, \qquad
        u_k^\pm \text{ from } \ell(\mu \pm \epsilon_k)

    entry by entry. These are minus the published steps of the mean and of
    :math:`\sigma`, the latter over :math:`\sigma`: a small step of `log_sigma` is that
    of :math:`\sigma`, and a large one leaves it positive. The baseline is the mean loss
    of the call, since utilities add up to zero. The published division by the best
    reward less the baseline is left to `shaping`: `standardized` and ranks make steps
    independent of the unit of the loss as well.

    Args:
      loss: a function of the parameters, as in `es_value_and_grad`.
      num_pairs: :math:`n`, pairs of evaluations.
      shaping: from losses to utilities :math:`u`, as in `es_value_and_grad`.
      batch_size: pairs that are evaluated at once, as in `es_value_and_grad`.
      has_aux: whether `loss` returns something besides the losses.

    Returns:
      As `snes_value_and_grad`.

    Raises:
      ValueError: as `es_value_and_grad`, and if a leaf is complex.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax.evolution import standardized
      >>> search = init_gaussian(jnp.full(3, 2.0), 0.5)
      >>> value_and_grad = pgpe_value_and_grad(
      ...     lambda p: jnp.sum(p**2), 16, shaping=standardized
      ... )
      >>> for step in range(120):
      ...     value, grads = value_and_grad(step, search)
      ...     search = jax.tree.map(lambda x, g: x - 0.2 * g, search, grads)
      >>> bool(value < 0.1)
      True

    References:
      Sehnke et al., "Parameter-exploring policy gradients", Neural Networks 2010.
    """
    pairs = Pairs(loss, num_pairs, shaping, batch_size, has_aux)
    return _value_and_grad(pairs, share=1.0)


def _value_and_grad(pairs: Pairs, share: float) -> Callable[..., tuple[Any, Any]]:
    """From moments to gradients: `sigma` times the first, `share` times the second."""
    pairs.check()

    def value_and_grads(
        key: Any, gaussian: Gaussian, *args: Any, **kwargs: Any
    ) -> tuple[Any, Gaussian]:
        mean, log_sigma = _checked(gaussian)
        logs, treedef = jax.tree.flatten(log_sigma)
        sigmas = [jnp.exp(_tree.widen(log)) for log in logs]
        moments = monitor(pairs, key, mean, sigmas, (args, kwargs), second=True)
        means = [
            (moment * over_players(sigma, moment)).astype(jnp.result_type(leaf))
            for leaf, sigma, moment in zip(
                jax.tree.leaves(mean), sigmas, moments.first, strict=True
            )
        ]
        spreads = [
            (share * moment).astype(jnp.result_type(log))
            for log, moment in zip(logs, moments.second, strict=True)
        ]
        grads = Gaussian(treedef.unflatten(means), treedef.unflatten(spreads))
        return moments.value, grads

    return value_and_grads


def _checked(gaussian: Any) -> Gaussian:
    _checks.check_kind("gaussian", gaussian, Gaussian)
    _check_real(gaussian)
    _checks.check_same_structure("log_sigma", gaussian.log_sigma, "mean", gaussian.mean)
    return gaussian


def _check_real(tree: Any) -> None:
    _checks.check_loss_params(tree)
    for leaf in jax.tree.leaves(tree):
        _checks.check_real("params", jnp.result_type(leaf))
