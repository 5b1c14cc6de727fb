"""How a learning rate goes on."""

from collections.abc import Callable
from typing import Any

import optax


def _constant(rate: Any, steps: int) -> optax.ScalarOrSchedule:
    del steps
    return rate


def _cosine(rate: Any, steps: int) -> optax.ScalarOrSchedule:
    return optax.cosine_decay_schedule(rate, steps)


SCHEDULES: dict[str, Callable[[Any, int], optax.ScalarOrSchedule]] = {
    "constant": _constant,
    "cosine": _cosine,
}
"""From a learning rate and the steps of the whole run to the rate of each step."""
