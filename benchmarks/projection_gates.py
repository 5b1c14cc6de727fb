"""The projecting aggregators on degenerate gradients, and their time by players."""

import statistics

import jax
import jax.numpy as jnp
import numpy as np
from aggregator_time import interleaved
from gates import Gate

from neat_optax import aggregators
from oracle import aggregators as oracle
from oracle.families import FAMILIES, of_family

SEATS, COLUMNS = 48, 400
EXACT = {"upgrad": oracle.upgrad, "dual_proj": oracle.dual_proj, "mgda": oracle.mgda}
HARD = ("rank-deficient", "opposed")


def family_gates(count):
    """Errors over the longest gradient, in two orders and three units."""
    for name, exact in EXACT.items():
        update, errors, worst_cosine = _padded(name), [], 0.0
        for family in FAMILIES:
            for seed in range(count):
                j = of_family(family, seed)
                wide = j.astype(float)
                longest, answer = np.linalg.norm(wide, axis=1).max(), exact(wide)
                order = np.random.default_rng(seed).permutation(len(j))
                found = update(j)
                others = [update(j[order]), *(update(j, u) for u in (1e-15, 1e15))]
                errors.append(np.linalg.norm(found - answer) / longest)
                errors += [np.linalg.norm(u - answer) / longest for u in others]
                if np.linalg.norm(answer) > 1e-3 * longest:
                    worst_cosine = max(worst_cosine, oracle.conflict(wide, found))
        middle, worst = statistics.median(errors), max(errors)
        yield Gate(
            f"{name}: error, {len(errors)} updates of {len(FAMILIES)} families",
            "median <= 1e-6, all <= 1e-4",
            f"median {middle:.0e}, worst {worst:.0e}",
            middle <= 1e-6 and worst <= 1e-4,
        )
        yield Gate(
            f"{name}: conflict on the same",
            "none below -1e-5",
            f"{-worst_cosine:.0e}",
            worst_cosine <= 1e-5,
        )
    yield from _tilted()


def _padded(name):
    tx = getattr(aggregators, name)()
    compiled = jax.jit(lambda j, on: tx.update(j, tx.init(j[0]), present=on)[0])

    def update(j, unit=1.0):
        unit = np.float32(unit)
        full = np.zeros((SEATS, COLUMNS), np.float32)
        full[: len(j), : j.shape[1]] = j * unit
        found = compiled(full, np.arange(SEATS) < len(j))
        return np.asarray(found, float)[: j.shape[1]] / float(unit)

    return update


def _tilted():
    """Two players opposed but for a tilt, and a third: the answer is [0, 0, 1/3]."""
    tx = aggregators.dual_proj()
    for tilt, target in ((3e-3, 1e-3), (1e-3, 1e-2)):
        j = jnp.array([[1.0, 0, 0], [-1, tilt, 0], [0, -1, 1]])
        found = np.asarray(tx.update(j, tx.init(j[0]))[0])
        error = np.linalg.norm(found - [0, 0, 1 / 3])
        yield Gate(
            f"three players, tilt {tilt:g}",
            f"<= {target:g}",
            f"{error:.0e}",
            error <= target,
        )


def size_gates(rounds, quick):
    """Milliseconds of the weights for many players, on ordinary and hard Gramians."""
    sizes = ((32, 0.5), (128, 12), (256, 80), (512, 800), (1024, 6000))
    for players, target in sizes[: 3 if quick else 5]:
        weigh = jax.jit(aggregators.upgrad_weights)
        for kind in ("random", *HARD):
            gramian = _gramian(kind, players)
            limit = target * (1 if kind == "random" else 8)
            once = rounds if players < 500 else 1
            found = _milliseconds(weigh, gramian, once)
            yield Gate(
                f"UPGrad weights, P = {players}, {kind}",
                f"<= {limit:g} ms",
                f"{found:.2f} ms",
                found <= limit,
            )
    players = sizes[2 if quick else 4][0]
    for name in ("dual_proj", "mgda", "pcd"):
        weigh = jax.jit(getattr(aggregators, f"{name}_weights"))
        found = _milliseconds(weigh, _gramian("random", players), rounds)
        label = f"{name} weights, P = {players}"
        yield Gate(label, "<= 100 ms", f"{found:.2f} ms", found <= 100)


def _gramian(kind, players):
    rng = np.random.default_rng(0)
    j = FAMILIES[kind](rng, players, 4 * players)
    return jnp.asarray(j @ j.T, jnp.float32)


def _milliseconds(weigh, gramian, rounds):
    call = {"": lambda: weigh(gramian).block_until_ready()}
    return interleaved(call, rounds)[""]
