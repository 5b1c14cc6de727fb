"""Reference directions between players: what each gradient is compared with."""

from typing import NamedTuple


class MeanOpponent(NamedTuple):
    """One opponent for each player: a mean of the players."""

    include_self: bool


class PairwiseOpponent(NamedTuple):
    """Every other player is an opponent of its own."""


PlayerOpponent = MeanOpponent | PairwiseOpponent


def others_mean() -> MeanOpponent:
    r"""The mean of the other players.

    .. math:: o_i = \frac{\sum_{j \ne i} p_j g_j}{\sum_{j \ne i} p_j}

    with the preference `p`, 1 for every player by default. A player alone has no
    opponent, and keeps its gradient.
    """
    return MeanOpponent(include_self=False)


def batch_mean() -> MeanOpponent:
    r"""The mean of all players, itself included.

    .. math:: o_i = \frac{\sum_j p_j g_j}{\sum_j p_j}

    A long gradient that dominates the mean agrees with it, and so is never corrected.
    """
    return MeanOpponent(include_self=True)


def pairwise() -> PairwiseOpponent:
    r"""Every other player, one by one.

    A player's correction is the mean of its corrections against each other player,
    weighted by their conflict:

    .. math:: q_i = \frac{\sum_j c_{ij}\, q_{ij}}{\sum_j c_{ij}}

    So a conflict with one player is corrected in full even where the mean of the others
    hides it, several equal opponents count as one, and every bound on a correction
    holds for the whole.
    """
    return PairwiseOpponent()
