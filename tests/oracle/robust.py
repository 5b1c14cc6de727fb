"""Aggregators for players of which some may be hostile.

`j` has the shape `[P, N]`, one row for each player; the update has the shape `[N]`.
"""

import numpy as np

from neat_optax.reference import _vectors
from oracle.quadratic import matrix


def krum(j, num_byzantine, num_selected=1, squared=True):
    """Mean of the rows with the smallest sums of distances to their nearest rows.

    Args:
      j: the gradients.
      num_byzantine: rows that may be hostile; `P - num_byzantine - 2` nearest count.
      num_selected: rows that are averaged; the first of equals is taken.
      squared: sums squared distances, as the paper does.

    Raises:
      ValueError: if there are fewer than `num_byzantine + 3` rows.
    """
    rows = matrix(j)
    near = len(rows) - num_byzantine - 2
    if near < 1:
        raise ValueError(
            f"`j` must have at least {num_byzantine + 3} rows, got {len(rows)}."
        )
    scores = []
    for i, g in enumerate(rows):
        distances = np.linalg.norm(np.delete(rows, i, axis=0) - g, axis=1)
        power = 2 if squared else 1
        scores.append(np.sum(np.sort(distances)[:near] ** power))
    selected = np.argsort(scores, kind="stable")[:num_selected]
    return rows[selected].mean(axis=0)


def geometric_median(j):
    """The point with the smallest sum of distances to the rows.

    It is unique but for an even number of rows on a line: there it is halfway between
    the two in the middle.

    Raises:
      RuntimeError: if it is next to two rows that are all but equal; steps towards it
        then become ever smaller.
    """
    rows = matrix(j)
    size = 2.0 ** np.frexp(np.max(np.abs(rows)))[1]  # squares stay within the range
    rows = rows / size
    center = rows.mean(axis=0)
    _, spread, axes = np.linalg.svd(rows - center, full_matrices=False)
    if np.sum(spread > 1e-12 * spread[0]) <= 1:
        along = np.median((rows - center) @ axes[0])
        return size * (center + along * axes[0])
    for g in rows:  # a row is the median if the others pull on it less than its copies
        pull, copies = _pull(rows, g)
        if _vectors.norm(pull) <= copies:
            return size * g
    point = center
    for _ in range(1000):
        new = _toward_median(rows, point)
        if _vectors.norm(new - point) <= 1e-14:
            return size * new
        point = new
    raise RuntimeError("The geometric median did not settle.")


def _pull(rows, point):
    """Sum of the unit vectors towards the rows, and the number of rows at the point."""
    distances = np.linalg.norm(rows - point, axis=1)
    apart = distances > 0
    units = (rows[apart] - point) / distances[apart, None]
    return units.sum(axis=0), np.sum(~apart)


def _toward_median(rows, point):
    """The better of Weiszfeld's step, which always leads nearer, and Newton's."""
    distances = np.linalg.norm(rows - point, axis=1)
    apart = distances > 0
    rows, weights = rows[apart], 1.0 / distances[apart]
    pull, copies = _pull(rows, point)[0], np.sum(~apart)
    step = pull / np.sum(weights)
    if copies:  # away from a row that is not the median, after Vardi and Zhang
        return point + (1.0 - copies / _vectors.norm(pull)) * step
    units = (rows - point) * weights[:, None]
    curvature = np.sum(weights) * np.eye(len(point)) - units.T * weights @ units
    steps = point + step, point + np.linalg.lstsq(curvature, pull)[0]
    return min(steps, key=lambda new: np.sum(np.linalg.norm(rows - new, axis=1)))


def trimmed_mean(j, trim):
    """Mean of each coordinate without its `trim` largest and smallest entries.

    Raises:
      ValueError: if no entry is left.
    """
    rows = matrix(j)
    if len(rows) <= 2 * trim:
        raise ValueError(
            f"`j` must have at least {2 * trim + 1} rows, got {len(rows)}."
        )
    return np.sort(rows, axis=0)[trim : len(rows) - trim].mean(axis=0)
