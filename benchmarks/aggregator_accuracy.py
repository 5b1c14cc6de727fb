"""How far the aggregators are from exact solutions, and whether they conflict."""

import statistics

import jax
import jax.numpy as jnp
import numpy as np
from gates import Gate

from neat_optax import aggregators
from oracle import aggregators as oracle

LARGEST = (10, 50)
SCALES = (1e-20, 1e-6, 1.0, 1e6, 1e18)


def apply(transformation):
    """From a matrix to the update, compiled once: missing players are absent."""

    @jax.jit
    def update(matrix, present):
        state = transformation.init(matrix[0])
        return transformation.update(matrix, state, present=present)[0]

    def padded(matrix):
        players, columns = matrix.shape
        full = np.zeros(LARGEST, np.float32)
        full[:players, :columns] = matrix
        found = update(jnp.asarray(full), jnp.arange(LARGEST[0]) < players)
        return np.asarray(found, float)[:columns]

    return padded


def rounded(matrix):
    """The matrix as float32 holds it, in float64."""
    return np.asarray(matrix, np.float32).astype(float)


def error(found, exact, matrix):
    """Relative to the answer, or to the longest row where the answer is zero."""
    longest = np.linalg.norm(matrix, axis=1).max()
    size = np.linalg.norm(exact)
    size = size if size > 1e-9 * longest else longest
    return np.linalg.norm(found - exact) / (size if size > 0 else 1.0)


def conflict(matrix, update):
    """`max(0, -min cosine)`, in units in which nothing overflows."""
    matrix = matrix / (np.abs(matrix).max(axis=1, keepdims=True) + 1e-300)
    return oracle.conflict(matrix, update / (np.abs(update).max() + 1e-300))


def random_matrices(count, seed=0):
    """Non-stationary matrices: every row has a positive product with a hidden one.

    Rows are a conflict along one shared direction, plus a common part that is at least
    a tenth of it; then scaled to norms that spread over up to twelve decades.
    """
    rng = np.random.default_rng(seed)
    for _ in range(count):
        players = int(rng.choice([2, 3, 5, 8]))
        columns = int(rng.choice([10, 40]))
        hidden, shared = np.linalg.qr(rng.normal(size=(columns, 2)))[0].T
        signs = np.where(np.arange(players) % 2, -1.0, 1.0)
        rows = rng.normal(size=(players, columns)) / np.sqrt(columns)
        rows += signs[:, None] * shared
        common = rng.uniform(0.1, 1.0, players)
        rows += (common - rows @ hidden)[:, None] * hidden
        spread = rng.choice([0.0, 3.0, 6.0])
        yield rows * 10.0 ** rng.uniform(-spread, spread, (players, 1))


def accuracy_gates(recorded, count):
    """Errors, conflicts and residuals, each against its target."""
    matrices = {m["name"]: rounded(m["data"]) for m in recorded["matrices"]}
    samples = [rounded(m) for m in random_matrices(count)]
    yield from _errors(recorded, matrices, samples)
    yield _conflicts(matrices, samples)
    yield _linearity(samples)
    yield from _fairness(matrices, samples)
    yield from _projections(matrices, samples)


def _errors(recorded, matrices, samples):
    cases = {
        "UPGrad": (aggregators.upgrad(), "UPGrad", oracle.upgrad),
        "DualProj": (aggregators.dual_proj(), "DualProj", oracle.dual_proj),
        "MGDA": (aggregators.mgda(), "MGDA", oracle.mgda),
    }
    for name, (transformation, key, exact) in cases.items():
        update = apply(transformation)
        answers = recorded["exact"][key]["cases"]
        errors = [
            error(update(j), np.asarray(answers[n]["vector"], float), j)
            for n, j in matrices.items()
        ]
        errors += [error(update(j), exact(j), j) for j in samples]
        middle, worst = statistics.median(errors), max(errors)
        wanted = (np.inf, 1e-4) if name == "MGDA" else (1e-6, 1e-3)
        yield Gate(
            f"{name}: error, {len(errors)} matrices",
            "all <= 1e-4" if name == "MGDA" else "median <= 1e-6, all <= 1e-3",
            f"median {middle:.0e}, worst {worst:.0e}",
            middle <= wanted[0] and worst <= wanted[1],
        )


def _conflicts(matrices, samples):
    guarded = {
        "upgrad": aggregators.upgrad(),
        "dual_proj": aggregators.dual_proj(),
        "mgda": aggregators.mgda(),
        "cagrad(1)": aggregators.cagrad(1.0),
        "nash_mtl": aggregators.nash_mtl(),
        "fairgrad(2)": aggregators.fairgrad(2.0),
    }
    solvable = [j for j in matrices.values() if not _is_stationary(j)]
    worst, where = 0.0, ""
    for name, transformation in guarded.items():
        update = apply(transformation)
        for matrix in solvable + samples:
            for scale in SCALES:
                scaled = rounded(matrix * scale)
                if not 0 < np.abs(scaled).max() < 1e37:
                    continue
                found = conflict(scaled, update(scaled))
                worst, where = max((worst, where), (found, f"{name}, scale {scale:g}"))
    return Gate(
        f"conflict, {len(guarded)} aggregators, {len(solvable + samples)} matrices x "
        f"{len(SCALES)} scales",
        "none above 1e-4",
        f"worst {worst:.0e} ({where})" if worst else "none",
        worst <= 1e-4,
    )


def _is_stationary(matrix):
    norms = np.linalg.norm(matrix, axis=1)
    if not norms.all():
        return True
    return oracle_min_norm(matrix) <= 1e-6


def oracle_min_norm(matrix):
    """Length of the shortest convex combination of the unit rows."""
    units = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.linalg.norm(oracle.mgda(units))


def _linearity(samples):
    update, worst = apply(aggregators.upgrad()), 0.0
    rng = np.random.default_rng(1)
    for matrix in samples:
        a, b = rng.uniform(0, 1, (2, len(matrix), 1))
        first, second = update(a * matrix), update(b * matrix)
        both = update((a + b) * matrix)
        worst = max(worst, error(first + second, both, matrix))
    return Gate(
        "UPGrad: linear under row scaling", "1e-4", f"{worst:.0e}", worst <= 1e-4
    )


def _fairness(matrices, samples):
    solvable = [j for j in matrices.values() if not _is_stationary(j)]
    for name, alpha in (("Nash-MTL", 1.0), ("FairGrad 0.5", 0.5), ("FairGrad 2", 2.0)):
        weigh = jax.jit(lambda g, a=alpha: aggregators.fairgrad_weights(g, a))
        update = apply(aggregators.fairgrad(alpha))
        for kind, cases in (("recorded", solvable), ("rows to 1e12", samples)):
            residuals = [_fair_residual(weigh, alpha, j) for j in cases]
            exact = [oracle.fairgrad(j, alpha) for j in cases]
            floors = [
                _rounded_residual(u, alpha, j)
                for u, j in zip(exact, cases, strict=True)
            ]
            above = sum(r > 1e-4 for r in residuals)
            yield Gate(
                f"{name}: residual, {len(cases)} matrices, {kind}",
                "<= 1e-4",
                f"median {statistics.median(residuals):.0e}, {above} above (of the "
                f"exact weights, rounded to float32: {sum(r > 1e-4 for r in floors)})",
                above == 0,
            )
            errors = [error(update(j), u, j) for u, j in zip(exact, cases, strict=True)]
            yield Gate(
                f"{name}: error of the update, the same",
                "<= 1e-4",
                f"median {statistics.median(errors):.0e}, worst {max(errors):.0e}",
                max(errors) <= 1e-4,
            )


def _fair_residual(weigh, alpha, matrix):
    players, j = len(matrix), matrix.astype(np.float32)
    gramian = np.zeros((LARGEST[0], LARGEST[0]), np.float32)
    gramian[:players, :players] = j @ j.T
    weights = np.asarray(weigh(jnp.asarray(gramian)), float)[:players]
    if not (weights > 0).all():
        return np.inf
    gains = matrix @ (weights @ matrix)
    return np.max(np.abs(gains * weights ** (1 / alpha) - 1))


def _rounded_residual(update, alpha, matrix):
    """The residual of the exact weights as float32 holds them."""
    weights = rounded((matrix @ update) ** -alpha)
    gains = matrix @ (weights @ matrix)
    return np.max(np.abs(gains * np.abs(weights) ** (1 / alpha) - 1))


def _projections(matrices, samples):
    config, imtl = apply(aggregators.conflict_free()), apply(aggregators.imtl_g())
    errors = {"ConFIG": [], "IMTL-G": []}
    for matrix in list(matrices.values()) + samples:
        norms = np.linalg.norm(matrix, axis=1)
        if not norms.all():
            continue
        units = matrix / norms[:, None]
        if np.linalg.cond(units @ units.T) > 1e3:
            continue
        errors["ConFIG"].append(error(config(matrix), oracle.config(matrix), matrix))
        errors["IMTL-G"].append(error(imtl(matrix), oracle.imtl_g(matrix), matrix))
    for name, found in errors.items():
        yield Gate(
            f"{name}: error where the condition is <= 1e3, {len(found)} matrices",
            "<= 1e-4",
            f"median {statistics.median(found):.0e}, worst {max(found):.0e}, "
            f"{sum(e > 1e-4 for e in found)} above",
            max(found) <= 1e-4,
        )
