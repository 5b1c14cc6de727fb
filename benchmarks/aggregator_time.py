"""What aggregators cost, next to the plain mean or the Gramian."""

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from gates import Gate

import neat_optax as neo
import player_table
from neat_optax import aggregators


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
        ours = {"ours": lambda w=weigh, g=gramian: w(g).block_until_ready()}
        found = interleaved(ours, rounds)
        figure = f"{found['ours']:.2f} ms"
        peer = _torchjd_upgrad(np.asarray(gramian))
        if peer is not None:
            theirs = interleaved({"torchjd": peer}, rounds)
            figure += f" (TorchJD {theirs['torchjd']:.2f} ms)"
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


def _conflictfree_config(matrix):
    try:
        import torch
        from conflictfree.grad_operator import ConFIG_update
    except ImportError:
        return None
    gradients = torch.tensor(matrix)
    return lambda: ConFIG_update(gradients)


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
    single = neo.neat_correction(opponent=neo.opponents.given())

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
        config, _ = _on_device(aggregators.conflict_free(), matrix)
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
        figure = f"{ratio:.2f} ({found['config']:.1f} ms; mean {found['mean']:.1f} ms"
        peer = _conflictfree_config(np.asarray(matrix))
        if peer is not None:
            theirs = interleaved({"conflictfree": peer}, rounds)
            figure += f"; conflictfree {theirs['conflictfree']:.1f} ms"
        yield Gate(
            f"ConFIG over J @ J.T, ({players}, {columns:.0e})",
            "<= 2",
            f"{figure})",
            ratio <= 2,
        )
    yield from _neat_gates(rounds, 10**6)
    yield from _side_by_side(rounds, 10**4 if quick else 10**5)


def _neat_gates(rounds, columns):
    players = 32
    matrix = jnp.asarray(conflicting(players, columns))
    neat, needed = _on_device(neo.player_neat_correction(), matrix)
    pairs = neo.player_neat_correction(opponent=neo.opponents.pairwise())
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
    """Every aggregator over the plain mean, and TorchJD's over TorchJD's mean."""
    for players in (8, 32):
        matrix = conflicting(players, columns)
        functions = {"mean": _on_device(aggregators.mean(), jnp.asarray(matrix))[0]}
        for name, transformation in _all_of_ours(players).items():
            functions[name] = _on_device(transformation, jnp.asarray(matrix))[0]
        found = interleaved(functions, rounds)
        # Apart: the threads of one framework still spin when the other is called.
        peers = interleaved(_torchjd_aggregators(matrix, players), rounds)
        for name in functions:
            figure = f"{found[name]:.2f} ms, {found[name] / found['mean']:.1f}x mean"
            if name in peers:
                ratio = peers[name] / peers["mean"]
                figure += f" (TorchJD {peers[name]:.2f} ms, {ratio:.1f}x mean)"
            yield Gate(f"{name}, ({players}, {columns:.0e})", "", figure, None)


def _all_of_ours(players):
    """The first of each kind in the contract's table, called as in TorchJD if it is."""
    made = {}
    for entry in player_table.TABLE.values():
        name = entry.factory.__name__
        title = IN_TORCHJD.get(name, name)
        if title in made or vars(aggregators).get(name) is not entry.factory:
            continue
        options = dict(entry.kwargs)
        if "num_players" in options:
            options["num_players"] = players
        if "weights" in options:
            options["weights"] = tuple(np.linspace(-1.0, 1.0, players))
        made[title] = _with_losses(entry.factory(**options))
    return made


def _with_losses(transformation):
    def update(gradients, state, params=None, **extra):
        given = 1 + jnp.arange(len(gradients), dtype=jnp.float32)
        extra = {"losses": given, "traces": given} | extra
        return transformation.update(gradients, state, params, **extra)

    return optax.GradientTransformationExtraArgs(transformation.init, update)


IN_TORCHJD = {
    "sum": "Sum",
    "random": "Random",
    "upgrad": "UPGrad",
    "dual_proj": "DualProj",
    "mgda": "MGDA",
    "pcgrad": "PCGrad",
    "gradvac": "GradVac",
    "cagrad": "CAGrad",
    "nash_mtl": "NashMTL",
    "imtl_g": "IMTLG",
    "conflict_free": "ConFIG",
    "aligned_mtl": "AlignedMTL",
    "fairgrad": "FairGrad",
    "graddrop": "GradDrop",
    "trimmed_mean": "TrimmedMean",
    "krum": "Krum",
    "excess_mtl": "ExcessMTL",
    "pcd": "PCD",
}


def _torchjd_aggregators(matrix, players):
    try:
        import torch
        from torchjd import aggregation as peer
    except ImportError:
        return {}
    options = {
        "CAGrad": {"c": 0.5},
        "NashMTL": {"n_tasks": players},
        "FairGrad": {"alpha": 1.0},
        "TrimmedMean": {"trim_number": 1},
        "Krum": {"n_byzantine": 1},
    }
    tensor = torch.tensor(matrix)

    def call(aggregator):
        with torch.no_grad():
            return aggregator(tensor)

    made = {n: getattr(peer, n)(**options.get(n, {})) for n in IN_TORCHJD.values()}
    made["mean"] = peer.Mean()
    return {name: lambda a=a: call(a) for name, a in made.items()}
