"""The optimizer of neat-optim under its names, against the chain of `compat`."""

import numpy as np
import pytest

import neat_optax as neo
from keras_nets import assert_same, bare_loop, network, train, weights
from neat_optax.keras import NEAT, DiagnosticsCallback

pytestmark = pytest.mark.slow
KEYS = {
    "mean_conflict_ratio",
    "mean_correction_ratio",
    "mean_update_alignment",
    "mean_opponent_norm",
    "correction_active_fraction",
    "mean_effective_alpha",
    "mean_gradient_noise",
}


def full(**others):
    """Most options at once."""
    return {
        "learning_rate": 0.01,
        "opponent_source": "blended",
        "weight_decay": 0.1,
        "adaptive_alpha": True,
        "adaptive_preconditioning": True,
        "bias_correction": True,
        "gradient_centralization": True,
        "lookahead_k": 3,
        "sparsity_l1": 0.05,
        "prune_threshold": 0.01,
        **others,
    }


@pytest.mark.parametrize("decoupled", [True, False])
def test_is_the_chain_of_the_configuration(decoupled):
    options = full(decouple_weight_decay=decoupled)
    expected = bare_loop(
        network(), neo.compat.from_config(neo.compat.NEATConfig(**options))
    )
    model = network()
    train(model, NEAT(**options))
    assert_same(model, expected)


def test_the_callback_logs_each_epoch_of_its_own(tmp_path):
    model = network()
    callback = DiagnosticsCallback(log_dir=str(tmp_path), prefix="conflict/")
    logs = train(model, NEAT(0.3, adaptive_alpha=True), epochs=2, callbacks=[callback])
    first, second = callback.history
    assert set(first) >= KEYS
    for key in KEYS:
        assert logs[f"conflict/{key}"] == [first[key], second[key]]
    assert model.optimizer.diagnostic_snapshot() == second
    other = network()
    train(other, NEAT(0.3, adaptive_alpha=True), epochs=2)
    whole = other.optimizer.diagnostic_snapshot()
    for key in KEYS:
        np.testing.assert_allclose(
            (first[key] + second[key]) / 2, whole[key], rtol=1e-3
        )
    assert_same(model, weights(other), 0)
    assert list(tmp_path.iterdir())


def test_what_is_not_measured_is_nan_and_not_logged():
    model = network()
    logs = train(model, NEAT(0.3), epochs=1, callbacks=[DiagnosticsCallback()])
    assert np.isnan(model.optimizer.diagnostic_snapshot()["mean_gradient_noise"])
    assert "neat/mean_gradient_noise" not in logs
    assert set(model.optimizer.diagnostic_snapshot()) >= KEYS


def test_what_cannot_work_is_one_sentence():
    with pytest.raises(ValueError, match="`beta` must be in"):
        NEAT(beta=1.0)
    with pytest.raises(ValueError, match=r"recognized: .*native"):
        NEAT(native="auto")
    with pytest.raises(ValueError, match="`decouple_weight_decay` must be True"):
        NEAT(decouple_weight_decay=False).exclude_from_weight_decay(var_names=["bias"])
    callback = DiagnosticsCallback()
    callback.set_model(network())
    callback.model.compile("adam")
    with pytest.raises(ValueError, match="`optimizer` must be one of neat_optax"):
        callback.on_epoch_end(0, {})
    assert NEAT().diagnostic_snapshot() == {}
