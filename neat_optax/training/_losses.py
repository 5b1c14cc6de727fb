"""What a loss may return, and the precision that it is computed in."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from neat_optax.training._models import Model

Loss = Callable[[Any, Any], Any]
"""`loss(model, batch)`, which returns losses, or `(losses, aux)`."""


def run_loss(
    model: Model,
    loss: Loss,
    dtype: Any,
    params: Any,
    extra: Any,
    key: jax.Array,
    batch: Any,
    *,
    alone: bool = False,
) -> tuple[Any, dict[str, Any], Any]:
    """Losses in float32 or wider, what is beside them, and what the model carries.

    Raises:
      ValueError: if the batch is one example, `alone`, and the model changes what it
        carries.
    """
    params, batch = cast((params, batch), dtype)
    found, after = model.run(loss, params, extra, key, True, batch)
    losses, aux = found if isinstance(found, tuple) and len(found) == 2 else (found, {})
    if not isinstance(aux, Mapping):
        raise ValueError(
            "`loss` must return losses, or losses and a dictionary, got a second "
            f"{type(aux).__name__}."
        )
    if alone:
        jax.tree.map_with_path(_check_kept, after, extra)
    widen = jax.tree.map(_widen, losses)
    kept = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, extra)
    return widen, dict(aux), kept


def _check_kept(path: Any, new: Any, old: Any) -> None:
    if new is not old:
        raise ValueError(
            "`players` must not be examples where the model remembers statistics of "
            f"batches, got new ones at {jax.tree_util.keystr(path)}: they have no "
            "gradient of one example; use layers without them, or microbatches(count)."
        )


def cast(tree: Any, dtype: Any) -> Any:
    """Its real floating arrays in another dtype; as it is where that is None."""
    if dtype is None:
        return tree

    def one(x: Any) -> Any:
        is_real = jnp.issubdtype(jnp.result_type(x), jnp.floating)
        return jnp.asarray(x, dtype) if is_real else x

    return jax.tree.map(one, tree)


def _widen(losses: Any) -> jax.Array:
    losses = jnp.asarray(losses)
    return losses.astype(jnp.result_type(losses.dtype, jnp.float32))


def mean_loss(losses: Any) -> jax.Array:
    """The loss of a batch, of a number or of the losses of its examples."""
    leaves = jax.tree.leaves(losses)
    if len(leaves) != 1 or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        shapes = [f"{x.dtype} {x.shape}" for x in leaves]
        raise ValueError(
            "`loss` must return one real number, or one for each example, got "
            f"{', '.join(shapes) or 'nothing'}."
        )
    return jnp.mean(leaves[0])


def logged(aux: Mapping[str, Any]) -> dict[str, jax.Array]:
    """The means of the arrays in what a loss returned beside the losses."""
    arrays = {k: x for k, x in aux.items() if isinstance(x, jax.Array | float | int)}
    return {name: jnp.mean(jnp.asarray(x, jnp.float32)) for name, x in arrays.items()}
