from neat_optax.experiments.benchmarks.pinn import pictures


def row(mean):
    return {"mean": mean}


def test_methods_of_both_studies_are_ranked_and_lost_ones_left_out():
    studies = {
        "beltrami": {"methods": {"sum": row(0.3), "pcgrad": row(0.1)}},
        "beltrami-optimizers": {"methods": {"sum": row(0.3), "muon": row(None)}},
        "burgers": {"methods": {"soap": row(0.0)}},
    }
    found = pictures.methods_of("beltrami", studies)
    assert list(found) == ["sum", "pcgrad"]
    assert pictures.ranked(found, found) == ["pcgrad", "sum"]
    assert pictures.methods_of("kovasznay", studies) == {}
