"""What players cost: gradients as factors against gradients themselves."""

import math
from typing import Any, NamedTuple

from neat_optax import _program
from neat_optax._sites._rules import Site


class LeafCost(NamedTuple):
    """What the inner products between the players' gradients of one parameter cost.

    Attributes:
      path: of the parameter, its keys joined by slashes.
      shape: of the parameter.
      site: what it is used in: `dense`, `convolution` or `lookup`, several of them
        joined, or the operation that keeps its gradient from being factored.
      can_factor: whether its gradient can be factored.
      players: P.
      places: T, how often each player uses it: positions, steps, uses.
      factored_flops: additions and multiplications of the Gramian from factors.
      explicit_flops: of the Gramian from gradients; forming them takes as many as a
        plain step does for their sum.
      factored_bytes: what the factors take beside what a plain step holds.
      explicit_bytes: what the gradients take.
    """

    path: str
    shape: tuple[int, ...]
    site: str
    can_factor: bool
    players: int
    places: int
    factored_flops: float
    explicit_flops: float
    factored_bytes: int
    explicit_bytes: int

    @property
    def is_cheaper(self) -> bool:
        """Whether factors take less arithmetic, or each is one outer product."""
        forming = 2 * self.players * self.places * math.prod(self.shape)
        few = self.places == 1 or self.factored_flops < self.explicit_flops + forming
        return self.can_factor and few


def of_leaf(
    path: str, leaf: Any, players: int, uses: list[Site], lost: str | None
) -> LeafCost:
    """The cost of a parameter.

    Args:
      path: of it.
      leaf: the parameter.
      players: how many there are.
      uses: sites of it.
      lost: in which other way it is used, if it is.
    """
    size, places = leaf.size, sum(site.places for site in uses)
    alike = len({site.layout for site in uses}) == 1 and lost is None
    kinds = " + ".join(dict.fromkeys(site.kind for site in uses))
    site = lost or (kinds if alike else f"{kinds} in two shapes" if kinds else "unused")
    explicit = 2.0 * players**2 * size
    held = leaf.dtype.itemsize * players * size
    if not alike:
        return LeafCost(
            path, leaf.shape, site, False, players, places, math.inf, explicit, 0, held
        )
    layout = uses[0].layout
    groups = size // max(layout.height * layout.width, 1)
    looked_up = all(site.kind == "lookup" for site in uses)
    entries = layout.width if looked_up else layout.height + layout.width
    rows = players * places * groups
    flops = 2.0 * rows * players * places * entries
    return LeafCost(
        path,
        leaf.shape,
        site,
        True,
        players,
        places,
        flops,
        explicit,
        leaf.dtype.itemsize * rows * entries,
        held,
    )


def matmul_flops(jaxpr: Any) -> float:
    """Additions and multiplications of all contractions and convolutions."""
    total = 0.0
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            (axes, _), _ = eqn.params["dimension_numbers"]
            shape = eqn.invars[0].aval.shape
            total += 2.0 * eqn.outvars[0].aval.size * math.prod(shape[k] for k in axes)
        elif eqn.primitive.name == "conv_general_dilated":
            kernel, numbers = eqn.invars[1].aval, eqn.params["dimension_numbers"]
            seen = kernel.size // max(kernel.shape[numbers.rhs_spec[0]], 1)
            total += 2.0 * eqn.outvars[0].aval.size * seen
        turns = eqn.params.get("length", 1) if eqn.primitive.name == "scan" else 1
        total += turns * sum(map(matmul_flops, _program.inside(eqn)))
    return total
