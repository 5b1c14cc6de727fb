"""Mutation operators."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks
from neat_optax._schedules import value_at
from neat_optax.evolution import _draws
from neat_optax.evolution._draws import Draws, fan_in_scale


class Mutation(NamedTuple):
    """A rule from the genes of one leaf to changed ones.

    `mutate(draws, genes, generation)` takes and gives an array [n, ...] in float32 or
    wider. `draws` is what a crossover left: a key that all leaves share, a key of this
    leaf, and a word of random bits for each gene.
    """

    name: str
    mutate: Callable[[Draws, jax.Array, Any], jax.Array]

    def __repr__(self) -> str:
        return f"<mutation {self.name}>"


def gaussian(
    scale: optax.ScalarOrSchedule = 0.15,
    rate: optax.ScalarOrSchedule = 0.01,
    *,
    unit: Callable[[tuple[int, ...]], Any] = fan_in_scale,
) -> Mutation:
    r"""Adds normal noise to a share of the genes.

    .. math:: w_k \leftarrow w_k + \frac{\sigma s}{\sqrt r}\, z_k
        \quad\text{with probability } r, \qquad z_k \sim N(0, 1)

    The root mean square of what is added is :math:`\sigma s`, whatever the rate: it
    decides how well a search goes, much more than the rate does.

    Args:
      scale: :math:`\sigma` at least 0, or a schedule of the generation.
      rate: :math:`r` in [0, 1], or a schedule; 1 changes every gene.
      unit: :math:`s` of an array, from the shape that it has in one individual. By
        default the standard deviation of an initial kernel, one over the root of its
        number of inputs; `absolute` is 1 for all.

    Example:
      >>> import jax.numpy as jnp
      >>> from neat_optax import evolution as evo
      >>> genes = jnp.zeros((1, 100000))
      >>> mutate = gaussian(0.5, 0.01, unit=evo.absolute)
      >>> child = evo.offspring(0, genes, jnp.array([[0]]), evo.clone, mutate)
      >>> print(f"{jnp.mean(child != 0):.2f} {jnp.std(child):.1f}")
      0.01 0.5
    """
    _checks.check_number("scale", scale, "[0, inf)")
    _checks.check_number("rate", rate, "[0, 1]")
    _checks.check_function("unit", unit)

    def mutate(draws: Draws, genes: jax.Array, generation: Any) -> jax.Array:
        _checks.check_real("params", genes.dtype)
        share, size = value_at(rate, generation), value_at(scale, generation)
        changed, number = _draws.chosen(draws.word, share)
        step = size * unit(genes.shape[1:]) / jnp.sqrt(jnp.where(share > 0, share, 1))
        return jnp.where(changed, genes + step * _draws.normal(number), genes)

    return Mutation("gaussian", mutate)


def reset(
    init: Callable[..., Any] | None = None, rate: optax.ScalarOrSchedule = 0.01
) -> Mutation:
    """Reinitializes a share of the genes.

    Args:
      init: a function (key, shape, dtype) to an array of one individual, as in
        `jax.nn.initializers`; by default normal numbers of the size of initial
        weights, as in `gaussian`.
      rate: the probability for each gene, in [0, 1], or a schedule of the generation.
    """
    if init is not None:
        _checks.check_function("init", init)
    _checks.check_number("rate", rate, "[0, 1]")

    def mutate(draws: Draws, genes: jax.Array, generation: Any) -> jax.Array:
        changed, number = _draws.chosen(draws.word, value_at(rate, generation))
        fresh = _draws.drawn_with(init, draws.own, number, genes)
        unit = fan_in_scale(genes.shape[1:]) if init is None else 1.0
        return jnp.where(changed, unit * fresh, genes)

    return Mutation("reset", mutate)


def multiplicative(
    scale: optax.ScalarOrSchedule = 0.1, init: Callable[..., Any] | None = None
) -> Mutation:
    r"""Multiplies every gene by a factor around 1.

    .. math:: w_k \leftarrow w_k\, (1 + \sigma z_k)

    A gene that is zero stays zero: so do pruned ones.

    Args:
      scale: :math:`\sigma` at least 0, or a schedule of the generation.
      init: what draws :math:`z`, as in `reset`; by default normal numbers.
    """
    _checks.check_number("scale", scale, "[0, inf)")
    if init is not None:
        _checks.check_function("init", init)

    def mutate(draws: Draws, genes: jax.Array, generation: Any) -> jax.Array:
        _, number = _draws.chosen(draws.word, 1)
        noise = _draws.drawn_with(init, draws.own, number, genes)
        return genes * (1 + value_at(scale, generation) * noise)

    return Mutation("multiplicative", mutate)


def absolute(shape: tuple[int, ...]) -> float:
    """The unit 1 for every array, for `gaussian`."""
    del shape
    return 1.0


def _same(draws: Draws, genes: jax.Array, generation: Any) -> jax.Array:
    del draws, generation
    return genes


unchanged = Mutation("unchanged", _same)
"""No mutation."""
