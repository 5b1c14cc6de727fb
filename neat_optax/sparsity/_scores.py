"""Importance scores: the weights with the lowest scores are pruned first."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from neat_optax import _checks, _tree
from neat_optax._alike import numbers
from neat_optax._random import as_key, check_key


class Weight(NamedTuple):
    """The input of a score for one leaf; value and grad are in float32 or wider."""

    value: jax.Array
    grad: Any  # the leaf of the extra argument `grad=`; None if it is not needed
    input_norms: Any  # the leaf of `input_norms=`, which broadcasts to the value
    memory: Any  # what `advance` returned last, zeros at the start; None without one
    step: jax.Array  # [] int32
    leaf: jax.Array  # [] int32, the number of the leaf


class Score(NamedTuple):
    """A rule from one leaf's `Weight` to an array of scores of the leaf's shape.

    `advance`, where a score has a memory, gives the next memory at every step, before
    the scores are computed. `needs` names the extra arguments of `update` that must be
    passed: "grad", "input_norms".
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


def _wanda(weight: Weight) -> jax.Array:
    return jnp.abs(weight.value) * jnp.abs(_tree.widen(weight.input_norms))


magnitude = Score("magnitude", _magnitude)
"""Magnitude pruning, `|w|`."""

saliency = Score("saliency", _saliency, needs=("grad",))
"""The first-order change of the loss when a weight is zeroed, `|w g|`: Molchanov et
al., "Pruning Convolutional Neural Networks for Resource Efficient Inference", 2017,
equation 7. Needs the extra argument `grad=`, which `pass_gradient` passes."""

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
"""The magnitude of the gradient, `|g|`, by which RigL grows. Needs `grad=`."""

wanda = Score("wanda", _wanda, needs=("input_norms",))
"""Weights and activations: the magnitude of a weight times the norm of the input that
it multiplies, `|w| |x|`. Needs the extra argument `input_norms=`: the norms of each
layer's inputs over a batch, as a tree like the parameters whose leaves broadcast to
them, of shape [inputs, 1] for a Flax kernel. Sun et al., "A Simple and Effective
Pruning Approach for Large Language Models", 2024, equation 1."""


def random(seed: int | jax.Array = 0) -> Score:
    """Uniform random scores, drawn for each step and leaf.

    Args:
      seed: an integer or a typed random key.
    """
    check_key("seed", seed)

    def rate(weight: Weight) -> jax.Array:
        key = jax.random.fold_in(as_key(seed), weight.step)
        key = jax.random.fold_in(key, weight.leaf)
        drawn = jax.random.uniform(key, weight.value.shape)
        return drawn + jnp.zeros_like(weight.value, dtype=drawn.dtype)

    return Score("random", rate)


def start_memory(score: Score, params: optax.Params) -> Any:
    """The memory of a score before the first step: zeros, or () if it has none."""
    if score.advance is None:
        return ()
    return jax.tree.map(
        lambda p: jnp.zeros_like(p, dtype=jnp.result_type(jnp.float32, p.dtype)), params
    )


def measure(
    score: Score,
    params: optax.Params,
    memory: Any,
    step: jax.Array,
    extra_args: dict[str, Any],
) -> tuple[list[Weight], Any]:
    """What `rate` needs of each leaf at this step, and the score's next memory.

    Values and gradients are in their own dtypes here.
    """
    leaves, treedef = jax.tree.flatten(params)
    grads = _given(score, "grad", params, extra_args)
    norms = _given(score, "input_norms", params, extra_args)
    memories: list[Any] = [None] * len(leaves)
    if score.advance is not None:
        memories = treedef.flatten_up_to(memory)
    columns = zip(leaves, grads, norms, memories, strict=True)
    pairs = zip(numbers(len(leaves)), columns, strict=True)
    measured = [Weight(*column, step, leaf) for leaf, column in pairs]
    if score.advance is None:
        return measured, ()
    advanced = [
        score.advance(_widened(w)).astype(m.dtype)
        for w, m in zip(measured, memories, strict=True)
    ]
    pairs = zip(measured, advanced, strict=True)
    return [w._replace(memory=m) for w, m in pairs], treedef.unflatten(advanced)


def rate(score: Score, weight: Weight) -> jax.Array:
    """The scores of a leaf. What is not finite has the score NaN, the highest."""
    weight = _widened(weight)
    rated = jnp.asarray(score.rate(weight))
    _checks.check_scores(rated, weight.value.shape, score.name)
    return jnp.where(jnp.isfinite(weight.value), rated, jnp.nan)


def _widened(weight: Weight) -> Weight:
    grad = None if weight.grad is None else _tree.widen(weight.grad)
    return weight._replace(value=_tree.widen(weight.value), grad=grad)


def _given(
    score: Score, name: str, params: optax.Params, extra_args: dict[str, Any]
) -> list[Any]:
    """The leaves of an extra argument; None for each where the score has no need."""
    leaves, treedef = jax.tree.flatten(params)
    if name not in score.needs:
        return [None] * len(leaves)
    given = extra_args.get(name)
    _checks.check_given(name, given, f"the score {score.name}")
    if name == "grad":
        _checks.check_same_structure(name, given, "params", params)
    else:
        _checks.check_tree_like(name, given, "params", params)
    return treedef.flatten_up_to(given)


def _product(a: Any, b: Any) -> jax.Array:
    return jnp.real(a * jnp.conj(b))


def _where_finite(x: Any) -> jax.Array:
    """What is not finite leaves no trace in a memory."""
    return jnp.where(jnp.isfinite(x), x, 0)
