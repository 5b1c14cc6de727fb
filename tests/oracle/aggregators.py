"""Aggregators without memory: one update from a matrix of the players' gradients.

`j` has the shape `[P, N]`, one row for each player. Each function returns the update,
of shape `[N]`. All work on the gradients themselves, never on their inner products.
"""

import numpy as np

from neat_optax.reference import _vectors
from oracle import quadratic
from oracle.quadratic import matrix, unit_rows


def conflict(j, update):
    """`max(0, -cosine)` of the update with the player it hurts most."""
    return max(_vectors.conflict(update, g) for g in matrix(j))


def mean(j):
    """Mean of the rows."""
    return matrix(j).mean(axis=0)


def total(j):
    """Sum of the rows."""
    return matrix(j).sum(axis=0)


def upgrad(j, preference=None):
    """Each row projected on the cone of no conflict, then averaged by preference."""
    rows = matrix(j)
    projected = [quadratic.project_on_cone(g, rows) for g in rows]
    return _preferences(preference, rows) @ np.stack(projected)


def dual_proj(j, preference=None):
    """The preferred average of the rows, projected on the cone of no conflict."""
    rows = matrix(j)
    return quadratic.project_on_cone(_preferences(preference, rows) @ rows, rows)


def mgda(j):
    """The shortest vector of the convex hull of the rows."""
    return quadratic.min_norm(j)


def pcgrad(j, orders):
    """Sum over the players of their gradient, freed of what the others oppose.

    Args:
      j: the gradients.
      orders: `orders[i]` names the players that player `i` meets, in this order; `i`
        itself is passed over.
    """
    rows = matrix(j)
    update = np.zeros(rows.shape[1])
    for i, order in enumerate(orders):
        g = rows[i]
        for k in order:
            if k != i and _vectors.dot(g, rows[k]) < 0:
                g = g - _vectors.project(g, rows[k])
        update = update + g
    return update


def graddrop(j, draws, leak=0.0):
    """Keeps the positive or the negative entries of each coordinate.

    Args:
      j: the gradients.
      draws: one number in [0, 1) for each coordinate; the positive entries are kept
        where it is below the positive share of the absolute sum.
      leak: share of what is dropped that is kept all the same.
    """
    rows = matrix(j)
    positive = np.maximum(rows, 0.0).sum(axis=0)
    negative = np.maximum(-rows, 0.0).sum(axis=0)
    mass = positive + negative
    share = np.where(mass > 0, positive / np.where(mass > 0, mass, 1.0), 0.5)
    kept = np.where(np.asarray(draws) < share, positive, -negative)
    return leak * rows.sum(axis=0) + (1.0 - leak) * kept


def cagrad(j, c):
    """The `d` with `|d - mean| <= c |mean|` whose smallest `g_i . d` is largest.

    For a level `t` let `d(t)` be the point nearest to the mean with `g_i . d >= t` for
    all rows. Its distance is convex and increases with `t`; Newton's method finds the
    level at which it is `c |mean|`. The start is an upper bound on the level, given by
    the shortest vector of the hull: for any `w` of the simplex the level is at most
    `g_w . mean + c |mean| |g_w|`.

    At a Pareto point with a ball wide enough to reach the cone of no conflict there
    are many answers, all of level 0. This is the one nearest to the mean.
    """
    rows = matrix(j)
    center = rows.mean(axis=0)
    radius = c * _vectors.norm(center)
    if radius == 0:
        return center
    units, lengths = unit_rows(rows)
    units, lengths = units[lengths > 0], lengths[lengths > 0]
    lowest = quadratic.min_norm(rows)
    level = _vectors.dot(lowest, center) + radius * _vectors.norm(lowest)
    for _ in range(200):
        found = quadratic.project_on_polyhedron(center, units, level / lengths)
        if found is None:  # rounding lifted the level of a Pareto point above 0
            level = -1e-15 * np.min(lengths) * _vectors.norm(center)
            continue
        point, y = found
        distance = _vectors.norm(point - center)
        if distance <= radius + 1e-14 * _vectors.norm(center):
            return point
        lower = level - (distance - radius) * distance / np.sum(y / lengths)
        if lower >= level:
            return point
        level = lower
    raise RuntimeError("CAGrad did not settle.")


def fairgrad(j, alpha):
    """The `d = sum_i w_i g_i` with `w_i = (g_i . d)^(-alpha)`; `alpha = 1` is Nash-MTL.

    It is where the convex `|d|^2 / 2 - sum_i psi(g_i . d)` with `psi'(s) = s^(-alpha)`
    is smallest, found by damped Newton steps in `d`.

    Raises:
      ValueError: if a row is zero or the matrix is a Pareto point: there is no answer.
      RuntimeError: if float64 does not hold it: an `alpha` far below 1 with rows of
        very different lengths makes shares that are rounded to 0.
    """
    rows = matrix(j)
    units, lengths = unit_rows(rows)
    start = quadratic.min_norm(units)
    if _vectors.norm(start) < 1e-8:
        raise ValueError("`j` must have no zero row and must not be a Pareto point.")
    # With unit rows u_i: d = sum_i k_i (u_i . d)^(-alpha) u_i, k_i = |g_i|^(1 - alpha).
    # Lengths in units of one of them keep k_i within 1; their unit comes back on d.
    unit = np.max(lengths) if alpha < 1 else np.min(lengths)
    d = _fair_point(units, (lengths / unit) ** (1.0 - alpha), alpha, start)
    return d * unit ** ((1.0 - alpha) / (1.0 + alpha))


def _fair_point(units, k, alpha, start):
    shares = units @ start
    along = np.sum(k * shares ** (1.0 - alpha)) / _vectors.dot(start, start)
    d = start * along ** (1.0 / (1.0 + alpha))  # the best point of the ray
    slope, step = _fair_newton(units, k, alpha, d)
    for _ in range(500):
        length = 1.0
        while length > 1e-12:
            new = d + length * step
            if np.all(units @ new > 0):
                new_slope, new_step = _fair_newton(units, k, alpha, new)
                shrunk = (1.0 - length / 4) * np.linalg.norm(slope)
                if np.linalg.norm(new_slope) <= shrunk:
                    break
            length /= 2
        else:
            break
        d, slope, step = new, new_slope, new_step
    # The step, not the slope: shares that are 0 to rounding make any slope.
    if np.linalg.norm(step) > 1e-9 * np.linalg.norm(d):
        raise RuntimeError("FairGrad did not settle.")
    return d


def _fair_newton(units, k, alpha, d):
    """Slope and Newton's step, by least squares: the Hessian is ill conditioned."""
    shares = units @ d
    pulls = k * shares**-alpha
    roots = np.sqrt(alpha * pulls / shares)
    system = np.vstack([np.eye(len(d)), roots[:, None] * units])
    step = np.linalg.lstsq(system, np.append(-d, pulls / roots))[0]
    return d - units.T @ pulls, step


def imtl_g(j):
    """The combination with weights of sum 1 that has the same share of all unit rows.

    Raises:
      ValueError: if the unit rows are dependent or a row is zero, or if the weights of
        sum 0 have equal shares: there is no answer, or more than one.
    """
    rows = matrix(j)
    units, lengths = unit_rows(rows)
    if np.linalg.matrix_rank(units) < len(rows):
        raise ValueError("`j` must have independent rows.")
    direction = np.linalg.lstsq(units, np.ones(len(rows)))[0]
    weights = np.linalg.lstsq(units.T, direction)[0] / lengths
    if abs(np.sum(weights)) <= 1e-12 * np.sum(np.abs(weights)):
        raise ValueError("`j` must have weights of equal share with a sum not 0.")
    return direction / np.sum(weights)


def config(j, preference=None):
    """Unit rows have preferred shares of it; as long as the rows' sum along it."""
    rows = matrix(j)
    wanted = np.ones(len(rows)) if preference is None else np.asarray(preference)
    direction = np.linalg.lstsq(unit_rows(rows)[0], wanted)[0]
    if _vectors.norm(direction) <= 1e-12 * np.max(np.abs(wanted)):
        return np.zeros(rows.shape[1])
    axis = _vectors.unit(direction)
    return np.sum(rows @ axis) * axis


def aligned_mtl(j, preference=None, scale="min", rcond=None):
    """The preferred average after all singular values were made equal.

    Args:
      j: the gradients.
      preference: weights of the players; 1 / P each by default.
      scale: what they are made: "min", the smallest that is not zero; "median", the
        lower median; "rmse", the root of the mean square.
      rcond: share of the largest singular value up to which one counts as zero; the
        rounding of float64 by default.
    """
    rows = matrix(j)
    left, values, right = np.linalg.svd(rows, full_matrices=False)
    if rcond is None:
        rcond = max(rows.shape) * np.finfo(float).eps
    keep = values > rcond * values[0]
    if not np.any(keep):
        return np.zeros(rows.shape[1])
    kept = values[keep]
    common = {
        "min": kept[-1],
        "median": np.sort(kept)[(len(kept) - 1) // 2],
        "rmse": np.sqrt(np.mean(kept**2)),
    }[scale]
    return common * (_preferences(preference, rows) @ left[:, keep]) @ right[keep]


def _preferences(preference, rows):
    if preference is None:
        return np.full(len(rows), 1.0 / len(rows))
    return np.asarray(preference, np.float64)
