import jax
import pytest

from neat_optax.experiments.benchmarks import optimizer_variants, optimizers
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS


def test_methods_are_candidates_and_begin_with_the_control():
    for names in (optimizers.SHORT, optimizers.LONG, optimizers.ALL):
        assert names[0] == "control"
        assert len(set(names)) == len(names)
        assert {len(OPTIMIZERS.rates(name, {}, names)) for name in names} == {5}


@pytest.mark.slow
def test_without_files_there_are_digits_and_text(tmp_path, monkeypatch):
    monkeypatch.setattr("neat_optax.experiments.data.files.INSTALLED", tmp_path)
    names = [x.name for x in optimizers.studies(False, str(tmp_path))]
    assert names == ["digits", "digits-ablation", "digits-published", "characters"]


def test_the_published_optimizers_have_one_rate_each():
    assert set(optimizer_variants.RATES) == set(optimizer_variants.PUBLISHED.candidates)
    assert {len(x) for x in optimizer_variants.RATES.values()} == {1}


@pytest.mark.slow
def test_every_variant_takes_a_step(tmp_path):
    _, ablation, published, characters = optimizers.studies(False, str(tmp_path))
    for study in (ablation, published, characters):
        for name in study.methods:
            trainer = study.trainer(name)
            replicas, _ = jax.eval_shape(trainer.epoch, trainer.like(), 0)
            assert jax.tree.structure(replicas) == jax.tree.structure(trainer.like())
