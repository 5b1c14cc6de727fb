"""Nearest points of cones, polyhedra, hulls and the simplex, in float64.

Everything rests on one solver, non-negative least squares by Lawson and Hanson, on the
vectors themselves. No Gramian is formed: it would square the condition number.
"""

import numpy as np


def matrix(j):
    """`j` as float64 of shape `[P, N]`, one row for each player."""
    rows = np.asarray(j, np.float64)
    if rows.ndim != 2 or len(rows) == 0:
        raise ValueError(
            f"`j` must have the shape [P, N] with P at least 1, got {rows.shape}."
        )
    return rows


def unit_rows(rows):
    """Rows of length 1; a zero row stays zero. Second, the lengths."""
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    safe = np.where(largest > 0, largest, 1.0)  # squares must not leave the range
    lengths = safe * np.linalg.norm(rows / safe[:, None], axis=1)
    return rows / np.where(lengths > 0, lengths, 1.0)[:, None], lengths


def nonnegative_least_squares(columns, target):
    """The `y >= 0` that minimizes `|columns y - target|`.

    Args:
      columns: of shape `[N, K]`.
      target: of shape `[N]`.

    Raises:
      RuntimeError: if the active set does not settle.
    """
    lengths = np.linalg.norm(columns, axis=0)
    lengths = np.where(lengths > 0, lengths, 1.0)
    return _solve_for_units(columns / lengths, target) / lengths


def _solve_for_units(columns, target):
    count = columns.shape[1]
    y, passive = np.zeros(count), np.zeros(count, bool)
    refused = np.zeros(count, bool)
    rounding = 10 * np.finfo(float).eps * max(columns.shape) * np.linalg.norm(target)
    for _ in range(30 * count + 30):
        slope = columns.T @ (target - columns @ y)
        slope[passive | refused] = -np.inf
        if np.max(slope, initial=-np.inf) <= rounding:
            return y
        enters = int(np.argmax(slope))
        passive[enters] = True
        z = _least_squares_on(columns, target, passive)
        if z[enters] <= 0:  # its slope was rounding; taken in, it would come for ever
            passive[enters], refused[enters] = False, True
            continue
        refused[:] = False
        while np.any(z[passive] <= 0):
            leaving = passive & (z <= 0)
            ratios = np.full(count, np.inf)
            ratios[leaving] = y[leaving] / (y[leaving] - z[leaving])
            y = y + np.min(ratios) * (z - y)
            passive &= ~(leaving & (ratios <= np.min(ratios)))
            y[~passive] = 0.0
            z = _least_squares_on(columns, target, passive)
        y = z
    raise RuntimeError("Non-negative least squares did not settle.")


def _least_squares_on(columns, target, chosen):
    y = np.zeros(len(chosen))
    y[chosen] = np.linalg.lstsq(columns[:, chosen], target)[0]
    return y


def project_on_cone(vector, rows):
    """The `d` nearest to `vector` with `rows d >= 0`."""
    units, lengths = unit_rows(rows)
    units = units[lengths > 0]
    return vector + units.T @ nonnegative_least_squares(units.T, -vector)


def project_on_polyhedron(vector, normals, bounds):
    """The point nearest to `vector` with `normals d >= bounds`.

    Args:
      vector: of shape `[N]`.
      normals: of shape `[K, N]`, with rows of length 1.
      bounds: of shape `[K]`.

    Returns:
      The point, and the multipliers `y >= 0` with `point = vector + normals.T y`; None
      where no point keeps the bounds.
    """
    gaps = bounds - normals @ vector
    farthest = np.max(gaps, initial=0.0)
    if farthest <= 0:
        return vector, np.zeros(len(bounds))
    columns = np.vstack([normals.T, gaps / farthest])
    target = np.append(np.zeros(len(vector)), 1.0)
    y = nonnegative_least_squares(columns, target)
    residual = target - columns @ y
    # |residual|^2 = 1 / (1 + (|step| / farthest)^2), and 0 where there is no point.
    if np.linalg.norm(residual) < 1e-9:
        return None
    y = y * (farthest / np.dot(residual, residual))
    return vector + normals.T @ y, y


def min_norm(j):
    """The shortest vector of the convex hull of the rows; 0 for a Pareto point.

    Up to its length it is the nearest point to 0 with `g_i . d >= 1` for all rows.
    """
    rows = matrix(j)
    units, lengths = unit_rows(rows)
    shortest = np.min(lengths)
    if shortest == 0:
        return np.zeros(rows.shape[1])
    bounds = shortest / lengths
    target = np.append(np.zeros(rows.shape[1]), 1.0)
    y = nonnegative_least_squares(np.vstack([units.T, bounds]), target)
    return units.T @ y * (shortest / np.dot(bounds, y))


def project_on_simplex(vector):
    """The nearest point with entries of at least 0 that sum to 1."""
    sums = np.cumsum(np.sort(vector)[::-1])
    threshold = np.max((sums - 1.0) / np.arange(1, len(vector) + 1))
    return np.maximum(vector - threshold, 0.0)
