"""How much each weight counts: the smallest scores are pruned first."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from neat_optax import _checks, _tree
from neat_optax._random import as_key, check_key


class Weight(NamedTuple):
    """What a score sees of one leaf; value and grad are widened to float32 or more."""

    value: jax.Array
    grad: Any  # the leaf of the extra argument `grad=`; None if it is not needed
    activity: Any  # the leaf of `activity=`, which broadcasts to the value; or None
    memory: Any  # what `advance` returned last, zeros at the start; None without one
    step: jax.Array  # [] int32
    leaf: int  # the number of the leaf


class Score(NamedTuple):
    """A rule from one leaf's `Weight` to an array of scores of the leaf's shape.

    `advance`, where a score has a memory, gives the next memory at every step, before
    the scores are asked for. `needs` names the extra arguments of `update` that must be
    passed: "grad", "activity".
    """

    name: str
    rate: Callable[[Weight], jax.Array]
    advance: Callable[[Weight], jax.Array] | None = None
    needs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<score {self.name}>"


def as_score(score: Any, name: str = "score") -> Score:
    """A score, or one made of a function of the weights alone."""
    if callable(score) and score is not random:
        rate: Any = score
        called = getattr(score, "__name__", "score")
        return Score(called, lambda weight: rate(weight.value))
    made: Any = score
    _checks.check_kind(name, made, Score)
    return made


def _magnitude(weight: Weight) -> jax.Array:
    return jnp.abs(weight.value)


def _saliency(weight: Weight) -> jax.Array:
    return jnp.abs(_product(weight.value, weight.grad))


def _add_gradient(weight: Weight) -> jax.Array:
    return weight.memory + _where_finite(weight.grad)


def _connection_sensitivity(weight: Weight) -> jax.Array:
    sensitivity = jnp.abs(_product(weight.value, weight.memory))
    silent = jnp.all(weight.memory == 0)
    return jnp.where(silent, _magnitude(weight), sensitivity)


def _subtract_product(weight: Weight) -> jax.Array:
    return weight.memory - _where_finite(_product(weight.value, weight.grad))


def _real_memory(weight: Weight) -> jax.Array:
    return jnp.real(jnp.asarray(weight.memory))


def _gradient_magnitude(weight: Weight) -> jax.Array:
    return jnp.abs(jnp.asarray(weight.grad))


def _activity(weight: Weight) -> jax.Array:
    return jnp.abs(weight.value) * jnp.abs(_tree.widen(weight.activity))


magnitude = Score("magnitude", _magnitude)
"""The size of a weight, `|w|`."""

saliency = Score("saliency", _saliency, needs=("grad",))
"""The first-order change of the loss when a weight is zeroed, `|w g|`: Molchanov et
al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", 2017,
equation 7. Needs the extra argument `grad=`, which `pass_gradient` hands on."""

snip = Score("snip", _connection_sensitivity, _add_gradient, needs=("grad",))
"""Connection sensitivity, `|w (g_0 + ... + g_t)|`, over the steps so far: Lee, Ajanthan
and Torr, "SNIP", 2019, equation 6, without its normalization, which changes no order.
With `begin=k` in `prune_to_sparsity` it takes in the first k + 1 batches. Where no
entry of a leaf has had a gradient, it is scored by magnitude. Needs `grad=`."""

movement = Score("movement", _real_memory, _subtract_product, needs=("grad",))
"""How far training moves a weight away from zero, `-(w_0 g_0 + ... + w_t g_t)`: Sanh,
Wolf and Rush, "Movement Pruning", 2020, equation 4. It has a sign: a large weight that
shrinks is pruned before a small one that grows. Needs `grad=`."""

gradient_magnitude = Score("gradient_magnitude", _gradient_magnitude, needs=("grad",))
"""The size of the gradient, `|g|`, by which RigL grows weights. Needs `grad=`."""

activity = Score("activity", _activity, needs=("activity",))
"""The size of a weight times the activity of the unit that it reads, `|w| a`. Needs
the extra argument `activity=`, a tree like the parameters whose leaves broadcast to
them. With the norm of each input over a batch, of shape [inputs, 1] for a Flax kernel,
this is the score of Wanda (Sun et al., 2024, equation 1)."""


def random(seed: int | jax.Array = 0) -> Score:
    """Uniform numbers, others at each step and leaf.

    Args:
      seed: an integer or a typed random key.
    """
    check_key("seed", seed)

    def rate(weight):
        key = jax.random.fold_in(as_key(seed), weight.step)
        key = jax.random.fold_in(key, weight.leaf)
        drawn = jax.random.uniform(key, weight.value.shape)
        return drawn + jnp.zeros_like(weight.value, dtype=drawn.dtype)

    return Score("random", rate)


def start_memory(score: Score, params: Any) -> Any:
    """The memory of a score before the first step: zeros, or () if it has none."""
    if score.advance is None:
        return ()
    return jax.tree.map(
        lambda p: jnp.zeros_like(p, dtype=jnp.result_type(jnp.float32, p.dtype)), params
    )


def look(
    score: Score, params: Any, memory: Any, step: jax.Array, extra: dict[str, Any]
) -> tuple[list[Weight], Any]:
    """What `rate` needs of each leaf at this step, and the score's next memory.

    Values and gradients are in their own dtypes here.
    """
    leaves, treedef = jax.tree.flatten(params)
    given = {name: _given(score, name, params, extra) for name in ("grad", "activity")}
    memories: list[Any] = [None] * len(leaves)
    if score.advance is not None:
        memories = treedef.flatten_up_to(memory)
    columns = zip(leaves, given["grad"], given["activity"], memories, strict=True)
    seen = [Weight(p, g, a, m, step, leaf) for leaf, (p, g, a, m) in enumerate(columns)]
    if score.advance is None:
        return seen, ()
    moved = [
        score.advance(_widened(w)).astype(m.dtype)
        for w, m in zip(seen, memories, strict=True)
    ]
    seen = [w._replace(memory=m) for w, m in zip(seen, moved, strict=True)]
    return seen, treedef.unflatten(moved)


def rate(score: Score, weight: Weight) -> jax.Array:
    """The scores of a leaf. What is not finite has the score NaN, the highest."""
    weight = _widened(weight)
    rated = jnp.asarray(score.rate(weight))
    _checks.check_scores(rated, weight.value.shape, score.name)
    return jnp.where(jnp.isfinite(weight.value), rated, jnp.nan)


def _widened(weight: Weight) -> Weight:
    grad = None if weight.grad is None else _tree.widen(weight.grad)
    return weight._replace(value=_tree.widen(weight.value), grad=grad)


def _given(score: Score, name: str, params: Any, extra: dict[str, Any]) -> list[Any]:
    leaves, treedef = jax.tree.flatten(params)
    if name not in score.needs:
        return [None] * len(leaves)
    _checks.check_given(name, extra.get(name), f"the score {score.name}")
    if name == "grad":
        _checks.check_same_structure(name, extra[name], "params", params)
    else:
        _checks.check_tree_like(name, extra[name], "params", params)
    return treedef.flatten_up_to(extra[name])


def _product(a: Any, b: Any) -> jax.Array:
    return jnp.real(a * jnp.conj(b))


def _where_finite(x: Any) -> jax.Array:
    """What is not finite leaves no trace in a memory."""
    return jnp.where(jnp.isfinite(x), x, 0)
