import pytest

from neat_optax.experiments.benchmarks.pinn import methods

ALL = {
    "aggregators": methods.AGGREGATORS,
    "optimizers": methods.OPTIMIZERS,
    "parts": methods.PARTS,
}


@pytest.mark.parametrize("name", ALL)
def test_all_methods_of_a_study_try_as_many_rates(name):
    assert {len(set(own.rates)) for own in ALL[name].values()} == {3}
    assert next(iter(ALL[name])) == methods.SUM


def test_only_what_sums_takes_one_gradient():
    known = methods.AGGREGATORS | methods.OPTIMIZERS
    sums = {name for name, own in known.items() if own.sums}
    assert sums == {"sum", "soap", "muon", "shampoo"}
