"""How many weights each scope keeps."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from neat_optax import _checks, _tree
from neat_optax._granularity import Granularity
from neat_optax._leaves import Mask, Scope, as_mask, chosen, kernels
from neat_optax.sparsity._allocation import Allocation, as_allocation


class Division(NamedTuple):
    """Which arrays are pruned, what counts together, and what is kept as one."""

    scope: Scope
    allocation: Allocation
    granularity: Granularity
    mask: Mask

    def pruned(self, params: optax.Params) -> list[int]:
        """The numbers of the leaves that are pruned."""
        return chosen(params, self.mask)

    def scopes(self, params: optax.Params) -> list[list[int]]:
        """The pruned leaves of each scope."""
        owners = self.scope.owners(params)
        found: dict[int, list[int]] = {}
        for number in self.pruned(params):
            found.setdefault(owners[number], []).append(number)
        return list(found.values())

    def biases(self, params: optax.Params, number: int) -> list[int]:
        """The vectors that go with a kernel whose outputs are pruned as one."""
        if not self.granularity.of_outputs:
            return []
        parents = [path.rpartition("/")[0] for path in _tree.leaf_names(params)]
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
        wanted = parents[number], shapes[number][-1:]
        pairs = zip(parents, shapes, strict=True)
        return [n for n, pair in enumerate(pairs) if pair == wanted and n != number]

    def amount(self, params: optax.Params, sparsity: Any) -> Any:
        """The argument of `counts`: a traced sparsity, or the counts of a known one.

        Known counts are exact. Traced ones cost a few operations for each scope, which
        are left to the steps at which the mask changes.
        """
        counts = self.counts(params, 0.0 if _traced(sparsity) else sparsity)
        return sparsity if _traced(sparsity) else counts

    def counts(self, params: optax.Params, amount: Any) -> list[Any]:
        """How many groups each scope keeps: at least 1, and at most its share.

        Args:
          params: the parameters.
          amount: a sparsity, clipped to [0, 1]; or a list of the counts themselves.
        """
        if isinstance(amount, list):
            return amount
        shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
        pruned = self.pruned(params)
        given = self.allocation.sparsities([shapes[n] for n in pruned], amount)
        _checks.check_one_each("allocation", given, "pruned array", len(pruned))
        for share in given:
            _checks.check_number("allocation", share, "[0, 1]")
        shares = dict(zip(pruned, given, strict=True))
        sizes = self._groups(params, pruned)
        for scope in self.scopes(params):
            _checks.check_total("scope", "groups", sum(sizes[n] for n in scope))
        return [
            count_kept([sizes[n] for n in scope], [shares[n] for n in scope])
            for scope in self.scopes(params)
        ]

    def _groups(self, params: optax.Params, pruned: list[int]) -> dict[int, int]:
        """How many groups each of the pruned leaves has."""
        paths, leaves = _tree.leaf_names(params), jax.tree.leaves(params)
        sizes = {}
        for n in pruned:
            with _checks.naming(paths[n], "mask"):
                sizes[n] = self.granularity.groups(jnp.shape(leaves[n]))
        return sizes


def _traced(number: Any) -> bool:
    """Whether a number is not one of Python's, which are exact."""
    return not isinstance(number, (int, float))


def divide(scope: Any, allocation: Any, granularity: Any, mask: Any) -> Division:
    """A `Division`, its parts checked."""
    _checks.check_kind("scope", scope, Scope)
    _checks.check_kind("granularity", granularity, Granularity)
    mask = as_mask(mask, kernels)
    return Division(scope, as_allocation(allocation), granularity, mask)


def count_kept(sizes: Sequence[int], sparsities: Sequence[Any]) -> Any:
    """The largest count that leaves at least the given sparsity; at least 1.

    The product is rounded: 10 * (1 - 0.8) is below 2 in every floating format, and
    counts as 2. Numbers are counted in float64, traced ones in their own precision.
    Arrays with equal sparsity are counted together, so rounding does not accumulate.
    """
    known = not any(map(_traced, sparsities))
    xp: Any = np if known else jnp
    exact = np.float64 if known else jnp.result_type(jnp.float32, *sparsities)
    shares = [1 - xp.clip(xp.asarray(s, exact), 0, 1) for s in sparsities]
    pairs = zip(sizes, shares, strict=True)
    kept = sum(sizes) * shares[0] + sum(n * (share - shares[0]) for n, share in pairs)
    rounding = sum(sizes) * float(jnp.finfo(exact).eps)
    return xp.maximum(xp.floor(kept + rounding), 1).astype(np.int32)
