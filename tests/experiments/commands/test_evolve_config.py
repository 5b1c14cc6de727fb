import pytest

from neat_optax.experiments.commands.evolve_config import EvolveOptions, make_config
from neat_optax.experiments.runs.evolve_tasks import make_task

SUM = make_task("sum")


def test_what_is_not_asked_for_is_the_tasks():
    config = make_config(
        EvolveOptions(task="sum", generations=3, output="elsewhere"), SUM
    )
    assert (config.generations, config.population) == (3, SUM.settings.population)
    assert (config.task, config.goal) == ("sum", SUM.goal)
    assert config.output == "elsewhere"
    assert not {"output", "name", "config"} & set(config.settings())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generations": 0}, "`generations` must be an integer >= 1, got 0"),
        ({"population": 1}, "`population` must be an integer >= 2, got 1"),
        ({"parents": 32}, "`parents` must be less than the number of individuals, 32"),
        ({"elites": 32}, "`elites` must be less than the number of individuals, 32"),
        ({"mutation_rate": 0.0}, r"`mutation_rate` must be in \(0, 1\], got 0.0"),
        ({"acceptance": 1.0}, r"`acceptance` must be in \(0, 1\), got 1.0"),
        ({"seed": -1}, "`seed` must be an integer >= 0, got -1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make_config(EvolveOptions(task="sum", **options), SUM)
