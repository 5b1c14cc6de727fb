"""The steps of `players_elsewhere.py` in JAX: plain, this library's, JAX Privacy's."""

import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import optax
import players_works
from players_works import SGD, Step, Work

from players import call_of


def make_clipping(work: Work) -> Step:
    """The mean of gradients that JAX Privacy has clipped."""
    import jax_privacy

    clipped = jax_privacy.clipped_grad(
        players_works.make_loss(work),
        l2_clip_norm=1.0,
        normalize_by=len(work.x),
        batch_argnums=(1, 2),
        keep_batch_dim=False,
    )

    def step(params, state, x, labels):
        updates, state = SGD.update(clipped(params, x, labels), state, params)
        return optax.apply_updates(params, updates), state

    return Step(step, SGD.init)


def make_calls(name: str) -> dict[str, Callable[[], Any]]:
    """Steps of a work by name, compiled."""
    work = next(work for work in players_works.WORKS if work.name == name)
    steps = {"plain, JAX": players_works.make_plain(work)}
    for title, rule in work.rules.items():
        steps[f"{title}, neat_optax"] = players_works.make_step(work, rule, True)
    if importlib.util.find_spec("jax_privacy"):
        steps["clipping, jax_privacy"] = make_clipping(work)
    batch, params = players_works.make_batch(work), players_works.make_params(work)
    calls = {}
    for title, step in steps.items():
        arguments = params, step.init(params), *batch
        program = jax.jit(step.update).lower(*arguments).compile()
        calls[title] = call_of(program, arguments)
    return calls
