"""What `neat-optax train` is asked for, whole and checked."""

import dataclasses
from typing import Any

from neat_optax import _checks
from neat_optax.experiments.candidates import plasticities, prunings
from neat_optax.experiments.candidates.aggregators import AGGREGATORS
from neat_optax.experiments.candidates.candidate import (
    SCHEDULES,
    Lineup,
    with_rate,
)
from neat_optax.experiments.candidates.optimizers import OPTIMIZERS
from neat_optax.experiments.candidates.pruning_methods import Rules
from neat_optax.experiments.commands.options import EPOCHS, TrainOptions
from neat_optax.experiments.data import datasets as data_sets
from neat_optax.experiments.data import networks, streams
from neat_optax.experiments.data.tasks import PLAYERS

MOST_SEEDS = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainOptions):
    """What `neat-optax train` is asked for, of which nothing depends on others.

    Without `players`, `optimizers` are compared; with them, `aggregators`. With `prune`
    it is ways of pruning, and dense training. With `stream`, optimizers meet one task
    after the other.
    """

    epochs: int = EPOCHS

    def __post_init__(self) -> None:
        _checks.check_choice("dataset", self.dataset, tuple(data_sets.LOADERS))
        networks.choose(self.dataset, self.model)
        if self.players is not None:
            _checks.check_choice("players", self.players, PLAYERS)
        for name in ("epochs", "seeds", "batch_size", "keep"):
            _checks.check_count(name, getattr(self, name), minimum=1)
        if self.seeds > MOST_SEEDS:
            raise ValueError(
                f"`seeds` must be at most {MOST_SEEDS}, since all are trained at once, "
                f"got {self.seeds}."
            )
        self.check_run()
        _checks.check_bool("materialize", self.materialize)
        if self.learning_rate is not None:
            _checks.check_number("learning_rate", self.learning_rate, "(0, inf)")
        _checks.check_number("fraction", self.fraction, "(0, 1]")
        _checks.check_number("label_noise", self.label_noise, "[0, 1)")
        _checks.check_choice("schedule", self.schedule, tuple(SCHEDULES))
        _checks.check_number("alpha", self.alpha, "[0, inf)")
        plasticities.check_options(self.neuroplastic)
        self._check_stream()
        self._check_pruning()
        self._check_names()
        self._check_players()

    @property
    def lineup(self) -> Lineup:
        """Whom the names name."""
        if self.prune:
            return prunings.lineup(self.prune, self._rules)
        if self.stream is not None:
            return streams.OPTIMIZERS
        return OPTIMIZERS if self.players is None else AGGREGATORS

    @property
    def network(self) -> networks.Network:
        """What is trained, made for the data."""
        return networks.choose(self.dataset, self.model)

    @property
    def names(self) -> tuple[str, ...]:
        """What is compared."""
        return tuple(name for name, _ in self._asked)

    @property
    def given_rates(self) -> dict[str, float]:
        """The learning rates that are given, by name: each is used as it is."""
        rates = {name: rate or self.learning_rate for name, rate in self._asked}
        return {name: rate for name, rate in rates.items() if rate is not None}

    def rates(self, name: str) -> tuple[float, ...]:
        """The learning rates that a candidate tries."""
        return self.lineup.rates(name, self.given_rates, self.names)

    def settings(self) -> dict[str, Any]:
        """What decides on the numbers of a run: the content of `config.json`."""
        return super().settings() | {"rates": self.given_rates or None}

    @property
    def num_epochs(self) -> int:
        """Passes over the data, over all tasks of a stream."""
        tasks = 1 if self.stream is None else streams.parse(self.stream).num_tasks
        return tasks * self.epochs

    @property
    def _asked(self) -> list[tuple[str, float | None]]:
        """Every name, and the learning rate that stands after it."""
        if self.prune:
            return [(name, None) for name in self.lineup.default]
        texts = self.optimizers if self.players is None else self.aggregators
        return [with_rate(self.lineup.kind, text) for text in texts]

    @property
    def _rules(self) -> Rules:
        given = {name: getattr(self, name) for name in Rules._fields}
        return Rules(**{name: x for name, x in given.items() if x is not None})

    def _check_stream(self) -> None:
        if self.stream is None:
            return
        streams.parse(self.stream)
        _check_left_out("players", self.players, "with a stream")
        _check_left_out("prune", self.prune, "with a stream")
        if self.dataset in data_sets.MULTI_LABEL:
            raise ValueError(
                "`dataset` must be one of one label each for a stream, got "
                f"{self.dataset}."
            )
        if self.network is not networks.usual:
            raise ValueError(
                "`model` must be mlp, and the data no text, for a stream, got "
                f"{self.model or self.dataset}."
            )

    def _check_pruning(self) -> None:
        if not self.prune:
            for name in Rules._fields:
                _check_left_out(name, getattr(self, name), "without pruning")
            return
        _check_left_out("players", self.players, "with pruning")
        _check_left_out("optimizer", self.optimizers, "with pruning")
        _check_left_out("aggregator", self.aggregators, "with pruning")
        self._rules.check()

    def _check_names(self) -> None:
        kind = self.lineup.kind
        for name in self.names:
            _checks.check_choice(kind, name, tuple(self.lineup.candidates))
        if len(set(self.names)) != len(self.names) or not self.names:
            raise ValueError(
                f"`{kind}` must be given at least once and each name once, got "
                f"{', '.join(self.names) or 'none'}."
            )
        if self.players is None:
            hint = ": add --players examples or --players tasks"
            _check_left_out("aggregator", self.aggregators, "without players", hint)
        else:
            _check_left_out("optimizer", self.optimizers, "with players")

    def _check_players(self) -> None:
        if self.players == "tasks" and self.dataset not in data_sets.MULTI_LABEL:
            raise ValueError(
                "`dataset` must be one of several labels for players that are tasks, "
                f"{', '.join(data_sets.MULTI_LABEL)}, got {self.dataset}."
            )
        if self.players != "examples":
            asked = "True" if self.materialize else None
            _check_left_out("materialize", asked, "unless the players are examples")
            if self.num_players is not None:
                raise ValueError(
                    "`num_players` must be left out unless the players are examples, "
                    f"got {self.num_players}."
                )
            return
        _checks.check_count("num_players", self.num_players, minimum=2)
        if self.num_players is None or self.batch_size % self.num_players:
            raise ValueError(
                f"`num_players` must divide the batch size, {self.batch_size}, got "
                f"{self.num_players}."
            )


def _check_left_out(option: str, value: Any, where: str, hint: str = "") -> None:
    if value:
        got = value if isinstance(value, str) else ", ".join(value)
        raise ValueError(f"`{option}` must be left out {where}, got {got}{hint}.")
