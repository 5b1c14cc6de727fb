"""Derivatives through steps: forward and reverse mode against finite differences.

Three steps are a function of the gradients, the parameters and a factory's own numbers.
Each name compiles once, for all scenarios, in 64-bit mode.
"""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import contract
import player_table
import running

STEPS = 3
PARAMS = {name: x.astype(float) for name, x in player_table.PARAMS.items()}
PAGE = pathlib.Path(__file__).parents[1] / "docs" / "api.md"
WIDTHS = np.array([1e-3, 1e-4, 1e-5])
"""Of differences of fourth order. The wide one may reach over the edge of a choice, the
narrow one drowns in the rounding of states in float32."""
ROUNDED = ("graddrop",)  # its probabilities are float32
NOT_AT_ZERO = ("chained",)  # optax.clip_by_global_norm has no derivative there


def draw(seed, lead=()):
    """Numbers like the parameters."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(*lead, *x.shape)) for name, x in PARAMS.items()}


def own_numbers(entry):
    """Those of a factory that are not static: what meta-learning would learn."""
    return {
        key: value
        for key, value in entry.kwargs.items()
        if isinstance(value, float) and key not in entry.static
    }


def after_steps(entry, point, extra):
    """One number made of the parameters after some steps."""
    gradients, params, numbers = point
    tx = entry._replace(kwargs={**entry.kwargs, **numbers}).build()
    tx = optax.with_extra_args_support(tx)

    def step(carry, gradient):
        params, state = carry
        update, state = tx.update(gradient, state, params, **extra(gradient))
        return (optax.apply_updates(params, update), state), None

    last = jax.lax.scan(step, (params, tx.init(params)), gradients)[0][0]
    return sum(jnp.vdot(c, last[name]) for name, c in draw(9).items())


def slopes(function, point, direction):
    """In a direction: by differences, in forward mode and in reverse mode."""

    def at(t):
        return function(jax.tree.map(lambda x, d: x + t * d, point, direction))

    places = WIDTHS[:, None] * np.array([-2, -1, 1, 2])
    values = jax.lax.map(at, places.ravel()).reshape(places.shape)
    differences = values @ np.array([1, -8, 8, -1]) / (12 * WIDTHS)
    forward = jax.jvp(function, (point,), (direction,))[1]
    gradient = jax.grad(function)(point)
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), gradient, direction)
    return differences, forward, sum(jax.tree.leaves(products))


def check(name, players):
    """At a generic point, at zero gradients, and with a player that is absent."""
    entry = (player_table if players else contract).TABLE[name]
    lead = (STEPS, player_table.COUNT) if players else (STEPS,)
    numbers = own_numbers(entry)
    scales = {key: 0.25 * value for key, value in numbers.items()}
    direction = draw(2, lead), draw(3), scales
    plain = draw(8, lead)
    scenarios = [plain, jax.tree.map(np.zeros_like, plain), plain][: 2 + players]
    present = np.ones((len(scenarios), player_table.COUNT), bool)
    present[2:, 1] = False

    def run(scenario):
        gradients, present = scenario

        def extra(gradient):
            if players:
                return {**entry.extra, "present": present}
            return entry.extra(gradient)

        function = lambda point: after_steps(entry, point, extra)  # noqa: E731
        return slopes(function, (gradients, PARAMS, numbers), direction)

    with jax.enable_x64(True):
        stacked = jax.tree.map(lambda *x: np.stack(x), *scenarios), present
        compiled = running.quick_jit(lambda x: jax.lax.map(run, x))
        differences, forward, reverse = jax.device_get(compiled(stacked))
    asked = [0] if name in NOT_AT_ZERO else [0, 1]
    asked += [2] * players
    assert np.all(np.isfinite(reverse[asked]))
    np.testing.assert_allclose(forward[asked], reverse[asked], rtol=2e-7)
    generic = [index for index in asked if index != 1]
    errors = np.abs(differences[generic] / forward[generic, None] - 1)
    assert np.all(errors.min(axis=1) < (1e-4 if name in ROUNDED else 1e-5))


@contract.each(fast=("clip_leaf_norm",))
def test_steps_of_single_gradients(name):
    check(name, players=False)


@player_table.each(fast=())
def test_steps_of_players(name):
    check(name, players=True)


@pytest.mark.parametrize("name", ["upgrad", "cagrad", "nash_mtl"])
def test_reverse_mode_goes_around_the_loops_of_solvers(name):
    """Known after tracing."""
    entry = player_table.TABLE[name]
    point = jax.eval_shape(lambda: (draw(1, (1, player_table.COUNT)), PARAMS, {}))
    function = lambda point: after_steps(entry, point, lambda _: entry.extra)  # noqa: E731
    jax.eval_shape(jax.grad(function), point)


def test_the_page_lists_every_factory():
    table = re.search(r"\n## Derivatives\n.*?\n\n\|(.*?)\n\n", PAGE.read_text(), re.S)
    rows = [row.split("|")[2] for row in table[1].splitlines()[2:]]
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(listed) == len(set(listed))
    entries = (*contract.TABLE.values(), *player_table.TABLE.values())
    factories = {e.factory.__name__ for e in entries} - {"all_on", "<lambda>"}
    assert set(listed) == factories
