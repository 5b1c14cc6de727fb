r"""The gates of the aggregators: accuracy, conflict, and time.

    python benchmarks/aggregators.py [--quick] [--only accuracy|time]

Accuracy is that of the transformations in float32 on the recorded matrices of the
tests and on random ones, against exact solutions in float64. Times are medians of
interleaved rounds in one process, each next to the plain mean or the Gramian of its own
framework. With the extra "bench", TorchJD's aggregators run on the same matrices.

For the figures of one thread:

    XLA_FLAGS=--xla_cpu_multi_thread_eigen=false OMP_NUM_THREADS=1 \
        taskset -c 0 python benchmarks/aggregators.py
"""

import argparse
import json
import pathlib
import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import neat_optax as no
from neat_optax import aggregators
from neat_optax.reference import aggregators as oracle

DATA = pathlib.Path(__file__).parent.parent / "tests" / "data" / "aggregators.json"
LARGEST = (10, 50)
SCALES = (1e-20, 1e-6, 1.0, 1e6, 1e18)


class Gate(NamedTuple):
    """One line of the table."""

    name: str
    target: str
    figure: str
    met: bool | None


def show(gates):
    """Prints a table in Markdown."""
    print("\n| gate | target | measured | |\n|---|---|---|---|")
    for gate in gates:
        mark = "" if gate.met is None else "met" if gate.met else "missed"
        print(f"| {gate.name} | {gate.target} | {gate.figure} | {mark} |")


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
    yield _projections(matrices, samples)


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
        plain = [_fair_residual(weigh, alpha, j) for j in solvable]
        spread = [_fair_residual(weigh, alpha, j) for j in samples]
        yield Gate(
            f"{name}: residual, {len(plain)} recorded matrices",
            "<= 1e-4",
            f"median {statistics.median(plain):.0e}, worst {max(plain):.0e}, "
            f"{sum(r > 1e-4 for r in plain)} above",
            max(plain) <= 1e-4,
        )
        yield Gate(
            f"{name}: residual, {len(spread)} random ones, rows to 1e12",
            "<= 1e-4",
            f"median {statistics.median(spread):.0e}, "
            f"{sum(r > 1e-4 for r in spread)} above",
            max(spread) <= 1e-4,
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


def _projections(matrices, samples):
    errors = []
    config, imtl = apply(aggregators.config()), apply(aggregators.imtl_g())
    for matrix in list(matrices.values()) + samples:
        norms = np.linalg.norm(matrix, axis=1)
        if not norms.all():
            continue
        units = matrix / norms[:, None]
        if np.linalg.cond(units @ units.T) > 1e3:
            continue
        errors.append(error(config(matrix), oracle.config(matrix), matrix))
        weights = np.linalg.solve(units @ units.T, np.ones(len(units))) / norms
        cancelled = np.abs(weights).sum() / abs(weights.sum())
        if cancelled < 10:
            errors.append(error(imtl(matrix), oracle.imtl_g(matrix), matrix))
    return Gate(
        f"IMTL-G, ConFIG: error, condition <= 1e3, {len(errors)} cases",
        "<= 1e-4",
        f"median {statistics.median(errors):.0e}, worst {max(errors):.0e}",
        max(errors) <= 1e-4,
    )


def interleaved(functions, rounds):
    """Median milliseconds of each function, taking turns."""
    times = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(x) * 1e3 for name, x in times.items()}


def conflicting(players, columns, seed=0):
    """Normal rows with a shared direction of alternating sign."""
    rng = np.random.default_rng(seed)
    signs = np.where(np.arange(players) % 2, -1.0, 1.0)[:, None]
    matrix = rng.normal(size=(players, columns)) + 0.5 * signs * rng.normal(
        size=columns
    )
    return matrix.astype(np.float32)


def weighting_gates(rounds):
    """UPGrad on a given Gramian, next to TorchJD's where it is installed."""
    for players, target in ((8, None), (32, 1.5), (128, 40.0)):
        matrix = conflicting(players, 4000)
        gramian = jnp.asarray(matrix @ matrix.T)
        weigh = jax.jit(aggregators.upgrad_weights)
        functions = {"ours": lambda w=weigh, g=gramian: w(g).block_until_ready()}
        torchjd = _torchjd_upgrad(np.asarray(gramian))
        if torchjd is not None:
            functions["torchjd"] = torchjd
        found = interleaved(functions, rounds)
        figure = f"{found['ours']:.2f} ms"
        if torchjd is not None:
            figure += f" (TorchJD {found['torchjd']:.2f} ms)"
        yield Gate(
            f"UPGrad weighting, P = {players}",
            "" if target is None else f"<= {target} ms",
            figure,
            None if target is None else found["ours"] <= target,
        )


def _torchjd_upgrad(gramian):
    try:
        import torch
        from torchjd.aggregation import UPGradWeighting
    except ImportError:
        return None
    weighting, matrix = UPGradWeighting(), torch.tensor(gramian)
    return lambda: weighting(matrix)


def _on_device(transformation, matrix):
    """A call of one compiled update, and the bytes that it needs beyond its input."""
    step = jax.jit(lambda g, s: transformation.update(g, s)[0])
    state = transformation.init(matrix[0])
    compiled = step.lower(matrix, state).compile()
    memory = compiled.memory_analysis()
    needed = memory.temp_size_in_bytes + memory.output_size_in_bytes
    return lambda: jax.block_until_ready(compiled(matrix, state)), needed


def _vmapped_neat(matrix):
    """NEAT between players by the single-gradient correction, mapped."""
    single = no.neat_correction(opponent=no.given())

    def update(g, state):
        others = (jnp.sum(g, axis=0) - g) / (len(g) - 1)
        corrected, _ = jax.vmap(lambda x, o: single.update(x, state, opponent=o))(
            g, others
        )
        return jnp.mean(corrected, axis=0)

    state = single.init(matrix[0])
    compiled = jax.jit(update).lower(matrix, state).compile()
    return lambda: jax.block_until_ready(compiled(matrix, state))


def transformation_gates(rounds, quick):
    """Whole transformations: ConFIG over the Gramian, NEAT over its mapped form."""
    sizes = ((8, 10**5), (32, 10**4)) if quick else ((8, 10**6), (128, 10**5))
    for players, columns in sizes:
        matrix = jnp.asarray(conflicting(players, columns))
        gram = jax.jit(lambda j: jnp.matmul(j, j.T, precision="highest"))
        config, _ = _on_device(aggregators.config(), matrix)
        mean, _ = _on_device(aggregators.mean(), matrix)
        found = interleaved(
            {
                "gramian": lambda g=gram, m=matrix: g(m).block_until_ready(),
                "config": config,
                "mean": mean,
            },
            rounds,
        )
        ratio = found["config"] / found["gramian"]
        yield Gate(
            f"ConFIG over J @ J.T, ({players}, {columns:.0e})",
            "<= 2",
            f"{ratio:.2f} ({found['config']:.1f} ms; mean {found['mean']:.1f} ms)",
            ratio <= 2,
        )
    yield from _neat_gates(rounds, 10**5 if quick else 10**6)
    yield from _side_by_side(rounds, 10**4 if quick else 10**5)


def _neat_gates(rounds, columns):
    players = 32
    matrix = jnp.asarray(conflicting(players, columns))
    neat, needed = _on_device(no.player_neat_correction(), matrix)
    pairs = no.player_neat_correction(opponent=no.pairwise())
    pairwise, _ = _on_device(pairs, matrix)
    functions = {"neat": neat, "pairwise": pairwise, "vmap": _vmapped_neat(matrix)}
    found = interleaved(functions, rounds)
    ratio = found["vmap"] / found["neat"]
    yield Gate(
        f"NEAT between players, P = 32, N = {columns:.0e}, over its mapped form",
        ">= 4x faster",
        f"{ratio:.1f}x ({found['neat']:.0f} ms; pairwise {found['pairwise']:.0f} ms)",
        ratio >= 4,
    )
    share = needed / (4 * columns)
    yield Gate(
        "the same, memory beyond the input", "<= 2 N", f"{share:.2f} N", share <= 2
    )


def _side_by_side(rounds, columns):
    """Aggregators of both libraries, each over the plain mean of its own framework."""
    ours = {
        "UPGrad": aggregators.upgrad(),
        "DualProj": aggregators.dual_proj(),
        "MGDA": aggregators.mgda(),
        "PCGrad": aggregators.pcgrad(),
        "CAGrad": aggregators.cagrad(0.5),
        "NashMTL": aggregators.nash_mtl(),
        "IMTLG": aggregators.imtl_g(),
        "ConFIG": aggregators.config(),
        "AlignedMTL": aggregators.aligned_mtl(),
        "FairGrad": aggregators.fairgrad(1.0),
        "GradDrop": aggregators.graddrop(0),
        "TrimmedMean": aggregators.trimmed_mean(1),
        "Krum": aggregators.krum(1),
        "GeometricMedian": aggregators.geometric_median(),
    }
    for players in (8, 32):
        matrix = conflicting(players, columns)
        functions = {"mean": _on_device(aggregators.mean(), jnp.asarray(matrix))[0]}
        for name, transformation in ours.items():
            functions[name] = _on_device(transformation, jnp.asarray(matrix))[0]
        theirs = _torchjd_aggregators(matrix, players)
        functions |= {f"torchjd {name}": call for name, call in theirs.items()}
        found = interleaved(functions, rounds)
        for name in ours:
            figure = f"{found[name]:.2f} ms, {found[name] / found['mean']:.1f}x mean"
            peer = found.get(f"torchjd {name}")
            if peer is not None:
                ratio = peer / found["torchjd mean"]
                figure += f" (TorchJD {peer:.2f} ms, {ratio:.1f}x mean)"
            yield Gate(f"{name}, ({players}, {columns:.0e})", "", figure, None)


def _torchjd_aggregators(matrix, players):
    try:
        import torch
        from torchjd import aggregation as peer
    except ImportError:
        return {}
    made = {
        "mean": peer.Mean(),
        "UPGrad": peer.UPGrad(),
        "DualProj": peer.DualProj(),
        "MGDA": peer.MGDA(),
        "PCGrad": peer.PCGrad(),
        "CAGrad": peer.CAGrad(c=0.5),
        "NashMTL": peer.NashMTL(n_tasks=players),
        "IMTLG": peer.IMTLG(),
        "ConFIG": peer.ConFIG(),
        "AlignedMTL": peer.AlignedMTL(),
        "FairGrad": peer.FairGrad(alpha=1.0),
        "GradDrop": peer.GradDrop(),
        "TrimmedMean": peer.TrimmedMean(1),
        "Krum": peer.Krum(1),
    }
    tensor = torch.tensor(matrix)

    def call(aggregator):
        with torch.no_grad():
            return aggregator(tensor)

    return {name: lambda a=a: call(a) for name, a in made.items()}


def main():
    """Runs what is asked for and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--only", choices=("accuracy", "time"), help="half of it")
    options = parser.parse_args()
    device = jax.devices()[0].device_kind
    print(f"jax {jax.__version__}, {device}, {jax.device_count()} device(s)")
    if options.only != "time":
        recorded = json.loads(DATA.read_text())
        show(list(accuracy_gates(recorded, 10 if options.quick else 100)))
    if options.only != "accuracy":
        rounds = 3 if options.quick else 15
        gates = list(weighting_gates(rounds))
        show(gates + list(transformation_gates(rounds, options.quick)))


if __name__ == "__main__":
    main()
