"""Weights from losses: slopes of one scalar loss with respect to each player's."""

import numpy as np

from neat_optax.reference._vectors import average


def softmax(logits):
    """Exponentials that sum to 1."""
    powers = np.exp(logits - np.max(logits))
    return powers / np.sum(powers)


def stch(losses, mu, preference=None, reference=0.0):
    """Of `mu log sum_i exp(p_i (L_i - r_i) / mu)`; `p_i` is 1 / P by default."""
    losses = np.asarray(losses, np.float64)
    if preference is None:
        preference = np.full(len(losses), 1.0 / len(losses))
    return preference * softmax(preference * (losses - reference) / mu)


def uncertainty(losses, log_variances):
    """Of `sum_i (exp(-s_i) L_i + s_i) / 2`. Second, its slopes in `s`."""
    weights = np.exp(-np.asarray(log_variances, np.float64)) / 2
    return weights, 0.5 - weights * np.asarray(losses)


def imtl_l(losses, log_scales):
    """Of `sum_i (exp(s_i) L_i - s_i)`. Second, its slopes in `s`."""
    weights = np.exp(np.asarray(log_scales, np.float64))
    return weights, weights * np.asarray(losses) - 1.0


def gls(losses):
    """Of the geometric mean of the losses."""
    losses = np.asarray(losses, np.float64)
    return np.exp(np.mean(np.log(losses))) / (len(losses) * losses)


def dwa(newer, older, temperature=2.0):
    """Sum P; larger where the mean loss of the last epoch fell less than before."""
    rates = np.asarray(newer, np.float64) / np.asarray(older, np.float64)
    return len(rates) * softmax(rates / temperature)


def famo(before, after, learning_rate=0.025, weight_decay=1e-3, lowest=0.0):
    """Weights and logits of FAMO over a run.

    The weights are the slopes of a combination of log-losses, scaled so that they sum
    to 1 over the losses above `lowest`. After each step Adam moves the logits by the
    change of the log-losses on the same batch.

    Args:
      before: losses of all steps before the players' step, of shape `[T, P]`.
      after: losses after it.
      learning_rate: of Adam, with its usual other numbers.
      weight_decay: times the logits, added to Adam's gradient.
      lowest: the smallest losses there can be.

    Returns:
      The weights of each step, and the logits after it.
    """
    before = np.asarray(before, np.float64) - lowest + 1e-8
    after = np.asarray(after, np.float64) - lowest + 1e-8
    logits, first, second = (np.zeros(before.shape[1]) for _ in range(3))
    weights, history = [], []
    for step, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        shares = softmax(logits)
        weights.append(shares / old / np.sum(shares / old))
        change = np.log(old) - np.log(new)
        slope = shares * (change - shares @ change) + weight_decay * logits
        first, second = average(first, slope, 0.9), average(second, slope**2, 0.999)
        root = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        logits = logits - learning_rate * first / (1 - 0.9**step) / root
        history.append(logits)
    return weights, history
