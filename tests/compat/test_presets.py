"""The presets are the authors' settings, written as configurations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neat_optax as neo
import properties

ADAM_LIKE = dict(
    opponent_source="previous_gradient",
    adaptive_preconditioning=True,
    bias_correction=True,
)
PRESETS = {
    neo.compat.neat_adaptive: neo.compat.NEATConfig(
        learning_rate=0.008,
        adaptive_correction=True,
        adaptive_correction_max_scale=2.5,
        **ADAM_LIKE,
    ),
    neo.compat.neat_adaptive_alpha: neo.compat.NEATConfig(
        adaptive_alpha=True, **ADAM_LIKE
    ),
    neo.compat.neat_lion: neo.compat.NEATConfig(
        learning_rate=3e-4,
        alpha=0.2,
        update_mode="lion",
        adaptive_alpha=True,
        gradient_centralization=True,
    ),
    neo.compat.neat_light: neo.compat.NEATConfig(
        learning_rate=0.05, sparsity_l1=1e-3, prune_threshold=5e-3
    ),
}


def descend(tx):
    rng = np.random.default_rng(0)
    params = {"w": jnp.asarray(rng.normal(size=(3, 2)), "float32"), "b": jnp.zeros(2)}
    state, update = tx.init(params), jax.jit(tx.update)
    for step in range(4):
        noise = jax.tree.map(lambda p: rng.normal(size=p.shape), params)
        gradient = jax.tree.map(
            lambda n, step=step: jnp.asarray((-1) ** step + n, "float32"), noise
        )
        updates, state = update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.__name__)
def test_is_the_authors_configuration(preset):
    expected = descend(neo.compat.from_config(PRESETS[preset]))
    properties.assert_trees_close(descend(preset()), expected, rtol=1e-6)
    properties.assert_trees_close(descend(preset(monitor=True)), expected, rtol=1e-6)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.__name__)
def test_measure_and_learning_rate(preset):
    params = jnp.ones(2)
    state = preset(0.5, monitor=True).init(params)
    assert "conflict" in neo.diagnostics(state)
    with pytest.raises(
        ValueError, match=r"^`learning_rate` must be in \(0, inf\), got 0"
    ):
        preset(0)
