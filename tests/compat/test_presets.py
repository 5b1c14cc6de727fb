"""The presets are the authors' settings, written as configurations."""

import numpy as np
import pytest

import neat_optax as neo
import properties
import running

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
    """The parameters after each of four steps."""
    rng = np.random.default_rng(0)
    params = {"w": np.float32(rng.normal(size=(3, 2))), "b": np.zeros(2, np.float32)}
    signs = (-1.0) ** np.arange(4)
    gradients = {
        key: np.float32(
            signs.reshape(4, *[1] * p.ndim) + rng.normal(size=(4, *p.shape))
        )
        for key, p in params.items()
    }
    _, after, state = running.run(tx, gradients, params)
    return after, state


@pytest.mark.fast("neat_lion", "neat_adaptive_alpha")
@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.__name__)
def test_is_the_authors_configuration(preset):
    """Also with what is recorded, which changes no step."""
    expected, _ = descend(neo.compat.from_config(PRESETS[preset]))
    found, state = descend(preset(monitor=True))
    properties.assert_trees_close(found, expected, rtol=1e-6)
    assert "conflict" in neo.diagnostics(state)
    with pytest.raises(
        ValueError, match=r"^`learning_rate` must be in \(0, inf\), got 0"
    ):
        preset(0)


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.__name__)
@running.quickly()
def test_is_the_authors_configuration_where_nothing_is_recorded(preset):
    expected, _ = descend(neo.compat.from_config(PRESETS[preset]))
    properties.assert_trees_close(descend(preset())[0], expected, rtol=1e-6)
