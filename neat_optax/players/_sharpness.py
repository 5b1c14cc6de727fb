"""Gradients of players at parameters that are moved towards a larger loss."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._citing import cites
from neat_optax._random import as_key
from neat_optax.players import _losses, _modules
from neat_optax.players._gradients import map_rows


@cites("ban2025samo")
def value_and_samo_grads(
    loss_fn: Callable[..., Any] | Sequence[Any] | Mapping[str, Any],
    rho: Any = 1e-3,
    alpha: Any = 0.5,
    *,
    probe: Any = 1e-2,
    has_aux: bool = False,
    chunk_size: int | None = None,
) -> Callable[..., tuple[Any, Any]]:
    r"""The losses of all players, and gradients that look for flat regions: SAMO.

    .. math:: g_i = \nabla \ell_i\Bigl(p + \rho \frac{d_i}{|d_i|}\Bigr), \qquad
        d_i = \alpha\, \bar g + (1 - \alpha)\, s_i, \qquad
        \bar g = \nabla \frac1P \sum_j \ell_j(p)

    Each player is differentiated where the mean of all losses and its own, in shares,
    have grown. Leaf by leaf :math:`s_i` is as long as :math:`\bar g` and has the
    direction of an estimate of the player's own gradient,

    .. math:: \frac{\ell_i(p + \epsilon z_i) - \ell_i(p - \epsilon z_i)}{2 \epsilon}
        \, z_i, \qquad z_i \sim \mathcal{N}(0, I)

    which takes two forward passes, or of the gradient itself. What comes out goes into
    any aggregator. It costs one backward pass, and a forward and a backward pass for
    each player after the estimates. A loss that is not finite makes all gradients so.

    Args:
      loss_fn: as in `value_and_player_grads`: one function that returns all losses, or
        one for each player.
      rho: how far the parameters are moved, positive.
      alpha: share of the mean in the direction, in [0, 1]. At 1 all players are
        differentiated at the point of sharpness-aware minimization of the mean.
      probe: positive :math:`\epsilon`; None for the players' own gradients in place of
        estimates, at one more backward pass for each.
      has_aux: whether something is returned besides losses.
      chunk_size: of losses from one function, how many players are treated at a time;
        all by default.

    Returns:
      A function `(key, params, *args, **kwargs)` that returns `(losses, gradients)`, or
      `((losses, aux), gradients)` with `has_aux`, as that of `value_and_player_grads`
      does, for a random key or a seed. Losses and `aux` are those at the parameters
      themselves, and so is what a module carries. Without a `probe`, the key is not
      used.

    Raises:
      ValueError: if an argument is out of its range, and when it is traced as in
        `value_and_player_grads`.

    Example:
      >>> import jax.numpy as jnp
      >>> targets = jnp.array([1.0, -2.0])
      >>> of_players = value_and_samo_grads(lambda p: (p - targets) ** 2, 0.5, 1.0)
      >>> losses, gradients = of_players(0, jnp.array(0.0))
      >>> print(losses, gradients)
      [1. 4.] [-1.  5.]

    References:
      Ban, Subramani and Ji, "SAMO: A Lightweight Sharpness-Aware Approach for
      Multi-Task Optimization with Joint Global-Local Perturbation", 2025, and the
      authors' code, where :math:`1 - \alpha` is called beta. There, parameters of one
      player alone are moved along their own gradient by a distance of their own; here
      all parameters are moved together. It adds 1e-12 to the length of the direction;
      here nothing is added.
    """
    _losses.check_loss_fn(loss_fn)
    _checks.check_number("rho", rho, "(0, inf)")
    _checks.check_number("alpha", alpha, "[0, 1]")
    _checks.check_bool("has_aux", has_aux)
    if probe is not None:
        _checks.check_number("probe", probe, "(0, inf)")
    if chunk_size is not None:
        _checks.check_count("chunk_size", chunk_size, minimum=1)
    numbers = _Numbers(rho, alpha, probe)

    def value_and_grads(
        key: Any, params: optax.Params, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        given = _modules.opened(params)

        def split(weights: Any, function: Any = loss_fn) -> tuple[Any, Any]:
            point = given.merge(weights, given.keys, given.rest)
            losses, aux = _losses.call(function, has_aux, point, *args, **kwargs)
            return _losses.stacked(losses), (aux, given.carried(point))

        def of_mean(weights: Any) -> tuple[Any, Any]:
            losses, others = split(weights)
            return jnp.mean(losses), (losses, others)

        found, whole = jax.value_and_grad(of_mean, has_aux=True)(given.params)
        losses, (aux, rest) = found[1]
        given.keep(rest)
        keys = jax.random.split(as_key(key), len(losses))
        if isinstance(loss_fn, Sequence | Mapping):
            rows = [
                numbers.gradient(
                    lambda w, function=function: split(w, [function])[0][0],
                    given.params,
                    whole,
                    keys[number],
                )
                for number, function in enumerate(_losses.values(loss_fn))
            ]
            gradients = jax.tree.map(lambda *x: jnp.stack(x), *rows)
        else:
            gradients = map_rows(
                lambda row: numbers.gradient(
                    lambda w: split(w)[0][row[0]], given.params, whole, row[1]
                ),
                (jnp.arange(len(losses)), keys),
                chunk_size,
            )
        return ((losses, aux) if has_aux else losses), gradients

    return value_and_grads


class _Numbers(NamedTuple):
    """How far and where to parameters are moved."""

    rho: Any
    alpha: Any
    probe: Any

    def gradient(
        self, loss: Callable[[Any], jax.Array], params: Any, whole: Any, key: Any
    ) -> Any:
        """Of one player, at parameters that are moved for it."""
        own = self._own(loss, params, key)
        direction = jax.tree.map(self._mix, whole, own)
        distance = _tree.safe_divide(self.rho, _length(direction))
        return jax.grad(loss)(_moved(params, direction, distance))

    def _own(self, loss: Callable[[Any], jax.Array], params: Any, key: Any) -> Any:
        """A direction in which the player's own loss grows, of any length."""
        if self.probe is None:
            return jax.grad(loss)(params)
        noise = optax.tree.random_like(key, params, jax.random.normal)
        ahead = loss(_moved(params, noise, self.probe))
        behind = loss(_moved(params, noise, -self.probe))
        side = jnp.sign(ahead - behind)
        return jax.tree.map(lambda z: (side * z).astype(z.dtype), noise)

    def _mix(self, whole: jax.Array, own: jax.Array) -> jax.Array:
        """One leaf of the direction: the player's own part as long as the mean's."""
        share = _tree.safe_divide(_length(whole), _length(own))
        return self.alpha * whole + (1 - self.alpha) * share * own


def _length(tree: Any) -> jax.Array:
    return _tree.root(sum(_tree.inner(x, x) for x in jax.tree.leaves(tree)))


def _moved(params: Any, direction: Any, distance: Any) -> Any:
    return jax.tree.map(
        lambda p, d: (p + distance * d).astype(jnp.result_type(p)), params, direction
    )
