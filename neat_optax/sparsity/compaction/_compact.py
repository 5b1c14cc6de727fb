"""Removal of dead hidden units: smaller models with the same outputs.

A unit is dead if its outgoing or its incoming weights are all zero. Zeros in a dense
kernel save nothing; without the unit, kernels are smaller. Needs Flax.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from neat_optax import _checks
from neat_optax.sparsity.compaction._cut_chain import Plan, cut, make_plan
from neat_optax.sparsity.compaction._flax_models import Network
from neat_optax.sparsity.compaction._layer_order import join


class CompactionReport(NamedTuple):
    """Sizes before and after a compaction, and the change of the outputs.

    Attributes:
      threshold: the size up to which a weight counts as zero.
      units_before: the units of each hidden layer, by the path of the layer.
      units_after: those of the smaller model: the widths to build one like it.
      parameters_before: the entries of all parameters, zeros too.
      parameters_after: those of the smaller model.
      nonzeros_before: the parameters that are not zero.
      nonzeros_after: those of the smaller model.
      bytes_before: the memory of the parameters.
      bytes_after: that of the smaller model.
      max_change: the largest difference of the outputs on `x` between the given and the
        smaller model.
      accepted: whether there is a smaller model; otherwise the given one is returned.
    """

    threshold: float
    units_before: dict[str, int]
    units_after: dict[str, int]
    parameters_before: int
    parameters_after: int
    nonzeros_before: int
    nonzeros_after: int
    bytes_before: int
    bytes_after: int
    max_change: float
    accepted: bool


class Compacted(NamedTuple):
    """A smaller model, and its report.

    Attributes:
      model: an `nnx.Module` with its weights, or a linen module.
      variables: the variables of a linen module; None for an `nnx.Module`.
      report: a `CompactionReport`.
    """

    model: Any
    variables: Any
    report: CompactionReport


def compact(
    model: Any,
    x: Any,
    *,
    variables: Any = None,
    threshold: float = 0.0,
    zero_at_zero: bool = True,
    layers: tuple[str, ...] | None = None,
    rebuild: Callable[[dict[str, int]], Any] | None = None,
) -> Compacted:
    r"""Removes dead hidden units from a chain of Flax Dense and Conv layers.

    .. math:: \text{keep unit } j \text{ of layer } l \iff
        \max_k |W^{l+1}_{jk}| > \tau \text{ and }
        \max(\max_i |W^l_{ij}|, |b^l_j|) > \tau

    The maxima are over units that are kept, and the rule is applied from the last
    hidden layer backwards until nothing changes. The second condition is that of
    `zero_at_zero`. A layer keeps at least its strongest unit. Inputs and outputs stay.

    What is returned computes what the given model does with the outgoing weights of the
    removed units set to zero: with threshold 0, the same as the given model. This is
    verified on `x` and on `x` with noise, with the given weights and with random ones,
    which show a difference where the given ones leave most units at rest. NNX models
    are traced and verified in evaluation mode. Pass `zero_at_zero=False` where an
    activation does not map 0 to 0.

    Args:
      model: an `nnx.Module` or a linen module. Each layer's units go to the next layer
        alone, by way of activations, pooling, and a flatten with channels last.
        Normalization between two layers is refused: fold it into the first of them
        before pruning, or leave these two out of `layers`.
      x: an example input, or a tuple of all arguments.
      variables: for linen, a dictionary with `"params"`.
      threshold: :math:`\tau` at least 0; above 0 the outputs change.
      zero_at_zero: whether the activations between layers map 0 to 0, as relu, tanh,
        gelu and silu do, and sigmoid does not.
      layers: the paths of the layers in their order, such as `("trunk/first", "head")`,
        instead of the order in the trace. The last one is not cut. Then only numbers
        tell whether they are a chain.
      rebuild: for linen, from the features of each layer by path, the last one's too,
        to the smaller module, as `lambda widths: Net(hidden=widths["first"])`; an
        `nn.Sequential` of Dense and Conv needs none.

    Returns:
      The smaller model, its variables, and the report. If nothing can be removed, as
      without hidden layers, the given model, with `accepted` False.

    Raises:
      ValueError: if the layers are no chain of Dense and Conv layers, if an argument
        is out of range, or if the smaller model does not compute the same.
      ImportError: if Flax is not installed.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> r = nnx.Rngs(0)
      >>> model = nnx.Sequential(nnx.Linear(2, 8, rngs=r), nnx.relu,
      ...                        nnx.Linear(8, 1, rngs=r))
      >>> last = model.layers[2].kernel
      >>> last[...] = last[...].at[3:].set(0.0)
      >>> small = compact(model, jnp.ones((4, 2)))
      >>> small.report.units_after, small.report.parameters_after
      ({'layers/0': 3}, 13)
    """
    level = _check_threshold("threshold", threshold)
    _checks.check_bool("zero_at_zero", zero_at_zero)
    plan = make_plan(model, x, variables, zero_at_zero, layers, rebuild)
    return _compact_at(plan, level) or _unchanged(plan, level, model, variables)


def search_compaction(
    model: Any,
    x: Any,
    thresholds: Iterable[float],
    score: Callable[..., Any],
    *,
    min_score: float | None = None,
    variables: Any = None,
    zero_at_zero: bool = True,
    layers: tuple[str, ...] | None = None,
    rebuild: Callable[[dict[str, int]], Any] | None = None,
) -> Compacted:
    """The smallest compaction that still scores well on validation data.

    Of the candidates that are smaller than the model and score at least `min_score`,
    the one of fewest parameters; of those, the one of fewest nonzeros; of those, the
    one of the lowest threshold.

    Args:
      model, x, variables, zero_at_zero, layers, rebuild: as in `compact`.
      thresholds: the thresholds to try.
      score: from a model, and for linen its variables, to a number; higher is better.
      min_score: the lowest score to accept; by default that of the given model.

    Returns:
      The candidate; or the given model, with `accepted` False.

    Raises:
      ValueError: as in `compact`; if there are no thresholds; if a score is no number.
      ImportError: if Flax is not installed.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import nnx
      >>> r = nnx.Rngs(0)
      >>> model = nnx.Sequential(nnx.Linear(2, 8, rngs=r), nnx.relu,
      ...                        nnx.Linear(8, 1, rngs=r))
      >>> last = model.layers[2].kernel
      >>> last[...] = last[...].at[3:].set(0.001)
      >>> x = jnp.ones((4, 2))
      >>> y = model(x)
      >>> def score(model):
      ...     return -jnp.mean((model(x) - y) ** 2)
      >>> small = search_compaction(model, x, (0.0, 0.01), score, min_score=-1e-3)
      >>> small.report.threshold, small.report.units_after
      (0.01, {'layers/0': 3})
    """
    levels = sorted({_check_threshold("thresholds", t) for t in thresholds})
    if not levels:
        raise ValueError("`thresholds` must hold at least one number, got none.")
    _checks.check_function("score", score)
    _checks.check_bool("zero_at_zero", zero_at_zero)
    plan = make_plan(model, x, variables, zero_at_zero, layers, rebuild)
    if min_score is None:
        min_score = _score(score, model, variables)
    _checks.check_fields({"min_score": min_score}, {"min_score": "[-inf, inf]"})
    candidates = [found for t in levels if (found := _compact_at(plan, t)) is not None]
    for found in sorted(candidates, key=_size):
        if _score(score, found.model, found.variables) >= min_score:
            return found
    return _unchanged(plan, levels[0], model, variables)


def _check_threshold(name: str, value: Any) -> float:
    if isinstance(value, (jax.Array, np.ndarray)) and value.ndim == 0:
        value = value.item()
    _checks.check_fields({name: value}, {name: "[0, inf)"})
    return float(value)


def _score(score: Callable[..., Any], model: Any, variables: Any) -> float:
    value = score(model) if variables is None else score(model, variables)
    if np.ndim(value) != 0:
        raise ValueError(
            f"`score` must return one number, got shape {np.shape(value)}."
        )
    return float(value)


def _size(compacted: Compacted) -> tuple[int, int, float]:
    report = compacted.report
    return report.parameters_after, report.nonzeros_after, report.threshold


def _compact_at(plan: Plan, threshold: float) -> Compacted | None:
    """The smaller model, or None if nothing is dead at this threshold."""
    found = cut(plan, threshold)
    if found is None:
        return None
    report = _report(plan, threshold, found.network, found.max_change, True)
    return Compacted(found.model, found.variables, report)


def _unchanged(plan: Plan, threshold: float, model: Any, variables: Any) -> Compacted:
    report = _report(plan, threshold, plan.network, 0.0, False)
    return Compacted(model, variables, report)


def _report(
    plan: Plan, threshold: float, after: Network, max_change: float, accepted: bool
) -> CompactionReport:
    before = plan.network
    kernels = {name: join(name, "kernel") for name in plan.layers[:-1]}
    return CompactionReport(
        threshold=threshold,
        units_before={n: before.arrays[k].shape[-1] for n, k in kernels.items()},
        units_after={n: after.arrays[k].shape[-1] for n, k in kernels.items()},
        parameters_before=_total(before, np.size),
        parameters_after=_total(after, np.size),
        nonzeros_before=_total(before, np.count_nonzero),
        nonzeros_after=_total(after, np.count_nonzero),
        bytes_before=_total(before, lambda array: array.nbytes),
        bytes_after=_total(after, lambda array: array.nbytes),
        max_change=max_change,
        accepted=accepted,
    )


def _total(network: Network, size: Callable[[Any], Any]) -> int:
    return sum(int(size(network.arrays[name])) for name in network.parameters)
