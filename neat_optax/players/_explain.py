"""What players of a model cost, before anything is run."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from neat_optax import _checks
from neat_optax._sites import LeafCost, costs
from neat_optax.players._examples import opened_players


class Explanation(NamedTuple):
    """What the inner products between players cost. `str` makes a table of it.

    Attributes:
      leaves: a row for each parameter.
      factored: whether each of them stays factored.
      plain_flops: of a step with the mean gradient: three times the contractions and
        convolutions of a forward pass.
    """

    leaves: list[LeafCost]
    factored: list[bool]
    plain_flops: float

    @property
    def flops(self) -> float:
        """Of a step with players, as a multiple of those of the plain step."""
        pairs = zip(self.leaves, self.factored, strict=True)
        extra = sum(_flops(leaf, kept) for leaf, kept in pairs)
        return 1 + extra / max(self.plain_flops, 1)

    @property
    def bytes(self) -> int:
        """What factors and gradients of all players take."""
        pairs = zip(self.leaves, self.factored, strict=True)
        return sum(_bytes(leaf, kept) for leaf, kept in pairs)

    def __str__(self) -> str:
        lines = [("parameter", "shape", "used in", "uses", "kept as", "MB", "flops")]
        for leaf, kept in zip(self.leaves, self.factored, strict=True):
            share = _flops(leaf, kept) / max(self.plain_flops, 1)
            line = (
                leaf.path or "the root",
                "x".join(map(str, leaf.shape)) or "1",
                leaf.site,
                str(leaf.places or "-"),
                "factors" if kept else "gradients",
                f"{_bytes(leaf, kept) / 1e6:.2f}",
                f"{share:.3f}",
            )
            lines.append(line)
        total = f"{self.bytes / 1e6:.2f}", f"{self.flops - 1:.3f}"
        lines.append(("all", "", "", "", "", *total))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rows = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        players = self.leaves[0].players if self.leaves else 0
        unit = f"flops as shares of a plain step's {self.plain_flops:.1e}"
        return "\n".join([*rows, f"{players} players; {unit}."])


def explain(
    loss_fn: Callable[..., Any],
    params: optax.Params,
    *batch: Any,
    num_players: int | None = None,
    has_aux: bool = False,
    factored: Callable[[LeafCost], bool] | bool = True,
) -> Explanation:
    r"""What gradients of examples cost for each parameter of a model.

    The Gramian of :math:`P` players takes :math:`2 (P T)^2 (K + O)` additions and
    multiplications from factors, with :math:`T` rows of length :math:`K` and :math:`O`
    for each player, and :math:`2 P^2 K O` from gradients, which hold :math:`P K O`
    numbers. Nothing is run: the loss is traced.

    Args:
      loss_fn: the loss of one example, as in `value_and_example_grads`.
      params: the parameters or an `nnx.Module`; shapes are enough.
      *batch: examples, every leaf [B, ...]; shapes are enough.
      num_players: number of groups; by default every example is a player.
      has_aux: whether `loss_fn` returns something besides the loss.
      factored: the choice that is explained, as in `value_and_example_grads`: by
        default that of the cheaper.

    Returns:
      An `Explanation`; `print` shows it as a table.

    Raises:
      ValueError: as `value_and_example_grads` does.

    Example:
      >>> import jax.numpy as jnp
      >>> loss = lambda p, x: jnp.sum(jnp.tanh(x @ p["w"] + p["b"]))
      >>> params = {"w": jnp.zeros((300, 200)), "b": jnp.zeros(200)}
      >>> print(explain(loss, params, jnp.ones((32, 300))))
      parameter  shape    used in  uses  kept as  MB    flops
      b          200      bias     1     factors  0.03  0.036
      w          300x200  dense    1     factors  0.06  0.089
      all                                         0.09  0.125
      32 players; flops as shares of a plain step's 1.2e+07.
    """
    _checks.check_function("loss_fn", loss_fn)
    _checks.check_bool("has_aux", has_aux)
    if not callable(factored):
        _checks.check_bool("factored", factored)
    found: list[Any] = []

    def trace(*batch: Any) -> None:
        players = opened_players(loss_fn, has_aux, num_players, params, batch)
        found.extend(costs(players.loss, players.params, players.rows))

    jax.eval_shape(trace, *batch)
    leaves, plain = found
    return Explanation(leaves, [_chosen(leaf, factored) for leaf in leaves], plain)


def _chosen(leaf: LeafCost, factored: Callable[[LeafCost], bool] | bool) -> bool:
    if callable(factored):
        return leaf.can_factor and bool(factored(leaf))
    return factored and leaf.is_cheaper


def _flops(leaf: LeafCost, kept: bool) -> float:
    return leaf.factored_flops if kept else leaf.explicit_flops


def _bytes(leaf: LeafCost, kept: bool) -> int:
    return leaf.factored_bytes if kept else leaf.explicit_bytes
