"""Hypothesis strategies, with the reason why each sample has its property."""

import itertools

import numpy as np
from hypothesis import strategies as st

import neat_optax as neo

seeds = st.integers(0, 2**32 - 1)


@st.composite
def pairs(draw, sizes=(1, 2, 5)):
    """A gradient and an opponent, with norms between about 1e-3 and 1e3.

    Normal entries of unit variance, times 10 to a power of at most 3. Zeros behind
    them, which no inner product sees, give all pairs one shape.
    """
    rng = np.random.default_rng(draw(seeds))
    size = draw(st.sampled_from(sizes))
    scales = 10.0 ** rng.uniform(-3, 3, size=(2, 1))
    pair = np.zeros((2, max(sizes)), np.float32)
    pair[:, :size] = scales * rng.normal(size=(2, size))
    return pair[0], pair[1]


@st.composite
def opposed_pairs(draw, sizes=(1, 2, 5)):
    """A gradient that points against its opponent.

    `g` is reflected where `g.o > 0`: the sign of the inner product turns with it.
    """
    gradient, opponent = draw(pairs(sizes))
    return -gradient if gradient @ opponent > 0 else gradient, opponent


_OPTIONS = {
    "learning_rate": [0.01, 0.1, 0.5],
    "alpha": [0.0, 0.25, 1.0, 3.0],
    "beta": [0.0, 0.5, 0.9],
    "nce_mode": ["projection", "projection", "cosine", "off"],
    "weight_decay": [0.0, 0.05],
    "decouple_weight_decay": [True, False],
    "nce_clip_ratio": [0.1, 0.5, 1.0, 2.0],
    "sparsity_l1": [0.0, 0.0, 0.1],
    "prune_threshold": [0.0, 0.0, 0.07],  # no multiple of a rate: no ties
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
    return st.builds(neo.compat.NEATConfig, **fields)


def covering_configs(count):
    """Few configurations that have many of the pairs of values of two options.

    Each is the one of 100 random ones that adds most pairs to those before it.
    """
    rng = np.random.default_rng(0)
    found, chosen = set(), []
    for _ in range(count):
        draws = [
            tuple((k, v[rng.integers(len(v))]) for k, v in _OPTIONS.items())
            for _ in range(100)
        ]
        pairs = [set(itertools.combinations(draw, 2)) for draw in draws]
        best = max(range(100), key=lambda i: len(pairs[i] - found))
        found |= pairs[best]
        chosen.append(neo.compat.NEATConfig(**dict(draws[best])))
    return chosen


PLAYER_SHAPES = [(2, 3), (3, 10), (5, 20), (7, 7)]


@st.composite
def players(draw, shapes=(*PLAYER_SHAPES, (6, 3)), decades=0.0):
    """Gradients of all players: normal entries, lengths over so many decades.

    In the last shape there are more players than parameters.
    """
    rng = np.random.default_rng(draw(seeds))
    count, size = draw(st.sampled_from(shapes))
    return _lengthen(rng, rng.normal(size=(count, size)), decades)


@st.composite
def improvable(draw, shapes=(*PLAYER_SHAPES, (6, 3)), decades=0.0, least=0.1):
    """Gradients that conflict although one hidden direction helps every player.

    Each unit row has a cosine between `least` and 3 `least` with the hidden direction,
    so no convex combination is shorter than `least` of the shortest row. The rest of a
    row is of random direction, and of every second row it is minus that of the row
    before: the cosine of the two is at most `18 least^2 - 1`, -0.82 by default.
    """
    rng = np.random.default_rng(draw(seeds))
    count, size = draw(st.sampled_from(shapes))
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    share = rng.uniform(least, 3 * least, size=(count, 1))
    across = rng.normal(size=(count, size - 1))
    across[1::2] = -across[: count // 2 * 2 : 2]
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    units = share * basis[0] + np.sqrt(1 - share**2) * (across @ basis[1:])
    assert np.all(units @ basis[0] >= 0.99 * least)
    return _lengthen(rng, units, decades)


@st.composite
def stationary(draw, shapes=PLAYER_SHAPES, decades=0.0):
    """Gradients of which a convex combination with positive weights is zero.

    The last row is minus a positive combination of the others, then all rows are
    multiplied by positive numbers. No direction helps every player: one that does not
    harm the first helps the last by minus that.
    """
    rng = np.random.default_rng(draw(seeds))
    count, size = draw(st.sampled_from(shapes))
    rows = rng.normal(size=(count, size))
    positive = rng.uniform(0.2, 1.0, size=count - 1)
    rows[-1] = -positive @ rows[:-1]
    return _lengthen(rng, rows, decades)


@st.composite
def degenerate(draw):
    """Gradients with a zero row, a duplicate, and a row that depends on two others."""
    rng = np.random.default_rng(draw(seeds))
    rows = rng.normal(size=(6, draw(st.sampled_from([4, 12]))))
    rows[1], rows[3], rows[5] = 0.0, rows[2], rows[0] - 2 * rows[2]
    return rows[rng.permutation(6)]


def _lengthen(rng, rows, decades):
    """Rows times powers of ten: both ends of the range, the others between them."""
    powers = rng.uniform(-decades / 2, decades / 2, size=len(rows))
    powers[:2] = -decades / 2, decades / 2
    return rows * 10.0 ** rng.permutation(powers)[:, None]
