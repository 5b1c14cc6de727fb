"""Studies whose numbers are made up, so that nothing is compiled."""

import numpy as np

from neat_optax.experiments.benchmarks.study import Score, Study
from neat_optax.experiments.runs.loop import Replicas, Trainer

GAINS = {"sum": 0.0, "good": 0.2, "bad": -0.2}
RATES = (0.1, 1.0, 10.0)
SEEDS = 5


def make(methods=tuple(GAINS), *, score=None, calls=None, **changes):
    """A study in which the second of three rates is the best on validation data.

    Args:
      methods: their names, of those in `GAINS`.
      score: what is compared.
      calls: gets the name of each method that is trained, once for each epoch.
      **changes: other fields of the study.
    """
    calls = [] if calls is None else calls
    score = score or Score("accuracy", "accuracy", "validation_accuracy")

    def trainer(name):
        seeds = np.arange(SEEDS) / 1000
        fit = np.repeat([0.3, 0.6, 0.1], SEEDS) + np.tile(seeds, len(RATES))
        # the test would choose the last rate
        test = np.repeat([0.4, 0.5, 0.9], SEEDS) + np.tile(seeds**2, len(RATES))

        def epoch(replicas, number):
            calls.append(name)
            moved = replicas._replace(params=replicas.params + 1)
            rows = {"validation_accuracy": fit, "test_accuracy": test, "opposed": fit}
            return moved, {key: x + number / 100 for key, x in rows.items()}

        def scores(params, split):
            assert split == "held out"
            rate = 1  # all that is looked at
            chosen = test[rate * SEEDS : (rate + 1) * SEEDS] + GAINS[name]
            return {"accuracy": chosen, "steps": params}

        blank = Replicas(np.zeros(len(RATES) * SEEDS), ())
        return Trainer(lambda: blank, lambda: blank, epoch, scores)

    given = {
        "name": "made-up",
        "about": "Numbers.",
        "methods": dict.fromkeys(methods, RATES),
        "controls": (methods[0],),
        "trainer": trainer,
        "held_out": "held out",
        "score": score,
        "seeds": SEEDS,
        "num_epochs": 3,
        "settings": {"size": 1},
        "measures": {"conflict": "opposed"},
    }
    return Study(**{**given, **changes})
