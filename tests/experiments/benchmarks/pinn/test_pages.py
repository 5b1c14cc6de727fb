"""What docs/howto/pinn.md says came of the benchmark follows from its results."""

import json
import pathlib

ROOT = pathlib.Path(__file__).parents[4]
STUDIES = json.loads((ROOT / "benchmarks/results/pinn.json").read_text())["studies"]
SECOND = "-optimizers"
EQUATIONS = {
    name: (study["methods"], STUDIES[name + SECOND]["methods"])
    for name, study in STUDIES.items()
    if name + SECOND in STUDIES
}


def test_nash_mtl_is_better_than_the_sum_on_every_equation():
    assert len(EQUATIONS) > 1
    assert {first["nash-mtl"]["verdict"] for first, _ in EQUATIONS.values()} == {
        "better"
    }


def test_soap_alone_ends_lower_than_any_aggregator_on_all_equations_but_one():
    behind = [
        name
        for name, (first, second) in EQUATIONS.items()
        if second["soap"]["mean"] > min(row["mean"] for row in first.values())
    ]
    assert len(behind) == 1
