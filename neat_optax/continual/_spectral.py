"""Spectral regularization: the largest singular value of each layer stays near one."""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import _checks, _tree
from neat_optax._alike import map_alike
from neat_optax._alike import numbers as names
from neat_optax._citing import cites
from neat_optax._leaves import Mask, chosen
from neat_optax._random import as_key, check_key
from neat_optax._schedules import value_at
from neat_optax.continual import _matrices

_NAME = "spectral_regularization"


class SpectralRegularizationState(NamedTuple):
    """State of `spectral_regularization`."""

    step: jax.Array  # [] int32
    vectors: (
        jax.Array
    )  # [all outputs] float32 or wider: for each kernel, one after another


@cites("lewandowski2025learning")
def spectral_regularization(
    strength: optax.ScalarOrSchedule,
    power: int = 2,
    *,
    iterations: int = 1,
    biases: bool = True,
    key: jax.Array | int = 0,
    mask: Mask | None = None,
) -> optax.GradientTransformationExtraArgs:
    r"""Pulls the largest singular value of each kernel to one, and biases to zero.

    .. math:: u \leftarrow u + \lambda \nabla\Bigl(\sum_W (\sigma_1(W)^k - 1)^2 +
        \sum_b \|b\|^{2k}\Bigr)

    The singular vectors are found by power iteration, which goes on from the ones of
    the step before: :math:`a \leftarrow W v / \|W v\|`,
    :math:`v \leftarrow W^\top a / \|W^\top a\|`, and :math:`\sigma_1 = \|W v\|`. The
    gradient of a kernel is then :math:`2 k (\sigma_1^k - 1) \sigma_1^{k-1} a v^\top`. A
    convolution is the matrix [positions and inputs, outputs]. Like `l2_to_init` it goes
    before the learning rate. A kernel that is zero or not finite is not pulled.

    Args:
      strength: :math:`\lambda` at least 0, or a schedule.
      power: :math:`k`, an integer of at least 1.
      iterations: rounds of power iteration in a step. Under
        `optax.inject_hyperparams` it belongs in `static_args`, and so does `power`.
      biases: whether the biases beside kernels are pulled to zero.
      key: a random key or a seed, for the first vectors.
      mask: which parameters are pulled, as in `l2_to_init`. Scales of normalization
        layers and embeddings never are.

    Returns:
      A transformation that needs `params`. It keeps one number for each output.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> tx = spectral_regularization(0.25, iterations=20)
      >>> w = {"kernel": jnp.diag(jnp.array([2.0, 0.5]))}
      >>> still = {"kernel": jnp.zeros((2, 2))}
      >>> u, _ = tx.update(still, tx.init(w), w)
      >>> [[round(x, 3) + 0.0 for x in row] for row in u["kernel"].tolist()]
      [[6.0, 0.0], [0.0, 0.0]]

    References:
      Lewandowski et al., "Learning Continually by Spectral Regularization", 2025.
    """
    _checks.check_number("strength", strength, "[0, inf)")
    _checks.check_integer("power", power, 1)
    _checks.check_integer("iterations", iterations, 1)
    _checks.check_bool("biases", biases)
    check_key("key", key)

    def init_fn(params: optax.Params) -> SpectralRegularizationState:
        _checks.check_inexact("params", params)
        numbers = _chosen(params, mask)[0]
        dtypes = [jax.tree.leaves(params)[n].dtype for n in numbers]
        dtype = jnp.finfo(jnp.result_type(jnp.float32, *dtypes)).dtype
        shape = (sum(_sizes(params, numbers)),)
        vectors = jax.random.normal(as_key(key), shape, dtype)
        return SpectralRegularizationState(jnp.zeros((), jnp.int32), vectors)

    def update_fn(
        updates: optax.Updates,
        state: Any,
        params: Any = None,
        **extra_args: Any,
    ) -> tuple[optax.Updates, SpectralRegularizationState]:
        del extra_args
        _checks.check_update(updates, params, _NAME)
        kernels, others = _chosen(params, mask)
        layers, weights = _matrices.find_layers(params), jax.tree.leaves(params)
        old = np.cumsum(_sizes(params, kernels))[:-1]
        old = jnp.split(state.vectors, old) if kernels else []
        parts = {n: (weights[n], v) for n, v in zip(kernels, old, strict=True)}
        pulls, kept = _pulls(parts, layers.kernels, power, iterations)
        for n in others if biases else ():
            layout = layers.kernels[layers.biases[n]]
            pulls[n] = _pull_of_bias(weights[n], layout, power)
        amount = value_at(strength, state.step)
        updates = _matrices.add(updates, params, pulls, amount)
        vectors = jnp.concatenate([state.vectors[:0], *kept])
        step = _tree.increment(state.step)
        return updates, SpectralRegularizationState(step, vectors)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def _chosen(params: optax.Params, mask: Mask | None) -> tuple[list[int], list[int]]:
    """The numbers of the kernels and of the biases that take part."""
    layers, numbers = _matrices.find_layers(params), chosen(params, mask)
    kernels = [n for n in numbers if n in layers.kernels]
    return kernels, [n for n in numbers if n in layers.biases]


def _sizes(params: optax.Params, numbers: Sequence[int]) -> list[int]:
    """How many numbers the vectors of each kernel have: two for a complex output."""
    layers, leaves = _matrices.find_layers(params), jax.tree.leaves(params)
    sizes = []
    for n in numbers:
        shape, layout = leaves[n].shape, layers.kernels[n]
        ends = shape[: layout.stacked] + shape[len(shape) - layout.outputs :]
        sizes.append(math.prod(ends) * (2 if jnp.iscomplexobj(leaves[n]) else 1))
    return sizes


def _pulls(
    parts: dict[int, tuple[jax.Array, jax.Array]],
    layouts: Mapping[int, _matrices.Layout],
    power: int,
    iterations: int,
) -> tuple[dict[int, jax.Array], list[jax.Array]]:
    """Gradients of kernels by number, and the next vectors in the order of the parts.

    Kernels that look alike are compiled once.
    """
    found: dict[int, tuple[jax.Array, jax.Array]] = {}
    for layout in dict.fromkeys(layouts[n] for n in parts):
        numbers = [n for n in parts if layouts[n] == layout]
        pull = functools.partial(_pull, layout, power, iterations)
        results = map_alike(pull, [parts[n] for n in numbers], names(len(numbers)))
        found.update(zip(numbers, results, strict=True))
    return {n: pull for n, (pull, _) in found.items()}, [found[n][1] for n in parts]


def _pull(
    layout: _matrices.Layout,
    power: int,
    iterations: int,
    part: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array]:
    """The gradient of one kernel's penalty, and its next vectors."""
    kernel, vectors = part
    matrices = _tree.widen(_matrices.matrices(kernel, layout))
    if jnp.iscomplexobj(matrices):
        vectors = jax.lax.complex(*jnp.split(vectors, 2))
    start = vectors.reshape(len(matrices), 1, -1).astype(matrices.dtype)
    right = _tree.varying_like(_unit(start)[0], matrices)
    right = jax.lax.fori_loop(
        0,
        iterations,
        lambda _, vector: _iterated(matrices, vector),
        right,
        unroll=iterations == 1,
    )
    left, largest = _unit(_images(matrices, right))
    slope = 2 * power * (largest**power - 1) * largest ** (power - 1)
    pull = _matrices.like_kernel(slope * left * jnp.conj(right), kernel)
    new = _flat(right).astype(part[1].dtype)
    return jnp.where(jnp.isfinite(pull), pull, 0), new


def _iterated(matrices: jax.Array, right: jax.Array) -> jax.Array:
    """One round for right singular vectors [layers, 1, outputs]; zero teaches none."""
    left, _ = _unit(_images(matrices, right))
    new, length = _unit(jnp.sum(jnp.conj(matrices) * left, axis=1, keepdims=True))
    return jnp.where(jnp.isfinite(length) & (length > 0), new, right)


def _images(matrices: jax.Array, right: jax.Array) -> jax.Array:
    """The images [layers, inputs, 1] of vectors [layers, 1, outputs]."""
    return jnp.sum(matrices * right, axis=2, keepdims=True)


def _unit(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Vectors of length 1 for each layer, and the lengths that they had."""
    squares = jnp.real(x * jnp.conj(x))
    length = _tree.root(jnp.sum(squares, axis=(1, 2), keepdims=True))
    return _tree.safe_divide(x, length), length


def _flat(vectors: jax.Array) -> jax.Array:
    if jnp.iscomplexobj(vectors):
        vectors = jnp.stack([jnp.real(vectors), jnp.imag(vectors)])
    return vectors.reshape(-1)


def _pull_of_bias(bias: jax.Array, layout: _matrices.Layout, power: int) -> jax.Array:
    """The gradient of the penalty of one bias."""
    wide = _tree.widen(bias)
    axes = tuple(range(layout.stacked, bias.ndim))
    squares = jnp.sum(jnp.real(wide * jnp.conj(wide)), axis=axes, keepdims=True)
    pull = 2 * power * squares ** (power - 1) * wide
    return jnp.where(jnp.isfinite(pull), pull, 0)
