"""Aggregators that remember, each over a whole run or one step at a time."""

import numpy as np

from neat_optax.reference import _vectors
from oracle import quadratic
from oracle.quadratic import matrix, unit_rows
from oracle.scalarizers import softmax


def gradvac(j, targets, orders, beta):
    """One step of GradVac: raises cosines that are below their usual value.

    Args:
      j: the gradients, of shape `[P, N]`.
      targets: the usual cosines, of shape `[P, P]`; zeros at first.
      orders: `orders[i]` names the players that player `i` meets, in this order; `i`
        itself is passed over.
      beta: share of the new cosine in the usual one.

    Returns:
      The sum of the changed gradients, and the new targets. A player or target without
      an angle to reach, a zero row or a cosine of 1, changes nothing.
    """
    rows = matrix(j)
    update, usual = np.zeros(rows.shape[1]), np.array(targets, np.float64)
    for i, order in enumerate(orders):
        g = rows[i]
        for k in order:
            if k == i:
                continue
            cosine, target = _vectors.cosine(g, rows[k]), usual[i, k]
            if cosine < target < 1:
                share = _vectors.norm(g) * _vaccine(cosine, target)
                g = g + share * _vectors.unit(rows[k])
            usual[i, k] = _vectors.average(target, cosine, 1.0 - beta)
        update = update + g
    return update, usual


def _vaccine(cosine, target):
    """What moves a unit vector from one cosine with another to the target."""
    sine, wanted = np.sqrt(1.0 - cosine**2), np.sqrt(1.0 - target**2)
    return (target * sine - cosine * wanted) / wanted


def excess_mtl(matrices, step_size=1.0, warmup=0, eps=1e-7):
    """The updates of ExcessMTL over a run: weights grow with the excess risk.

    Args:
      matrices: the gradients of all steps, of shape `[T, P, N]`.
      step_size: of the exponentiated weights.
      warmup: steps of equal weights, whose mean risk is the unit of what comes after;
        without them the first risk is, and counts as it is.
      eps: added to the sums of squares and to the unit.
    """
    squares, logits, unit = 0.0, 0.0, None
    risks, updates = [], []
    for step, rows in enumerate(map(matrix, matrices)):
        squares = squares + rows**2
        risks.append(np.sum(_ratio(rows**2, np.sqrt(squares + eps)), axis=1))
        if step == warmup > 0:
            unit = np.mean(risks[:warmup], axis=0)
        if step >= warmup:
            relative = risks[-1] if unit is None else _ratio(risks[-1], unit + eps)
            logits = logits + step_size * relative
            unit = risks[-1] if unit is None else unit
        updates.append(softmax(logits + np.zeros(len(rows))) @ rows)
    return updates


def pcd(matrices, tau=0.02, decay=0.999, eps=1e-8):
    """The updates of PCD over a run: the first player leads, the others keep a share.

    Gradients are divided by the root of their usual squared length. The direction is
    the one nearest to the leader's with `g_i . d >= tau |g_i|^2` for the others; the
    update has the length of the leader's gradient. Where no direction keeps all shares
    it is the leader's gradient.

    Args:
      matrices: the gradients of all steps, of shape `[T, P, N]`.
      tau: the share, one number or one for each of the others.
      decay: of the average of squared lengths.
      eps: added to this average.
    """
    average, updates = 0.0, []
    for step, rows in enumerate(map(matrix, matrices)):
        average = _vectors.average(average, np.sum(rows**2, axis=1), decay)
        usual = np.sqrt(average / (1.0 - decay ** (step + 1)) + eps)
        scales = _ratio(np.ones(len(rows)), usual)
        direction = _led_direction(rows * scales[:, None], tau)
        updates.append(_vectors.norm(rows[0]) * _vectors.unit(direction))
    return updates


def _led_direction(rows, tau):
    leader = rows[0]
    units, lengths = unit_rows(rows[1:])
    bounds = np.broadcast_to(tau, lengths.shape) * lengths
    kept = lengths > 0
    if _vectors.norm(leader) == 0 or not np.any(kept):
        return leader
    found = quadratic.project_on_polyhedron(leader, units[kept], bounds[kept])
    return leader if found is None else found[0]


def modo(weights, first, second, step_size=0.1, pull=0.1):
    """The next weights of MoDo.

    Args:
      weights: the weights of the step before; 1 / P each at first.
      first: gradients of one batch, of shape `[P, N]`.
      second: gradients of another batch.
      step_size: of the weights.
      pull: strength of the pull towards equal weights.
    """
    slope = matrix(first) @ (weights @ matrix(second)) + pull * weights
    return quadratic.project_on_simplex(weights - step_size * slope)


def sdmgrad(
    weights,
    first,
    second,
    step_size=10.0,
    momentum=0.5,
    steps=20,
    pull=0.3,
    preference=None,
    eps=1e-8,
):
    """One step of SDMGrad: the weights to use, and those to go on from.

    Args:
      weights: what the step before left to go on from; 1 / P each at first.
      first: gradients of one batch, of shape `[P, N]`.
      second: gradients of another batch.
      step_size: of the inner descent.
      momentum: of the inner descent, which starts anew at each step.
      steps: of the inner descent.
      pull: strength of the pull towards the preference.
      preference: 1 / P each by default.
      eps: added to the unit of the inner products.
    """
    first, second = matrix(first), matrix(second)
    count = len(first)
    wanted = np.full(count, 1.0 / count) if preference is None else preference
    shared = np.maximum(np.sum(first * second, axis=1), 0.0)
    unit = np.mean(np.sqrt(shared)) ** 2 + eps
    velocity = np.zeros(count)
    for _ in range(steps):
        slope = first @ ((weights + pull * wanted) @ second) / unit
        velocity = momentum * velocity + slope
        weights = quadratic.project_on_simplex(weights - step_size * velocity)
    return (weights + pull * wanted) / (1.0 + pull), weights


def _ratio(a, b):
    """`a / b`, or 0 for `b = 0`."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
