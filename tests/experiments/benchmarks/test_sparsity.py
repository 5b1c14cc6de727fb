import functools

import pytest

import running
from neat_optax.experiments.benchmarks import sparsity
from neat_optax.experiments.candidates.pruning_methods import METHODS


@functools.cache
def studies():
    return {study.name: study for study in sparsity.studies(False, None)}


@pytest.mark.slow
def test_methods_are_held_against_dense_and_rules_against_the_reference():
    methods, rules = studies()["methods"], studies()["rules"]
    assert methods.controls == ("dense",)
    assert {name.split(":")[0] for name in methods.methods} - {"dense", "2"} == {
        name for name in METHODS if name != "n:m"
    }
    assert rules.controls == (sparsity.REFERENCE, "random")
    assert set(rules.methods) == {sparsity.REFERENCE, *sparsity.VARIANTS}
    assert methods.trials == rules.trials == 5


@pytest.mark.slow
def test_variants_differ_in_one_rule_each():
    for name, rules in sparsity.VARIANTS.items():
        changed = [x for x, y in zip(rules, sparsity.Rules(), strict=True) if x != y]
        assert changed == [name]


@pytest.mark.slow
def test_a_variant_prunes_as_much_as_the_reference():
    """By other weights: its first epoch is another one."""
    with running.quickly():
        rows = {}
        for name in (sparsity.REFERENCE, "random"):
            trainer = studies()["rules"].trainer(name)
            rows[name] = trainer.epoch(trainer.init(), 0)[1]
    first, other = rows.values()
    assert (first["sparsity"] > 0).all()
    assert abs(first["sparsity"] - other["sparsity"]).max() < 1e-6
    assert abs(first["loss"] - other["loss"]).max() > 1e-4


@pytest.mark.slow
def test_the_picture_has_methods_by_their_sparsity(tmp_path):
    found = {
        name: {
            "interval": {"mean": x, "low": x - 0.1, "high": x + 0.1},
            "curves": {"sparsity": [0.1, s]},
        }
        for name, x, s in (
            ("dense", 0.9, 0.0),
            ("cubic:0.8", 0.88, 0.8),
            ("cubic:0.9", 0.85, 0.9),
            ("2:4", 0.89, 0.5),
        )
    }
    study = {"methods": found, "options": {"dataset": "digits"}}
    sparsity.pictures({"studies": {"methods": study}}, tmp_path)
    assert (tmp_path / "bench_sparsity_methods.png").stat().st_size > 1000
    sparsity.pictures({"studies": {}}, tmp_path / "none")
