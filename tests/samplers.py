"""Hypothesis strategies, with the reason why each sample has its property."""

import numpy as np
from hypothesis import strategies as st

import neat_optax as no

seeds = st.integers(0, 2**32 - 1)
SHAPES = [(), (1,), (3,), (2, 3), (2, 1, 2)]


@st.composite
def pairs(draw, sizes=(1, 2, 5)):
    """A gradient and an opponent, with norms between about 1e-3 and 1e3.

    Normal entries of unit variance, times 10 to a power of at most 3.
    """
    rng = np.random.default_rng(draw(seeds))
    size = draw(st.sampled_from(sizes))
    scales = 10.0 ** rng.uniform(-3, 3, size=(2, 1))
    gradient, opponent = scales * rng.normal(size=(2, size))
    return gradient.astype(np.float32), opponent.astype(np.float32)


@st.composite
def opposed_pairs(draw, sizes=(1, 2, 5)):
    """A gradient that points against its opponent.

    `g` is reflected where `g.o > 0`: the sign of the inner product turns with it.
    """
    gradient, opponent = draw(pairs(sizes))
    return -gradient if gradient @ opponent > 0 else gradient, opponent


@st.composite
def trees(draw):
    """Parameters: one to three leaves of up to three axes."""
    rng = np.random.default_rng(draw(seeds))
    shapes = draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3))
    return {f"leaf{i}": rng.normal(size=shape) for i, shape in enumerate(shapes)}


_OPTIONS = {
    "learning_rate": [0.01, 0.1, 0.5],
    "alpha": [0.0, 0.25, 1.0, 3.0],
    "beta": [0.0, 0.5, 0.9],
    "nce_mode": ["projection", "projection", "cosine", "off"],
    "weight_decay": [0.0, 0.05],
    "decouple_weight_decay": [True, False],
    "nce_clip_ratio": [0.1, 0.5, 1.0, 2.0],
    "sparsity_l1": [0.0, 0.0, 0.1],
    "prune_threshold": [0.0, 0.0, 0.1],
    "opponent_source": ["momentum", "previous_gradient", "gradient_ema", "blended"],
    "opponent_ema_decay": [0.0, 0.5, 0.9],
    "opponent_blend": [0.0, 0.3, 1.0],
    "correction_warmup_steps": [0, 0, 2],
    "conflict_threshold": [0.0, 0.0, 0.2],
    "adaptive_correction": [False, True],
    "adaptive_correction_decay": [0.5, 0.9],
    "adaptive_correction_max_scale": [1.5, 3.0],
    "adaptive_preconditioning": [False, True],
    "second_moment_beta": [0.9, 0.999],
    "bias_correction": [False, True],
    "precondition_nce": [True, False],
    "update_mode": ["momentum", "momentum", "lion"],
    "adaptive_alpha": [False, True],
    "adaptive_alpha_max": [0.5, 1.0, 2.0],
    "gradient_noise_decay": [0.5, 0.95],
    "gradient_centralization": [False, True],
    "nesterov": [False, True],
    "lookahead_k": [0, 0, 2],
    "lookahead_alpha": [0.5, 1.0],
}


def configs():
    """Configurations of the single-gradient optimizer, all options at random.

    Every drawn value lies in its field's range, and each maximum above its minimum.
    """
    fields = {name: st.sampled_from(values) for name, values in _OPTIONS.items()}
    return st.builds(no.NEATConfig, **fields)
