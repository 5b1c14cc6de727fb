"""NEAT between players by the longest route: NumPy, float64, every vector formed."""

import numpy as np


def others_mean(players, shares, i):
    """The mean of all players but one, from the others alone."""
    return _mean(np.delete(players, i, axis=0), np.delete(shares, i))


def batch_mean(players, shares, i):
    del i
    return _mean(players, shares)


def _mean(players, shares):
    total = shares.sum() if len(shares) else 0
    zero = np.zeros(players.shape[1:])
    return shares @ players / total if total > 0 else zero


def corrections(players, opponent, alpha=1.0, preference=None, clip_ratio=1.0):
    """[P, N]: what is added to each player, opposed by `opponent(players, shares, i)`.

    Args:
      opponent: `others_mean`, `batch_mean`, or None for every other player in turn.
    """
    players = np.asarray(players, np.float64)
    shares = np.ones(len(players)) if preference is None else np.asarray(preference)
    rows = []
    for i, g in enumerate(players):
        if opponent is not None:
            rows.append(_against(g, opponent(players, shares, i), alpha, clip_ratio)[1])
            continue
        met = [j for j in range(len(players)) if j != i and shares[i] * shares[j] > 0]
        pairs = [_against(g, players[j], alpha, clip_ratio) for j in met]
        total = sum(c for c, _ in pairs)
        rows.append(sum((c * q for c, q in pairs), 0 * g) / (total or 1))
    return np.stack(rows)


def neat(players, opponent, alpha=1.0, preference=None, clip_ratio=1.0):
    """[N]: the mean of the corrected players, weighted by their preference."""
    players = np.asarray(players, np.float64)
    shares = np.ones(len(players)) if preference is None else np.asarray(preference)
    added = corrections(players, opponent, alpha, preference, clip_ratio)
    return _mean(players + added, shares)


def _against(g, o, alpha, clip_ratio):
    """Conflict and bounded correction of one gradient against one opponent."""
    length = np.linalg.norm(g) * np.linalg.norm(o)
    if length == 0:
        return 0.0, 0 * g
    conflict = max(0.0, -(g @ o) / length)
    added = -alpha * conflict * (g @ o) / (o @ o) * o
    norm, longest = np.linalg.norm(added), clip_ratio * np.linalg.norm(g)
    return conflict, added * min(1.0, longest / norm) if norm > 0 else added
