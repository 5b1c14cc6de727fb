"""One optimizer of each family, and a small network that each trains over devices."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import neat_optax as neo
from neat_optax import aggregators, continual, plasticity, sparsity

PLAYERS = 8
STEPS = 3
AXIS = "data"
SHAPES = {
    "first": {"kernel": (16, 32), "bias": (32,)},
    "head": {"kernel": (32, 8), "bias": (8,)},
}


class Family(NamedTuple):
    """An optimizer, and what its gradients are of."""

    build: Callable[[], Any]
    players: int | None = None  # as many groups of examples, None for one gradient
    activity: bool = False  # whether it looks at hidden units
    factored: bool = False  # whether gradients are kept as factors


class Layout(NamedTuple):
    """Where the parameters lie; a batch is always divided among the devices."""

    params: P
    kind: AxisType


def _before_adam(aggregator: Any) -> Any:
    return optax.chain(aggregator, optax.adam(0.01, eps=1e-3))


FAMILIES = {
    "neat": Family(lambda: neo.neat(0.05)),
    "player_neat": Family(
        lambda: _before_adam(neo.player_neat_correction(0.5)), PLAYERS
    ),
    "upgrad": Family(lambda: _before_adam(aggregators.upgrad()), PLAYERS),
    "trimmed_mean": Family(lambda: _before_adam(aggregators.trimmed_mean(1)), PLAYERS),
    "prune_to_sparsity": Family(
        lambda: optax.chain(
            optax.adam(0.01, eps=1e-3),
            sparsity.prune_to_sparsity(0.5, scope=neo.whole_tree),
        )
    ),
    "grow_and_prune": Family(
        lambda: sparsity.grow_and_prune(optax.adam(0.01, eps=1e-3), 0.5, every=1)
    ),
    "plasticity": Family(
        lambda: optax.chain(
            plasticity.scale_by_plasticity(), optax.scale_by_learning_rate(0.01)
        )
    ),
    "continual_backprop": Family(
        lambda: continual.continual_backprop(
            optax.adam(0.01, eps=1e-3),
            ("first", "head"),
            replacement_rate=0.1,
            maturity=0,
        ),
        activity=True,
    ),
}
EXAMPLES = 64
FACTORED = {
    "player_neat": FAMILIES["player_neat"]._replace(players=EXAMPLES, factored=True),
    "upgrad": FAMILIES["upgrad"]._replace(players=EXAMPLES, factored=True),
    "clip_example_norms": Family(
        lambda: _before_adam(aggregators.clip_example_norms(0.1)),
        EXAMPLES,
        factored=True,
    ),
}
"""Every example of a batch is a player, on the device that the example is on."""
LAYOUTS = {
    "data parallel": Layout(P(), AxisType.Auto),
    "fully sharded": Layout(P(AXIS), AxisType.Auto),
    "fully sharded, explicit": Layout(P(AXIS), AxisType.Explicit),
}


def params() -> Any:
    """The network before training, in NumPy."""
    rng = np.random.default_rng(0)
    is_shape = lambda x: isinstance(x, tuple)  # noqa: E731
    draw = lambda s: (rng.normal(size=s) / s[0] ** 0.5).astype(np.float32)  # noqa: E731
    return jax.tree.map(draw, SHAPES, is_leaf=is_shape)


def batches(steps: int = STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Inputs [steps, 64, 16] and targets [steps, 64, 8], which conflict."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(steps, 64, 16)).astype(np.float32)
    return x, np.sin(3 * x[..., :8]) + rng.normal(size=(steps, 64, 8)).astype(
        np.float32
    )


def loss(params: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The mean loss, and the activities of the hidden units."""
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"][None])
    out = hidden @ params["head"]["kernel"] + params["head"]["bias"][None]
    return jnp.mean((out - y) ** 2), jnp.mean(jnp.abs(hidden), axis=0)


def mesh_of(layout: Layout, count: int | None = None) -> jax.sharding.Mesh:
    """All devices in a row, or the first ones."""
    some = jax.devices()[:count]
    return jax.make_mesh((len(some),), (AXIS,), axis_types=(layout.kind,), devices=some)


def place(tree: Any, mesh: jax.sharding.Mesh, spec: P) -> Any:
    """Arrays of every process, each with its part on each device."""
    sharding = NamedSharding(mesh, spec)
    return jax.tree.map(
        lambda x: jax.make_array_from_callback(np.shape(x), sharding, x.__getitem__),
        tree,
    )


def shardings(tx: Any, params: Any, layout: Layout, mesh: jax.sharding.Mesh) -> Any:
    """Where a state lies: what is shaped like the parameters, as they do."""
    return optax.tree.map_params(
        tx,
        lambda _: NamedSharding(mesh, layout.params),
        jax.eval_shape(tx.init, params),
        transform_non_params=lambda _: NamedSharding(mesh, P()),
    )


def gradients(family: Family, layout: Layout | None, params: Any, x: Any, y: Any):
    """Those of one step, divided as the parameters are, and the hidden activity."""
    whole = functools.partial(_whole, layout)
    if family.players is None:
        of = jax.grad(lambda p, x, y: loss(whole(p), x, y), has_aux=True)
        grads, activity = of(params, x, y)
        return divided(layout, grads, P()), activity
    of_group = lambda p, x, y: loss(p, x[None], y[None])[0]  # noqa: E731
    of = neo.value_and_example_grads(
        of_group, num_players=family.players, factored=family.factored
    )
    _, grads = of(whole(params), x, y)
    if not family.factored:
        return divided(layout, grads, P(None)), None
    if layout is not None and layout.kind is AxisType.Explicit:
        grads = jax.tree.map(lambda factor: jax.reshard(factor, P()), grads)
    return grads, None


def _whole(layout: Layout | None, params: Any) -> Any:
    """Parameters as a layer needs them; with automatic axes the compiler does it."""
    if layout is None or layout.kind is AxisType.Auto:
        return params
    return jax.tree.map(lambda w: jax.reshard(w, P()), params)


def divided(layout: Layout | None, grads: Any, before: P) -> Any:
    """Gradients where their parameters are: with players, they change places."""
    if layout is None:
        return grads
    spec = P(*before, *layout.params)
    if layout.kind is AxisType.Explicit:
        return jax.tree.map(lambda g: jax.reshard(g, spec), grads)
    return jax.tree.map(lambda g: jax.lax.with_sharding_constraint(g, spec), grads)


def train(family: Family, layout: Layout | None, tx: Any, params, state, x, y):
    """Steps `[steps, ...]` in one loop: parameters and state after them."""

    def step(carry: Any, batch: Any) -> Any:
        params, state = carry
        grads, activity = gradients(family, layout, params, *batch)
        extra = {"unit_activity": {"first": activity}} if family.activity else {}
        updates, state = tx.update(grads, state, params, **extra)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, state), (x, y))[0]
