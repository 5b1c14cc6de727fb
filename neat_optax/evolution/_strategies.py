"""Evolution strategies as a gradient function."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax.evolution._pairs import Pairs, monitor
from neat_optax.evolution._shaping import Shaping, raw


@cites("salimans2017evolution")
def es_value_and_grad(
    loss: Callable[..., Any],
    sigma: Any,
    num_pairs: int,
    *,
    shaping: Shaping = raw,
    batch_size: int | None = None,
    has_aux: bool = False,
) -> Callable[..., tuple[Any, Any]]:
    r"""The gradient of a loss smoothed by noise, from values of the loss alone.

    .. math:: g = \frac{1}{2 n \sigma} \sum_{k=1}^n (u_k^+ - u_k^-)\, \epsilon_k, \qquad
        u_k^\pm \text{ from } \ell(p \pm \sigma \epsilon_k), \qquad
        \epsilon_k \sim \mathcal{N}(0, I)

    With `raw` shaping :math:`u = \ell` up to a constant, and `g` is an unbiased
    estimate of the gradient of :math:`\mathbb{E}\, \ell(p + \sigma \epsilon)`. Its
    cosine with that gradient is about :math:`\sqrt{n / (n + N)}` for `N` parameters.

    A loss that returns one value for each player gives one gradient for each. All see
    the same noise, so that the cosine of two players is kept, with an error of about
    :math:`1 / \sqrt{n}` whatever the number of parameters.

    Args:
      loss: a function `loss(params, *args, **kwargs)` that returns a real float, or an
        array [P] of the players' losses, or a pair of that and `aux` with `has_aux`. It
        need not be differentiable. All evaluations get the same arguments: a key among
        them gives all the same random numbers.
      sigma: standard deviation of the noise, in the units of the parameters: a positive
        number, or a tree like `params` with, for each leaf, a number of at least 0 or
        an array of them of the leaf's shape. What has 0 is not perturbed, and its
        gradient is 0. JAX arrays may be traced: with a schedule, call this function
        with `schedule(step)` inside the jitted step.
      num_pairs: :math:`n`, pairs of evaluations.
      shaping: from losses to utilities: `raw`, `centered_ranks`, `standardized`,
        `nes_utilities`, or a `Shaping` of your own. Each player's are its own.
      batch_size: pairs that are evaluated at once, all by default. Fewer need less
        memory, and give the same numbers; noise of more than 64 MiB is then drawn
        twice. On a CPU 4 to 8 are often faster than all.
      has_aux: whether `loss` returns something besides the losses.

    Returns:
      A function `(key, params, *args, **kwargs)` that returns `(value, grads)`, or
      `((value, aux), grads)` with `has_aux`, for a random key or a seed. `value` is the
      mean loss of the evaluations that did not fail, [] or [P]. `grads` has the
      structure and dtypes of `params`, with a leading axis P if the loss has one.
      Leaves of `aux` have leading axes [num_pairs, 2].

    Raises:
      ValueError: if an argument is out of its range, and when it is traced, if `params`
        has leaves that are neither floating nor complex, if `sigma` does not fit
        `params`, or if the loss returns something else.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> def steps(p):
      ...     return jnp.sum(jnp.floor(10 * p)) / 10  # a slope of 1, in small steps
      >>> jax.grad(steps)(jnp.ones(2)).tolist()
      [0.0, 0.0]
      >>> value, grads = es_value_and_grad(steps, 0.5, 2000)(0, jnp.ones(2))
      >>> bool(jnp.all(jnp.abs(grads - 1) < 0.2))
      True

    References:
      Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement
      Learning", 2017.
    """
    pairs = Pairs(loss, num_pairs, shaping, batch_size, has_aux)
    pairs.check()
    check_sigma(sigma)

    def value_and_grads(
        key: Any, params: optax.Params, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        sigmas = leaf_sigmas(sigma, params)
        moments = monitor(pairs, key, params, sigmas, (args, kwargs), second=False)
        leaves, treedef = jax.tree.flatten(params)
        triples = zip(leaves, sigmas, moments.first, strict=True)
        grads = [_per_sigma(leaf, s, moment) for leaf, s, moment in triples]
        return moments.value, treedef.unflatten(grads)

    return value_and_grads


def leaf_sigmas(sigma: Any, params: Any) -> list[Any]:
    """The standard deviation for each leaf, or for each entry of it."""
    _checks.check_loss_params(params)
    leaves, treedef = jax.tree.flatten(params)
    if jnp.isscalar(sigma):
        return [sigma for _ in leaves]
    _checks.check_tree_like("sigma", sigma, "params", params)
    sigmas = treedef.flatten_up_to(sigma)
    for one, leaf in zip(sigmas, leaves, strict=True):
        _checks.check_leaf_value("sigma", one, leaf)
    return sigmas


def check_sigma(sigma: Any) -> None:
    """Raises unless `sigma` is positive, or a tree of what is at least 0."""
    interval = "(0, inf)" if np.isscalar(sigma) else "[0, inf)"
    for leaf in jax.tree.leaves(sigma):
        array = isinstance(leaf, np.ndarray)
        smallest = np.min(leaf, initial=1.0) if array else leaf
        _checks.check_fields({"sigma": smallest}, {"sigma": interval})


def _per_sigma(leaf: Any, sigma: Any, moment: jax.Array) -> jax.Array:
    """A moment over the standard deviation, in the dtype of its leaf."""
    inverse = _tree.safe_divide(1.0, sigma)
    return (moment * over_players(inverse, moment)).astype(jnp.result_type(leaf))


def over_players(array: jax.Array, moment: jax.Array) -> jax.Array:
    """What belongs to a leaf, ready to be multiplied by a moment of all players."""
    return array[None] if 0 < array.ndim < moment.ndim else array
