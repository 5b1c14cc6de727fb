"""Asks the doctor about every study of the benchmarks, and counts its hits.

python benchmarks/doctor_hits.py [--data FOLDER] [--kept runs/doctor_hits]

It reads the results that lie beside it and writes results/doctor.json. What the doctor
has said of a study is kept in a folder, so that a run that was stopped goes on; remove
the folder to ask again.
"""

import argparse
import json
import pathlib

import neat_optax as neo
from neat_optax.experiments.benchmarks import catalog, hit_rate, page
from neat_optax.experiments.benchmarks.study import Study

RESULTS = pathlib.Path(__file__).parent / "results"
ABOUT = "Does the doctor recommend what the benchmarks find to be best?"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder of the data sets")
    parser.add_argument("--kept", default="runs/doctor_hits", type=pathlib.Path)
    options = parser.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    judged = []
    for name in catalog.NAMES:
        file = RESULTS / f"{name}.json"
        if not file.exists():
            continue
        outcomes = json.loads(file.read_text())["studies"]
        for study in catalog.find(name).studies(False, options.data):
            outcome = outcomes.get(study.name)
            if hit_rate.is_asked(study, outcome):
                said = ask(study, options.kept / f"{study.name}.json")
                judged.append(hit_rate.judge(study.name, outcome, said))
                print(*judged[-1], flush=True)
    result = page.result("doctor", False, ABOUT, {}, [hit_rate.table(judged)])
    (RESULTS / "doctor.json").write_text(json.dumps(result, indent=1) + "\n")


def ask(study: Study, kept: pathlib.Path) -> str:
    """What the doctor says, or has said, of a study."""
    if not kept.exists():
        assert study.probe is not None
        probe = study.probe()
        found = neo.doctor(
            probe.losses_fn,
            probe.params,
            probe.batches,
            halves=probe.noise if len(probe.batches) == 1 else None,
            players=probe.players,
        )
        kept.write_text(found.to_json())
    return json.loads(kept.read_text())["recommendation"]["method"]


if __name__ == "__main__":
    main()
