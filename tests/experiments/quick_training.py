"""Training as it is, whose compiling takes a third of the time, and is done once."""

import contextlib

import pytest

import running
from neat_optax.experiments.runs import experiment


@contextlib.contextmanager
def quickly():
    """Compiles quickly, and once for one candidate of the same configuration.

    A run that goes on shares what is compiled with the run that was stopped.
    """
    make, kept = experiment.make_candidate, {}

    def make_candidate(name, config, *rest):
        key = name, repr(config), experiment.make_trainer
        if key not in kept:
            kept[key] = make(name, config, *rest)
        return kept[key]

    with running.quickly(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "make_candidate", make_candidate)
        yield
