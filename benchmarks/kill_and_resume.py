"""Kills runs of `neat-optax train` at random moments, and goes on with them.

Each run is killed and started again until it ends, and then compared, bit for bit, with
one that nobody disturbed: results, metrics, parameters, states of the optimizers. Then
each file of a last checkpoint is truncated in turn, and the run goes on from the one
before.

Half of the moments are anywhere in the time that a whole run takes. The other half
follow the beginning of a checkpoint, within what one takes. The processes are forked
from one that has imported everything, and read what XLA has compiled from a cache, so
that little of the time is spent elsewhere than in training.

    python benchmarks/kill_and_resume.py --kills 50
"""

import argparse
import collections
import contextlib
import json
import multiprocessing
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time

USUAL = "--dataset wine --batch-size 32 --seeds 2 --checkpoint-every 1 --name run"
KINDS = {
    "random masks": "--prune cubic:0.8 --score random --learning-rate 0.01 --epochs 5",
    "random resets": "--optimizer reset-dormant:0.003 --epochs 5",
    "random players": "--players examples --num-players 4 --aggregator pcgrad:0.003 "
    "--epochs 5",
    "tasks in turn": "--stream permuted:3 --optimizer shrink-and-perturb:0.003 "
    "--epochs 2",
}
"""Runs in which a seed or a state that is lost would be seen."""
WRITING = "checkpoints/*/*.orbax-checkpoint-tmp*"
WRITTEN = "checkpoints/*/epoch_*[0-9]"
LONGEST = 0.15
"""Seconds that a checkpoint takes, at most."""
PATIENCE = 300.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--kinds", type=int, default=len(KINDS), help="of runs")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--truncate", type=int, default=1, help="kinds to damage")
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    kinds = dict(list(KINDS.items())[: asked.kinds])
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(BrokenPipeError):
        root = pathlib.Path(folder)
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(root / "cache")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
        wrong = _kill(root, kinds, asked.kills, rng)
        for kind in list(kinds)[: asked.truncate]:
            wrong += _truncate(root, kind)
    print("all equal" if not wrong else f"{wrong} differ")
    return 1 if wrong else 0


def _kill(root, kinds, kills, rng):
    """How many runs differ from those that nobody disturbed."""
    took = {kind: _whole(root, kind) for kind in kinds}
    counts, wrong, number = collections.Counter(), 0, 0
    while sum(counts.values()) < kills:
        kind = list(kinds)[number % len(kinds)]
        output = root / f"killed-{number}"
        here = collections.Counter()
        while sum((counts + here).values()) < kills:
            moment = _attempt_killed(output, kind, took[kind], rng)
            if moment is None:
                break
            here[moment] += 1
        else:
            _finish(output, kind)
        differing = _differences(root / "whole" / _spelled(kind), output)
        wrong += bool(differing)
        said = ", ".join(f"{n} {moment}" for moment, n in here.items()) or "never"
        print(f"{kind}: killed {said}: {differing or 'equal'}", flush=True)
        counts += here
        number += 1
        shutil.rmtree(output)
    print(f"{sum(counts.values())} kills in {number} runs: {dict(counts)}")
    return wrong


def _whole(root, kind):
    """Makes a run that nobody disturbs; returns the seconds that it takes."""
    output = root / "whole" / _spelled(kind)
    _finish(root / "first", kind)  # compiles
    begun = time.monotonic()
    _finish(output, kind)
    took = time.monotonic() - begun
    differing = _differences(root / "first", output)
    shutil.rmtree(root / "first")
    if differing:
        raise SystemExit(f"{kind}: differs without a kill: {differing}")
    print(f"{kind}: a whole run takes {took:.1f} s", flush=True)
    return took


def _attempt_killed(output, kind, seconds, rng):
    """Starts a run, or goes on with it, and kills it; None if it ends before."""
    process = _start(output, kind)
    if rng.random() < 0.5:
        process.join(rng.uniform(0, seconds))
    else:
        _wait_for_saves(process, output / "run", rng.randrange(1, 8))
        process.join(rng.uniform(0, LONGEST))
    if process.exitcode is not None:
        _check_ended(process, kind)
        return None
    process.kill()
    process.join()
    return _moment(output / "run")


def _wait_for_saves(process, run, count):
    seen = set(run.glob(WRITTEN))
    while process.is_alive() and count:
        new = set(run.glob(WRITING)) - seen
        count -= bool(new)
        seen |= new
        if count:
            time.sleep(0.001)


def _moment(run):
    """What a process was doing when it was killed."""
    if not (run / "config.json").exists():
        return "before anything was written"
    if (run / "result.json").exists():
        return "after the result"
    if list(run.glob(WRITING)):
        return "during a checkpoint"
    if not list(run.glob(WRITTEN)):
        return "before the first checkpoint"
    return "between checkpoints"


def _truncate(root, kind):
    """How many files, when cut in half, change where a run ends."""
    whole = root / "whole" / _spelled(kind)
    stopped = root / "stopped"
    process = _start(stopped, kind)
    while len(list((stopped / "run").glob(WRITTEN))) < 2:
        time.sleep(0.001)
    while process.is_alive() and list((stopped / "run").glob(WRITING)):
        time.sleep(0.001)
    process.kill()
    process.join()
    last = max((stopped / "run").glob(WRITTEN), key=_epoch)
    files = [path for path in sorted(last.rglob("*")) if path.is_file()]
    skipped = wrong = 0
    for file in files:
        output = root / "cut"
        shutil.copytree(stopped, output)
        cut = output / file.relative_to(stopped)
        os.truncate(cut, file.stat().st_size // 2)
        _finish(output, kind)
        differing = _differences(whole, output)
        wrong += bool(differing)
        put_aside = list((output / "run").glob("checkpoints/*/*.damaged-1"))
        skipped += bool(put_aside)
        did = "the one before serves" if put_aside else "read all the same"
        name = file.relative_to(last)
        print(f"{kind}: {last.name}/{name} cut: {did}: {differing or 'equal'}")
        shutil.rmtree(output)
    print(f"{len(files)} files cut, {skipped} checkpoints put aside, {wrong} differ")
    shutil.rmtree(stopped)
    return wrong


def _epoch(path):
    return int(path.name.partition("_")[2])


def _spelled(kind):
    return kind.replace(" ", "-")


def _start(output, kind):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["neat_optax.experiments.commands.train_command"])
    arguments = ["train", *f"{USUAL} {KINDS[kind]} --output {output}".split()]
    output.parent.mkdir(exist_ok=True)
    process = context.Process(target=_train, args=(arguments, f"{output}.log"))
    process.start()
    return process


def _train(arguments, log):
    from neat_optax.experiments.commands import cli

    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(cli.main(arguments))


def _finish(output, kind):
    process = _start(output, kind)
    process.join(PATIENCE)
    _check_ended(process, kind)


def _check_ended(process, kind):
    if process.exitcode != 0:
        raise SystemExit(f"{kind}: ended with {process.exitcode}")


def _differences(expected, found):
    """The names of what two runs do not have alike."""
    texts = {"result.json": _result, "metrics.jsonl": _metrics, "measures.csv": _text}
    differing = [
        name
        for name, read in texts.items()
        if read(expected / "run" / name) != read(found / "run" / name)
    ]
    states = [_states(root / "run" / "checkpoints") for root in (expected, found)]
    if states[0].keys() != states[1].keys():
        return [*differing, "candidates"]
    return differing + [
        name for name in states[0] if states[0][name] != states[1][name]
    ]


def _text(file):
    return file.read_text()


def _result(file):
    result = json.loads(file.read_text())
    return {key: x for key, x in _timeless(result).items() if key != "environment"}


def _metrics(file):
    return [_timeless(json.loads(line)) for line in file.read_text().splitlines()]


def _timeless(value):
    if isinstance(value, dict):
        return {key: _timeless(x) for key, x in value.items() if key != "seconds"}
    return value


def _states(checkpoints):
    """By candidate, all bytes of its last parameters and optimizer's state."""
    import jax
    import orbax.checkpoint as ocp

    found = {}
    for candidate in sorted(checkpoints.iterdir()):
        kept = [x for x in candidate.glob("epoch_*") if ".damaged" not in x.name]
        last = max(kept, key=_epoch)
        with ocp.StandardCheckpointer() as checkpointer:
            tree = checkpointer.restore(last / "state")
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        found[candidate.name] = {"last": last.name} | {
            jax.tree_util.keystr(path): _bytes(leaf) for path, leaf in leaves
        }
    return found


def _bytes(leaf):
    import jax
    import numpy as np

    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
    return array.dtype.str, array.shape, array.tobytes()


if __name__ == "__main__":
    sys.exit(main())
