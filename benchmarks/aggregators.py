r"""The gates of the aggregators: accuracy, conflict, and time.

    python benchmarks/aggregators.py [--quick] [--only accuracy|time]

Accuracy is that of the transformations in float32 on the recorded matrices of the
tests and on random ones, against exact solutions in float64. Times are medians of
interleaved rounds in one process, each next to the plain mean or the Gramian of its own
framework. With the extras "test" and "bench", TorchJD's run on the same matrices.

For the figures of one thread:

    XLA_FLAGS=--xla_cpu_multi_thread_eigen=false OMP_NUM_THREADS=1 \
        taskset -c 0 python benchmarks/aggregators.py
"""

import argparse
import json
import pathlib
import sys

import jax

TESTS = pathlib.Path(__file__).parent.parent / "tests"
DATA = TESTS / "data" / "aggregators.json"
sys.path.append(str(TESTS))  # which hold the exact solutions

from aggregator_accuracy import accuracy_gates  # noqa: E402
from aggregator_time import transformation_gates, weighting_gates  # noqa: E402
from gates import show  # noqa: E402
from projection_gates import family_gates, size_gates  # noqa: E402


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
        show(list(family_gates(3 if options.quick else 30)))
    if options.only != "accuracy":
        rounds = 3 if options.quick else 15
        gates = list(weighting_gates(rounds))
        show(gates + list(transformation_gates(rounds, options.quick)))
        show(list(size_gates(rounds, options.quick)))


if __name__ == "__main__":
    main()
