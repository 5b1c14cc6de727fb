"""Every optimizer of optax in every transformation that resets entries of its state."""

import inspect
import warnings

import jax
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties

PARAMS = {
    "first": {"kernel": np.ones((8, 8), "f4"), "bias": np.ones(8, "f4")},
    "head": {"kernel": np.ones((8, 2), "f4")},
}
MASK = jax.tree.map(lambda p: p > 0, PARAMS)
LAYERS = ("first", "head")
EXTRA = {"value": np.float32(1), "unit_activity": {"first": np.ones(8, "f4")}}
REFUSED = {
    "acprop": "divides by what it remembers from the step before, and so leaps",
    "galore": "has its moments in a basis of its own, not in that of the weights",
    "lbfgs": "remembers whole steps, not entries",
    "dpsgd": "takes the gradients of single examples",
}
OPTIONS = {
    "learning_rate": 0.01,
    "key": jax.random.key(0),
    "l2_norm_clip": 1.0,
    "noise_multiplier": 0.1,
    "seed": 0,
}
WRAPPERS = {
    "grow_and_prune": lambda tx: neo.sparsity.grow_and_prune(tx, 0.5),
    "reset_dormant": lambda tx: neo.continual.reset_dormant(tx, LAYERS),
    "continual_backprop": lambda tx: neo.continual.continual_backprop(tx, LAYERS),
}


def build(make):
    """An optimizer with its defaults, and a learning rate where it needs one."""
    needed = [
        name
        for name, one in inspect.signature(make).parameters.items()
        if one.default is inspect.Parameter.empty and one.kind is not one.VAR_KEYWORD
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(**{name: OPTIONS[name] for name in needed})


def optimizers():
    """All functions of optax that return a transformation and need no other one."""
    found = {}
    for module in (optax, optax.contrib):
        for name, make in vars(module).items():
            private = name.startswith("_") or name == "scale_by_muon"  # a part of muon
            if private or not inspect.isfunction(make):
                continue
            try:
                tx = build(make)
            except (KeyError, TypeError, ValueError):
                continue
            if isinstance(tx, optax.GradientTransformation):
                found[name] = tx
    return found


OPTIMIZERS = optimizers()


def refused(name):
    parts = {"scale_by_acprop": "acprop", "scale_by_galore": "galore"}
    parts |= {"scale_by_lbfgs": "lbfgs", "differentially_private_aggregate": "dpsgd"}
    name = parts.get(name, name)
    return name if name in REFUSED else None


def loss(params, *_):
    return sum(np.float32(1) * x.sum() for x in jax.tree.leaves(params))


def step(tx, state):
    extra = dict(EXTRA, grad=PARAMS, value_fn=loss, obj_fn=loss)
    return tx.update(PARAMS, state, PARAMS, **extra)


def test_the_table_has_the_optimizers_of_optax():
    assert len(OPTIMIZERS) > 70
    known = {"adam", "adafactor", "novograd", "sm3", "muon", "adopt", "lbfgs", "galore"}
    assert known <= set(OPTIMIZERS)


@pytest.mark.fast("adam", "adafactor", "sm3", "muon", "lbfgs", "adopt")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_works_or_is_refused_by_name(name):
    tx, kind = OPTIMIZERS[name], refused(name)
    for wrap in WRAPPERS.values():
        if kind:
            with pytest.raises(ValueError, match=rf"^`optimizer` .* got {kind}, which"):
                wrap(tx)
            continue
        wrapped = wrap(tx)
        state = jax.eval_shape(wrapped.init, PARAMS)
        with jax.numpy_rank_promotion("allow"):  # optax's own
            updates, after = jax.eval_shape(lambda s, tx=wrapped: step(tx, s), state)
        properties.assert_same_types(updates, PARAMS)
        properties.assert_same_types(after, state)
    if not kind:
        state = jax.eval_shape(tx.init, PARAMS)
        reset = lambda s: neo.reset_moments(tx, s, PARAMS, MASK)  # noqa: E731
        properties.assert_same_types(jax.eval_shape(reset, state), state)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize(
    "around",
    [
        lambda name: optax.chain(optax.clip(1.0), OPTIMIZERS[name]),
        lambda name: optax.MultiSteps(OPTIMIZERS[name], 2),
        lambda name: optax.partition({"a": OPTIMIZERS[name]}, lambda _: "a"),
        lambda name: neo.keep_slow_params(OPTIMIZERS[name], period=2),
    ],
)
def test_it_is_refused_inside_of_others(name, around):
    message = (
        r"^`optimizer` must have moments that can be reset entry by entry, got "
        rf"{name}, which {REFUSED[name]}\.$"
    )
    with pytest.raises(ValueError, match=message):
        neo.continual.reset_dormant(around(name), LAYERS)
    with pytest.raises(ValueError, match=message):
        neo.reset_moments(around(name), None, PARAMS, MASK)


def test_it_is_refused_with_injected_numbers():
    tx = optax.inject_hyperparams(optax.contrib.acprop)(learning_rate=0.1)
    with pytest.raises(ValueError, match=r"got acprop, which divides"):
        neo.sparsity.grow_and_prune(tx, 0.5)


@pytest.mark.parametrize("name", ["adafactor", "novograd", "sm3"])
def test_factored_memories_stay_and_others_are_reset(name):
    """8 by 8: what is factored would broadcast to the shape of the parameter."""
    tx = OPTIMIZERS[name]
    if name == "adafactor":
        tx = optax.adafactor(0.1, min_dim_size_to_factor=4, momentum=0.9)
    start = tx.init(PARAMS)
    state = jax.tree.map(lambda x: np.asarray(x) + np.ones((), x.dtype), start)
    after = neo.reset_moments(tx, state, PARAMS, MASK)
    properties.assert_same_types(after, state)
    shapes = {path[-2:]: p.shape for path, p in jax.tree.leaves_with_path(PARAMS)}
    changed = 0
    for (path, fresh), old, new in zip(
        jax.tree.leaves_with_path(start),
        *map(jax.tree.leaves, (state, after)),
        strict=True,
    ):
        whole = np.shape(fresh) == shapes.get(path[-2:])
        np.testing.assert_array_equal(new, fresh if whole else old)
        changed += whole
    assert changed >= 2


def test_an_init_that_cannot_be_asked():
    def init(params):
        return {"kernel": params["first"]["kernel"]}

    tx = optax.GradientTransformation(init, optax.identity().update)
    message = (
        r"^`optimizer` must have an init that `optax.tree.map_params` can ask for the "
        r"state's structure, got TypeError: .*\.$"
    )
    with pytest.raises(ValueError, match=message):
        neo.sparsity.grow_and_prune(tx, 0.5).init(PARAMS)
