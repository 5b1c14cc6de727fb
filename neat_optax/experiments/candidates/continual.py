"""Methods for networks that keep learning, put together to optimizers.

Each is a part at one place or two of an optimizer: a penalty in front, something around
the scaling of gradients, something around the whole, what has the last word about the
new parameters, or a change of the task itself. So they can be put together, and stand
with any scaling. In `CANDIDATES` it is Adam's.
"""

from collections.abc import Callable, Sequence

import optax

import neat_optax as neo
from neat_optax.experiments.candidates import changed_tasks
from neat_optax.experiments.candidates.candidate import Candidate, Setting
from neat_optax.experiments.candidates.continual_parts import PARTS, Part
from neat_optax.experiments.candidates.optimizers import ADAM_RATE, watched
from neat_optax.experiments.data.tasks import Task


def assemble(
    parts: Sequence[Part],
    scaling: Callable[[], optax.GradientTransformation],
    rate: optax.ScalarOrSchedule,
    setting: Setting,
) -> optax.GradientTransformation:
    """The optimizer that has all parts, each at its place, in their order.

    Args:
      parts: any number of them.
      scaling: of gradients, such as `optax.scale_by_adam`.
      rate: the learning rate.
      setting: as candidates get it.
    """
    scaled = scaling()
    for part in parts:
        scaled = scaled if part.scaling is None else part.scaling(scaled, setting)
    before = [part.before(setting) for part in parts if part.before]
    beside = [part.beside(setting) for part in parts if part.beside]
    last = [part.last(setting) for part in parts if part.last]
    descent = optax.scale_by_learning_rate(rate)
    whole = optax.chain(*before, scaled, *beside, descent)
    for part in parts:
        whole = whole if part.around is None else part.around(whole, setting)
    return neo.pass_gradient(optax.chain(whole, *last)) if last else whole


def adapted(parts: Sequence[Part], task: Task) -> Task:
    """The task as these parts change it."""
    for part in parts:
        task = task if part.adapt is None else part.adapt(task)
    return task


def normalizes(parts: Sequence[Part]) -> bool:
    """Whether running moments of inputs stand among the parameters."""
    return any(part.adapt is changed_tasks.normalized for part in parts)


def build(
    parts: Sequence[Part], scaling: Callable[[], optax.GradientTransformation]
) -> Callable[[optax.ScalarOrSchedule, Setting], optax.GradientTransformation]:
    """`assemble`, watched, as a candidate's function of rate and setting."""

    def make(rate: optax.ScalarOrSchedule, setting: Setting):
        return assemble(parts, scaling, rate, setting)

    if not normalizes(parts):
        return watched(make)
    around = watched(make)
    return lambda rate, setting: changed_tasks.keeping_moments(around(rate, setting))


IN_ADAM = tuple(
    name
    for name in PARTS
    if name
    not in (
        "decay",
        "l2-to-init",
        "shrink-and-perturb",
        "reset-dormant",
        "continual-backprop",
    )
)
"""Those that are candidates around Adam here; the others are in `plasticities`."""


def parse(name: str) -> tuple[Part, ...]:
    """The parts of a recipe, such as `l2+weight-clipping`."""
    return tuple(PARTS[part] for part in name.split("+"))


def _candidate(name: str) -> Candidate:
    parts = parse(name)
    about = ", ".join(part.about for part in parts)
    changes = any(part.adapt for part in parts)
    return Candidate(
        build(parts, optax.scale_by_adam),
        ADAM_RATE,
        "perturbed" if name == "upgd" else "adam",
        f"Adam, {about}",
        ("adam",) if name == "upgd" else (),
        lambda _: about,
        adapt=(lambda task: adapted(parts, task)) if changes else None,
    )


CANDIDATES = {name: _candidate(name) for name in IN_ADAM}
"""Watched as all others are."""
