"""Measures of plasticity, read from the program of any model."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from neat_optax import _checks, _tree
from neat_optax._factored import Layout
from neat_optax.continual import _isometry
from neat_optax.continual._dormancy import dormant_fraction
from neat_optax.continual._measures import feature_norm, ranks
from neat_optax.continual._runs import Run, run_model

_KERNELS = ("dense", "convolution")


class FeatureMeasures(NamedTuple):
    """Of the features of a layer [places, units].

    Attributes:
      dormant: the share of dormant units, as `dormant_fraction` has it.
      norm: as `feature_norm`.
      effective_rank: as `effective_rank`.
      srank: as `srank`.
      stable_rank: as `stable_rank`.
    """

    dormant: jax.Array
    norm: jax.Array
    effective_rank: jax.Array
    srank: jax.Array
    stable_rank: jax.Array


class WeightMeasures(NamedTuple):
    """Of a kernel.

    Attributes:
      effective_rank: as `effective_rank`.
      srank: as `srank`.
      stable_rank: as `stable_rank`.
      isometry_deviation: as `isometry_deviation`.
    """

    effective_rank: jax.Array
    srank: jax.Array
    stable_rank: jax.Array
    isometry_deviation: jax.Array


class Measures(NamedTuple):
    """What `read_measures` reads.

    Attributes:
      outputs: what the model returned.
      features: by the path of each layer that `read_activities` has an entry for.
      weights: by the path of each layer with a kernel.
    """

    outputs: Any
    features: Mapping[str, FeatureMeasures]
    weights: Mapping[str, WeightMeasures]


def read_measures(
    apply_fn: Callable[..., Any],
    *,
    threshold: ArrayLike = 0.025,
    delta: ArrayLike = 0.01,
) -> Callable[..., Measures]:
    r"""Ranks, norms and dormant units of all layers of a model, without hooks.

    Features are what the next layer makes its data of, and are found as
    `read_activities` finds them. A matrix of them has a row for each place: for each
    example, position of a convolution or of a sequence, and use of the layer. A kernel
    is the matrix that the model multiplies data by, [inputs, outputs], whatever the
    order of its axes; where it is several, as in groups of a convolution and in scanned
    stacks, its measures are their means.

    Args:
      apply_fn: a function `apply_fn(params, *args, **kwargs)`, as in `read_activities`.
      threshold: at which a unit is dormant, as in `dormant_units`.
      delta: as in `srank`.

    Returns:
      A function of the same arguments that returns `Measures`, numbers [] in float32 or
      wider. Under `jit`, what is not used costs nothing; no derivative goes through
      measures. Singular values are the cost: measure seldom, on a few hundred examples.

    Raises:
      ValueError: if something in `params` is not floating.

    Example:
      >>> import jax.numpy as jnp
      >>> def apply_fn(params, x):
      ...     hidden = jnp.maximum(x @ params["first"]["kernel"], 0)
      ...     return hidden @ params["head"]["kernel"]
      >>> params = {"first": {"kernel": jnp.array([[1.0, -1.0]])},
      ...           "head": {"kernel": jnp.ones((2, 1))}}
      >>> found = read_measures(apply_fn)(params, jnp.array([[3.0], [4.0]]))
      >>> first = found.features["first"]
      >>> float(first.dormant), float(first.norm), float(first.srank)
      (0.5, 3.5, 1.0)
      >>> print(found.weights["head"].isometry_deviation)
      1.0

    References:
      Those of `dormant_fraction`, `effective_rank`, `srank`, `stable_rank` and
      `isometry_deviation`.
    """
    _checks.check_function("apply_fn", apply_fn)
    _checks.check_number("threshold", threshold, "[0, inf)")
    _checks.check_number("delta", delta, "[0, 1)")

    def measures(params: optax.Params, *args: Any, **kwargs: Any) -> Measures:
        run = run_model(apply_fn, params, args, kwargs)
        features = {
            layer: _of_features(jnp.concatenate(uses), threshold, delta)
            for layer, uses in run.features().items()
        }
        weights = {
            layer: _of_kernel(kernel, layout, delta)
            for layer, (kernel, layout) in _kernels(run).items()
        }
        return Measures(run.outputs, features, weights)

    return measures


def _of_features(
    rows: jax.Array, threshold: ArrayLike, delta: ArrayLike
) -> FeatureMeasures:
    return FeatureMeasures(
        dormant_fraction(jnp.mean(jnp.abs(rows), axis=0), threshold),
        feature_norm(rows),
        *ranks(rows, delta),
    )


def _kernels(run: Run) -> dict[str, tuple[jax.Array, Layout]]:
    """By the path of each layer its kernel, and how the first use of it reads it."""
    found: dict[str, tuple[jax.Array, Layout]] = {}
    for site in run.sites.values():
        if site.kind in _KERNELS:
            kernel = jax.lax.stop_gradient(run.leaves[site.leaf])
            found.setdefault(run.layer(site), (kernel, site.layout))
    return found


def _of_kernel(kernel: jax.Array, layout: Layout, delta: ArrayLike) -> WeightMeasures:
    matrix = layout.to_matrix(_tree.unsharded(_tree.widen(kernel)))
    several = matrix.reshape(-1, *matrix.shape[-2:])
    each = jax.vmap(lambda one: _of_matrix(one, delta))(several)
    return jax.tree.map(jnp.mean, each)


def _of_matrix(matrix: jax.Array, delta: ArrayLike) -> WeightMeasures:
    return WeightMeasures(*ranks(matrix, delta), _isometry.deviation(matrix))
