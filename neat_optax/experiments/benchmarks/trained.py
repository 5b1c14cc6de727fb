"""Studies on the data sets, networks and candidates of `neat-optax train`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from neat_optax._timing import Step
from neat_optax.experiments.benchmarks.study import Probe, Score, Study
from neat_optax.experiments.candidates.candidate import Lineup
from neat_optax.experiments.commands.config import TrainConfig
from neat_optax.experiments.data.datasets import Data
from neat_optax.experiments.data.tasks import Task
from neat_optax.experiments.runs import experiment

ACCURACY = Score("accuracy", "accuracy", "validation_accuracy")


def of_train(
    name: str,
    about: str,
    config: TrainConfig,
    data: Data,
    task: Task,
    *,
    controls: Iterable[str],
    lineup: Lineup | None = None,
    rates: Mapping[str, tuple[float, ...]] | None = None,
    score: Score = ACCURACY,
    measures: Mapping[str, str],
    probe: Callable[[], Probe] | None = None,
    notes: str = "",
    watched: bool = True,
) -> Study:
    """The study that compares what `neat-optax train` would train.

    Args:
      name: of the study.
      about: what is trained on what, in one sentence.
      config: whose candidates are the methods; the first control is put first.
      data: the parts.
      task: what is trained.
      controls: candidates that stand for doing nothing, to which those are added that
        the lineup names for single methods.
      lineup: whose candidates of all are the methods, in place of the configuration's.
      rates: what each tries, in place of what the lineup says.
      score: of the task that methods are compared by.
      measures: as in `Study`.
      probe: as in `Study`.
      notes: as in `Study`.
      watched: whether what a candidate does is recorded, which takes time.
    """
    controls = tuple(controls)
    given = config.names if lineup is None else tuple(lineup.candidates)
    names = tuple(dict.fromkeys((controls[0], *given)))
    lineup = lineup or config.lineup
    own = (lineup.candidates[name].control for name in names)
    controls = tuple(dict.fromkeys((*controls, *(x for x in own if x in names))))
    fixed = rates or {}
    methods = {
        x: fixed.get(x) or lineup.rates(x, config.given_rates, names) for x in names
    }

    def trainer(method: str, watched: bool = watched):
        return experiment.make_candidate(
            method,
            config,
            task,
            data,
            watched=watched,
            lineup=lineup,
            rates=methods[method],
        )

    def step(method: str) -> Step:
        make = trainer(method, watched=False).step
        assert make is not None
        return make()

    checked: Mapping[str, Any] = config.settings()
    dropped = (lineup.kind + "s", "seeds")
    settings = {key: x for key, x in checked.items() if key not in dropped}
    return Study(
        name=name,
        about=about,
        methods=methods,
        controls=controls,
        trainer=trainer,
        held_out=data.test,
        score=score,
        seeds=config.seeds,
        num_epochs=config.num_epochs,
        settings=settings,
        measures=measures,
        step=step,
        probe=probe,
        notes=notes,
        checkpoint_every=config.checkpoint_every,
    )
