"""SOAP and a Shampoo: steps in the eigenbases of Kronecker factors of the gradient.

Both turn gradients into the bases, divide there, and turn the result back. A division
by a positive metric is where conflict can be measured as well, so that an aggregator
between the two corrects inside the metric of the optimizer.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

import neat_optax as neo

RIDGE = 1e-6
"""Of the largest eigenvalue, added to all, as Distributed Shampoo does."""


class Factor(NamedTuple):
    """What is known of one side of a matrix."""

    mean: jax.Array  # [n, n] average of the outer products of the gradient's columns
    basis: jax.Array  # [n, n] its eigenvectors, as columns, when they were last taken


class EigenbasesState(NamedTuple):
    """State of `in_eigenbases`."""

    step: jax.Array
    factors: Any  # of each leaf a tuple of `Factor`, one for each side, () for a vector
    inner: Any


def in_eigenbases(
    inner: optax.GradientTransformation, *, decay: float = 0.95, every: int = 10
) -> optax.GradientTransformationExtraArgs:
    r"""Applies a transformation in the eigenbases of the gradient's two factors.

    .. math::

        L \leftarrow b L + (1 - b)\, \bar g \bar g^\top, \quad
        R \leftarrow b R + (1 - b)\, \bar g^\top \bar g, \qquad
        u = Q_L\, \text{inner}(Q_L^\top g\, Q_R)\, Q_R^\top

    with :math:`\bar g` the mean of the players. Vectors are left as they are.

    Args:
      inner: of matrices and vectors, with a player axis where the updates have one. It
        is passed `factors=` as an extra argument.
      decay: :math:`b`.
      every: steps from one decomposition to the next.

    References:
      Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024,
      Algorithm 3; here eigenvectors are computed anew and not by a power iteration,
      and already in the first step.
    """
    inner = optax.with_extra_args_support(inner)

    def init_fn(params: Any) -> EigenbasesState:
        def blank(leaf: jax.Array) -> tuple[Factor, ...]:
            sides = leaf.shape if leaf.ndim == 2 else ()
            return tuple(Factor(jnp.zeros((n, n)), jnp.eye(n)) for n in sides)

        factors = [blank(leaf) for leaf in jax.tree.leaves(params)]
        return EigenbasesState(jnp.zeros((), jnp.int32), factors, inner.init(params))

    def update_fn(updates: Any, state: Any, params: Any = None, **extra_args: Any):
        leaves, structure = jax.tree.flatten(updates)
        pairs = list(zip(leaves, state.factors, strict=True))
        factors = [_averaged(leaf, own, decay) for leaf, own in pairs]
        factors = jax.lax.cond(
            state.step % every == 0, _decomposed, lambda same: same, factors
        )
        turned = jax.tree.unflatten(structure, map(into, leaves, factors))
        found, after = inner.update(
            turned, state.inner, params, **extra_args, factors=factors
        )
        back = map(out_of, jax.tree.leaves(found), factors)
        result = jax.tree.unflatten(jax.tree.structure(found), back)
        return result, EigenbasesState(state.step + 1, factors, after)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _averaged(
    gradient: jax.Array, factors: tuple[Factor, ...], decay: float
) -> tuple[Factor, ...]:
    if not factors:
        return ()
    g = jnp.mean(gradient, axis=0) if gradient.ndim == 3 else gradient
    products = (g @ g.T, g.T @ g)
    return tuple(
        own._replace(mean=decay * own.mean + (1 - decay) * product)
        for own, product in zip(factors, products, strict=True)
    )


def _decomposed(factors: Any) -> Any:
    return [
        tuple(own._replace(basis=jnp.linalg.eigh(own.mean)[1]) for own in sides)
        for sides in factors
    ]


def into(gradient: jax.Array, factors: tuple[Factor, ...]) -> jax.Array:
    """A matrix, or several, in the eigenbases; a vector as it is."""
    if not factors:
        return gradient
    left, right = (own.basis for own in factors)
    return left.T @ gradient @ right


def out_of(turned: jax.Array, factors: tuple[Factor, ...]) -> jax.Array:
    """Turns back what `into` has turned."""
    if not factors:
        return turned
    left, right = (own.basis for own in factors)
    return left @ turned @ right.T


def average_unturned(decay: float) -> optax.GradientTransformationExtraArgs:
    """A debiased average that stays as it is where the bases are taken anew."""
    average = optax.ema(decay, debias=True)

    def update_fn(updates: Any, state: Any, params: Any = None, **extra_args: Any):
        del params
        factors = extra_args["factors"]
        leaves, structure = jax.tree.flatten(updates)
        back = jax.tree.unflatten(structure, map(out_of, leaves, factors))
        found, state = average.update(back, state)
        turned = map(into, jax.tree.leaves(found), factors)
        return jax.tree.unflatten(structure, turned), state

    return optax.GradientTransformationExtraArgs(average.init, update_fn)


def soap(
    aggregator: optax.GradientTransformation, *, decay: float = 0.95, every: int = 10
) -> optax.GradientTransformationExtraArgs:
    """SOAP without weight decay: Adam in the eigenbases; biases by Adam as they are.

    Args:
      aggregator: of players, called in the eigenbases with Adam's root as `metric=`;
        `optax.identity()` where updates have no player axis.
      decay: of the average, of the second moment and of the factors.
      every: steps from one decomposition to the next.
    """
    inner = optax.chain(aggregator, average_unturned(decay))
    adam = neo.precondition(inner, decay=decay, debias=True)
    return in_eigenbases(adam, decay=decay, every=every)


def shampoo(
    aggregator: optax.GradientTransformation, *, decay: float = 0.95, every: int = 10
) -> optax.GradientTransformationExtraArgs:
    r"""A Shampoo on averages: :math:`L^{-1/4} m R^{-1/4}`; biases by Adam.

    No learning rate is grafted on it. Its matrices are scaled to Adam's size by the
    root of the longer side, as Muon's are.

    Args:
      aggregator: of players, called in the eigenbases with
        :math:`(\lambda_L \lambda_R)^{1/4}` as `metric=`.
      decay: of the average and of the factors.
      every: steps from one decomposition to the next.

    References:
      Gupta, Koren and Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization",
      2018, Algorithm 1, with averages in place of its sums; Anil et al., "Scalable
      Second Order Optimization for Deep Learning", 2020, for `RIDGE`.
    """
    inner = optax.chain(aggregator, average_unturned(decay))
    return in_eigenbases(by_factors(inner, decay), decay=decay, every=every)


class _RootsState(NamedTuple):
    step: jax.Array
    moment: Any  # of vectors
    inner: Any


def by_factors(
    inner: optax.GradientTransformation, decay: float, eps: float = 1e-8
) -> optax.GradientTransformationExtraArgs:
    """Divides by fourth roots of the factors' eigenvalues, vectors by Adam's root.

    Args:
      inner: is passed these divisors as `metric=`.
      decay: of the factors, and of the second moment of vectors.
      eps: added to divisors.
    """
    inner = optax.with_extra_args_support(inner)

    def init_fn(params: Any) -> _RootsState:
        moment = [jnp.zeros_like(leaf) for leaf in jax.tree.leaves(params)]
        return _RootsState(jnp.zeros((), jnp.int32), moment, inner.init(params))

    def update_fn(updates: Any, state: Any, params: Any = None, **extra_args: Any):
        factors = extra_args["factors"]
        share = 1 - decay ** (state.step + 1)
        leaves, structure = jax.tree.flatten(updates)
        moment, metric = [], []
        for leaf, old, own in zip(leaves, state.moment, factors, strict=True):
            mean = jnp.mean(leaf, axis=0) if leaf.ndim > old.ndim else leaf
            new = decay * old + (1 - decay) * mean**2
            root = _fourth_root(own, share) if own else jnp.sqrt(new / share)
            moment.append(new)
            metric.append(root + eps)
        tree = jax.tree.unflatten(structure, metric)
        found, after = inner.update(
            updates, state.inner, params, **extra_args, metric=tree
        )
        divided = jax.tree.map(jnp.divide, found, tree)
        return divided, _RootsState(state.step + 1, moment, after)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _fourth_root(factors: tuple[Factor, ...], share: jax.Array) -> jax.Array:
    """The divisors of a matrix in its eigenbases, over the root of its longer side.

    Where the mean of the players has no extent, that of an aggregator may have some.
    """
    left, right = (_ridged(own) / share for own in factors)
    longer = max(len(left), len(right))
    return jnp.sqrt(jnp.sqrt(left)[:, None] * jnp.sqrt(right)[None]) / longer**0.5


def _ridged(own: Factor) -> jax.Array:
    """The eigenvalues of a factor, and a share of the largest to each."""
    found = jnp.maximum(jnp.sum(own.basis * (own.mean @ own.basis), axis=0), 0)
    return found + RIDGE * jnp.max(found)
