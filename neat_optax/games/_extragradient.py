"""Steps in two phases: the gradient is taken where a first step leads."""

from typing import Any, NamedTuple

import optax

from neat_optax import _checks
from neat_optax._citing import cites


class PastExtragradientState(NamedTuple):
    """What `past_extragradient` remembers."""

    inner: optax.OptState
    """The state of the optimizer, which has seen every gradient twice."""
    ahead: optax.Updates
    """How far the parameters are ahead: the point of the step is `params - ahead`."""


@cites("korpelevich1976extragradient", "gidel2019variational")
def extragradient(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    r"""Takes the gradient where a first step leads, and steps from where it began.

    .. math::

        \theta_{t+1/2} &= \theta_t + u(\xi(\theta_t)) \\
        \theta_{t+1} &= \theta_t + u(\xi(\theta_{t+1/2}))

    where :math:`u` is the update of the optimizer. With `optax.sgd` it converges in
    monotone games, the bilinear one included, where the rate times the Lipschitz
    constant of :math:`\xi` is below 1. With `optax.adam` it is Extra-Adam: the moments
    see both gradients. Schedules and counters of the optimizer count both phases too.

    `update` takes `grad_fn`, a function from parameters to gradients, for the second
    phase; it may use another batch. Costs twice a plain step. Inside `nnx.Optimizer`,
    parameters are plain arrays, and so must be what `grad_fn` returns: `nnx.as_pure`.

    Args:
      optimizer: any optax optimizer, learning rate included.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import games
      >>> of_game = games.value_and_grad(lambda z: [z[0] * z[1], -z[0] * z[1]])
      >>> tx = extragradient(optax.sgd(0.5))
      >>> players = [jnp.array(1.0), jnp.array(2.0)]
      >>> _, grads = of_game(players)
      >>> updates, _ = tx.update(
      ...     grads, tx.init(players), players, grad_fn=lambda z: of_game(z)[1]
      ... )
      >>> print(*updates)
      -1.25 0.0

    References:
      Korpelevich, "The extragradient method for finding saddle points and other
      problems", 1976; Gidel, Berard, Vignoud, Vincent & Lacoste-Julien, "A Variational
      Inequality Perspective on Generative Adversarial Networks", ICLR 2019, Algorithm
      4.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def update_fn(
        updates: optax.Updates,
        state: optax.OptState,
        params: Any = None,
        *,
        grad_fn: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        _checks.check_params(params, "extragradient")
        _checks.check_given("grad_fn", grad_fn, "extragradient")
        ahead, state = optimizer.update(updates, state, params, **extra_args)
        there = grad_fn(optax.apply_updates(params, ahead))
        return optimizer.update(there, state, params, **extra_args)

    return optax.GradientTransformationExtraArgs(optimizer.init, update_fn)


@cites("popov1980modification", "gidel2019variational")
def past_extragradient(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    r"""The extragradient method with one gradient a step, which is used twice.

    .. math::

        \theta_{t+1/2} &= \theta_t + u(\xi(\theta_{t-1/2})) \\
        \theta_{t+1} &= \theta_t + u(\xi(\theta_{t+1/2}))

    The parameters that the caller holds, and takes gradients at, are
    :math:`\theta_{t+1/2}`. The first is the start, where nothing is extrapolated.
    :math:`\theta_t` itself is `params - state.ahead`. With `optax.sgd` the steps after
    the first are those of `optax.optimistic_gradient_descent`; with `optax.adam` it is
    Extra-Adam from the past, whose moments see each gradient twice, where
    `optax.optimistic_adam_v2` extrapolates updates. Schedules and counters of the
    optimizer count both phases.

    Costs a plain step and a second update of the optimizer, and one buffer like the
    parameters.

    Args:
      optimizer: any optax optimizer, learning rate included.

    Example:
      >>> import jax.numpy as jnp
      >>> tx = past_extragradient(optax.sgd(0.5))
      >>> params = jnp.array(1.0)
      >>> state = tx.init(params)
      >>> first, state = tx.update(jnp.array(2.0), state, params)
      >>> second, state = tx.update(jnp.array(3.0), state, params + first)
      >>> print(first, second)
      -2.0 -2.0

    References:
      Popov, "A modification of the Arrow-Hurwicz method for search of saddle points",
      1980; Gidel et al., ICLR 2019, Algorithm 4 with extrapolation from the past.
    """
    optimizer = optax.with_extra_args_support(optimizer)

    def init_fn(params: optax.Params) -> PastExtragradientState:
        return PastExtragradientState(
            optimizer.init(params), optax.tree.zeros_like(params)
        )

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, PastExtragradientState]:
        _checks.check_update(updates, params, "past_extragradient")
        point = optax.tree.sub(params, state.ahead)
        step, inner = optimizer.update(updates, state.inner, point, **extra_args)
        point = optax.apply_updates(point, step)
        ahead, inner = optimizer.update(updates, inner, point, **extra_args)
        ahead = optax.tree.cast_like(ahead, state.ahead)
        moved = optax.tree.add(step, optax.tree.sub(ahead, state.ahead))
        moved = optax.tree.cast_like(moved, updates)
        return moved, PastExtragradientState(inner, ahead)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)
