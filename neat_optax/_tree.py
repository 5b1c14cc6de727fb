"""The only tree maths: inner products, a guarded division, a mean; names of leaves."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

SMALL_LEAF = 4096
"""Leaves up to this size are measured by one kernel instead of three, which saves
dispatches; above it, three vectorized reductions are faster (docs/performance.md)."""


LARGEST_COUNT = 2**31 - 1
"""What int32 holds."""
TINY = 1e-30
"""An `eps_root` for Adam that changes no digit: without one, its derivative at a zero
gradient is NaN."""


def widen(x: Any) -> jax.Array:
    """`x` in the precision of its arithmetic: float32 or wider, complex stays so."""
    return jnp.asarray(x, jnp.result_type(jnp.float32, x))


def varying_like(constants: Any, like: jax.Array) -> Any:
    """Constants as values that vary over a mesh as an array does in `jax.shard_map`.

    There, loops and branches have to return the types that they take. Costs nothing:
    XLA takes a choice between equals out again.
    """
    varies = jnp.any(like != like)
    return jax.tree.map(lambda x: jnp.where(varies, x, x), constants)


def inner(a: jax.Array, b: jax.Array) -> jax.Array:
    """Real inner product of two arrays of one shape, over all axes.

    Factors are widened before they are multiplied, and nothing is raveled, so that
    low precision does not overflow and a sharded array is not gathered.
    """
    return jnp.sum(_pointwise(a, b))


def gram(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The three inner products `(a.a, a.b, b.b)`."""
    if a.size > SMALL_LEAF:
        return inner(a, a), inner(a, b), inner(b, b)
    products = jnp.stack([_pointwise(a, a), _pointwise(a, b), _pointwise(b, b)])
    aa, ab, bb = jnp.sum(products, axis=tuple(range(1, products.ndim)))
    return aa, ab, bb


def safe_divide(numerator: Any, denominator: Any) -> jax.Array:
    """`numerator / denominator`, or 0 where the denominator is zero.

    The denominator is replaced before the division, so that gradients are clean too.
    """
    numerator, denominator = jnp.asarray(numerator), jnp.asarray(denominator)
    nonzero = denominator != 0
    quotient = numerator / jnp.where(nonzero, denominator, 1)
    return jnp.where(nonzero, quotient, 0)


@jax.custom_jvp
def root(x: Any) -> jax.Array:
    """The square root, with the derivative 0 at 0, where its own is infinite.

    There it would make the derivative of every product with it NaN.
    """
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals: tuple[Any], tangents: tuple[Any]) -> tuple[Any, Any]:
    length = root(*primals)
    return length, safe_divide(tangents[0] / 2, length)


def increment(step: jax.Array) -> jax.Array:
    """The next step number, which stays at the largest one."""
    return jnp.asarray(optax.safe_increment(step), step.dtype)


def add_counts(count: jax.Array, more: Any) -> jax.Array:
    """Their sum, which stays at the largest number; `more` is not negative."""
    more = jnp.asarray(more, count.dtype)
    largest = jnp.iinfo(count.dtype).max
    return jnp.where(more > largest - count, largest, count + more)


def running_mean(mean: Any, new: Any, step: Any) -> Any:
    r"""A tree's mean over all steps, one of which is new.

    .. math:: m_t = m_{t-1} + (x_t - m_{t-1}) / (t + 1)
    """
    return jax.tree.map(lambda old, x: old + (x - old) / (step + 1), mean, new)


def total(counts: jax.Array, most: int, axis: Any = None) -> jax.Array:
    """Counts added up: int32, or float32 where int32 may not hold that many.

    Args:
      counts: integers.
      most: what the sum may come to.
      axis: which axes are summed; all by default.
    """
    dtype = jnp.int32 if most <= LARGEST_COUNT else jnp.float32
    return jnp.sum(counts, axis=axis, dtype=dtype)


def own(tree: Any) -> Any:
    """Copies every leaf so that no two share a buffer (needed for donation)."""
    return jax.tree.map(jnp.copy, tree)


def cast_like(tree: Any, like: Any) -> Any:
    """A state in the dtypes that it started with; random keys are left as they are."""

    def cast(x: Any, old: Any) -> Any:
        is_key = jnp.issubdtype(old.dtype, jax.dtypes.prng_key)
        return x if is_key else x.astype(old.dtype)

    return jax.tree.map(cast, tree, like)


def explicit_sharding(x: Any) -> Any:
    """The sharding of an array that a result must name: None without explicit axes."""
    sharding = jax.typeof(x).sharding
    explicit = jax.sharding.AxisType.Explicit in sharding.mesh.axis_types
    return sharding if explicit else None


def unsharded(x: jax.Array) -> jax.Array:
    """`x` ready to be cut into parts, where a mesh has explicit axes."""
    if explicit_sharding(x) is None:
        return x
    return jax.reshard(x, jax.sharding.PartitionSpec(*[None] * x.ndim))


def is_function(value: Any) -> bool:
    """Whether a value is a function, rather than a tree that can be called."""
    is_tree = not jax.tree_util.all_leaves([value])
    return callable(value) and (isinstance(value, jax.tree_util.Partial) or not is_tree)


def spread(prefix: Any, tree: Any) -> list[Any]:
    """For each leaf of a tree, what a prefix of it has at that place, or None.

    Places are compared by name, so that dictionaries fit NNX states.
    """
    values = dict(zip(_paths(prefix), jax.tree.leaves(prefix), strict=True))
    return [
        next((values[start] for start in _starts(path) if start in values), None)
        for path in _paths(tree)
    ]


def is_prefix(prefix: Any, tree: Any) -> bool:
    """Whether each leaf has a value in `prefix`, and each value a place in the tree.

    A place may be empty, as where optax leaves parameters out.
    """
    places = _paths(tree, is_leaf=_is_empty)
    reached = {start for path in places for start in _starts(path)}
    covered = all(value is not None for value in spread(prefix, tree))
    return covered and reached.issuperset(_paths(prefix))


def leaf_names(tree: Any) -> list[str]:
    """Paths of the leaves, as `"dense/kernel"`, in a dictionary as in an NNX state."""
    return ["/".join(path) for path in _paths(tree)]


def _paths(
    tree: Any, is_leaf: Callable[[Any], bool] | None = None
) -> list[tuple[str, ...]]:
    return [
        tuple(jax.tree_util.keystr((key,), simple=True) for key in _without_box(path))
        for path, _ in jax.tree.leaves_with_path(tree, is_leaf)
    ]


def _starts(path: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The beginnings of a path, the longest first."""
    return [path[:length] for length in range(len(path), -1, -1)]


def _is_empty(node: Any) -> bool:
    return not jax.tree.leaves(node)


def _without_box(path: tuple[Any, ...]) -> tuple[Any, ...]:
    """A path without the attribute that leads into an NNX variable."""
    in_box = path[1:] and path[-1] == jax.tree_util.GetAttrKey("value")
    return path[:-1] if in_box else path


def _pointwise(a: jax.Array, b: jax.Array) -> jax.Array:
    a, b = widen(a), widen(b)
    if jnp.iscomplexobj(a) or jnp.iscomplexobj(b):
        return jnp.real(a) * jnp.real(b) + jnp.imag(a) * jnp.imag(b)
    return a * b
