"""Dependence analysis of a traced function: which inputs reach which outputs.

What is known of an array of shape [a, b] is a boolean array of shape [a, b, columns],
where an axis of length 1 stands for "the same everywhere along it". Few operations tell
elements apart, so that these arrays stay small. There is a column for each input, and
one for each kind of operation that is not followed: where it is set, one has mixed what
its argument told apart.
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from neat_optax import _program
from neat_optax.players import _moves
from neat_optax.players._indices import RULES as INDICES
from neat_optax.players._loops import RULES as LOOPS
from neat_optax.players._moves import anywhere, uniform
from neat_optax.players._sums import RULES as SUMS

_CALLS = ("jit", "pjit", "closed_call", "checkpoint", "remat", "remat2")
_CUSTOM = ("custom_jvp_call", "custom_vjp_call")
_RULES = {**_moves.RULES, **INDICES, **SUMS}
_REFS = "operations on mutable arrays"
_FOLLOWED = {*_program.ELEMENTWISE, *_CALLS, *_CUSTOM, *_RULES, *LOOPS, "stop_gradient"}
_EVALUATED = 10**4


class Flow(NamedTuple):
    """What is known of one array."""

    depends: np.ndarray  # [axes, columns], each axis whole or of length 1
    value: Callable[[], Any] = lambda: None  # the array, if it is of the program alone


def dependence(fn: Callable[..., Any], params: Any, *args: Any) -> np.ndarray:
    """For `fn(params, *args) -> [P]`, booleans of shape [P, leaves of params].

    An entry is False only if no path of differentiable operations leads from the leaf
    to the result. Nothing is computed with values: arguments may be abstract. Indices
    are known where they are numbers of the program itself.
    """
    closed: Any = jax.make_jaxpr(fn)(params, *args)
    leaves = len(jax.tree.leaves(params))
    names = {eqn.primitive.name for eqn in _program.equations(closed.jaxpr)}
    lost = [_REFS, *sorted(names - _FOLLOWED)]
    columns = np.arange(leaves + len(lost))
    flows = [
        Flow(_differentiable(var, uniform(columns == number, var.aval.ndim)))
        for number, var in enumerate(closed.jaxpr.invars)
    ]
    flows = [
        flow if number < leaves else Flow(np.zeros_like(flow.depends))
        for number, flow in enumerate(flows)
    ]
    (result,) = _Follower(leaves, lost).jaxpr(closed.jaxpr, flows, closed.consts)
    shape = closed.out_avals[0].shape
    found = np.broadcast_to(result.depends, (*shape, len(columns)))
    _warn_of([lost[i] for i in np.flatnonzero(found[:, leaves:].sum(0) > 1)])
    return found[:, :leaves]


def _warn_of(names: list[str]) -> None:
    """Says which operations made more than one player depend on what they mix."""
    if names:
        warnings.warn(
            "`loss_fn` must not join players before operations that are not followed "
            f"element by element, got {', '.join(names)}: all that goes in counts for "
            "each of them.",
            stacklevel=4,
        )


class _Follower(NamedTuple):
    """Follows the arrays of a program from its arguments to its results."""

    leaves: int
    lost: list[str]

    def jaxpr(self, jaxpr: Any, known: list[Flow], consts: Any = ()) -> list[Flow]:
        """What is known of the results of a jaxpr, from its arguments."""
        found = dict(zip(jaxpr.invars, known, strict=True))
        for var, const in zip(jaxpr.constvars, consts, strict=False):
            found[var] = self._constant(var, const)

        def read(var: Any) -> Flow:
            if _program.is_literal(var):
                return self._constant(var, var.val)
            return found[var] if var in found else self._constant(var, None)

        if _mutates(jaxpr):
            arguments = [flow.depends for flow in known]
            return [
                Flow(x) for x in self._everything(_REFS, jaxpr.outvars, arguments, True)
            ]
        for eqn in jaxpr.eqns:
            results = self._results(eqn, [read(var) for var in eqn.invars])
            for var, flow in zip(eqn.outvars, results, strict=True):
                found[var] = flow._replace(depends=_differentiable(var, flow.depends))
        return [read(var) for var in jaxpr.outvars]

    def _constant(self, var: Any, const: Any) -> Flow:
        """Of a number that is written into the program: NumPy's, or a literal."""
        none = np.zeros(self.leaves + len(self.lost), bool)
        known = None if isinstance(const, jax.Array) else const
        return Flow(uniform(none, var.aval.ndim), lambda: known)

    def _results(self, eqn: Any, flows: list[Flow]) -> list[Flow]:
        name = eqn.primitive.name
        if name in _CALLS:
            closed = eqn.params.get("jaxpr")
            consts = getattr(closed, "consts", ())
            return self.jaxpr(_program.called(eqn), flows, consts)
        if name in LOOPS:
            return LOOPS[name](eqn, flows, self.jaxpr)
        known = [flow.depends for flow in flows]
        if name == "stop_gradient":
            found = [np.zeros_like(known[0])]
        elif name in _CUSTOM:
            inner = self.jaxpr(_program.called(eqn), flows)
            everything = self._everything(name, eqn.outvars, known, False)
            found = _custom([flow.depends for flow in inner], everything)
        elif name in _program.ELEMENTWISE:
            found = [functools.reduce(np.bitwise_or, known)]
        else:
            rule = _RULES.get(name, lambda *_: None)
            found = rule(eqn, known, lambda number: flows[number].value())
        if found is None:
            calls = any(
                hasattr(_program.opened(part), "eqns") for part in eqn.params.values()
            )
            found = self._everything(name, eqn.outvars, known, calls)
        values = _evaluated(eqn, flows)
        return [
            Flow(x, functools.partial(_item, values, eqn, number))
            for number, x in enumerate(found)
        ]

    def _everything(
        self, name: str, variables: Any, known: list[np.ndarray], calls: bool
    ) -> list[np.ndarray]:
        """What is always true: each result depends on all that any argument does."""
        union = np.zeros(self.leaves + len(self.lost), bool)
        for x in known:
            union = union | anywhere(x)
        mixes = any(_moves.varies(x) for x in known) or (
            calls and any((anywhere(x) != union).any() for x in known)
        )
        if mixes and name in self.lost:
            union[self.leaves + self.lost.index(name)] = True
        return [uniform(union, var.aval.ndim) for var in variables]


def _evaluated(eqn: Any, flows: list[Flow]) -> Callable[[], Any]:
    """What an operation gives, if only numbers of the program go in."""

    @functools.cache
    def value() -> Any:
        sizes = [var.aval.size for var in (*eqn.invars, *eqn.outvars)]
        values = [flow.value() for flow in flows]
        if eqn.effects or max(sizes) > _EVALUATED or any(x is None for x in values):
            return None
        with jax.ensure_compile_time_eval():
            return eqn.primitive.bind(*map(jnp.asarray, values), **eqn.params)

    return value


def _item(value: Callable[[], Any], eqn: Any, number: int) -> Any:
    found = value()
    if found is None or not eqn.primitive.multiple_results:
        return found
    return found[number]


def _differentiable(var: Any, known: np.ndarray) -> np.ndarray:
    inexact = jnp.issubdtype(var.aval.dtype, jnp.inexact)
    return known if inexact else np.zeros_like(known)


def _mutates(jaxpr: Any) -> bool:
    """Whether any operation works on a mutable array, which hides what it changes."""
    used = [var for eqn in jaxpr.eqns for var in (*eqn.invars, *eqn.outvars)]
    return any(hasattr(var.aval, "inner_aval") for var in used)


def _custom(
    results: list[np.ndarray], everything: list[np.ndarray]
) -> list[np.ndarray]:
    """A custom derivative may go where the function itself does not, as if rounded."""
    return [
        result if (anywhere(union) <= anywhere(result)).all() else result | union
        for result, union in zip(results, everything, strict=True)
    ]
