"""Gates on the correction: warm-up steps and a conflict threshold."""

import optax

from neat_optax import _checks
from neat_optax._schedules import value_at
from neat_optax.conflict._alignment import Contest
from neat_optax.conflict._detect import reaches, stateless_rule


def gate_by_warmup(
    steps: optax.ScalarOrSchedule,
) -> optax.GradientTransformation:
    r"""Rule: no correction during the first `steps` steps.

    .. math:: q \leftarrow q \cdot [t \ge T]

    with :math:`t` counted from 0. The opponent and all averages learn from the start.

    Args:
      steps: :math:`T`, an integer of at least 0, or a schedule.
    """
    _checks.check_count("steps", steps)

    def rule(contest: Contest) -> Contest:
        return contest.scaled(contest.step >= value_at(steps, contest.step))

    return stateless_rule(rule)


def gate_by_conflict(
    threshold: optax.ScalarOrSchedule,
) -> optax.GradientTransformation:
    r"""Rule: no correction where the conflict is below `threshold`.

    .. math:: q \leftarrow q \cdot [c \ge \tau]

    A threshold of 1 still lets exact opposition pass.

    Args:
      threshold: :math:`\tau` in [0, 1], or a schedule.
    """
    _checks.check_number("threshold", threshold, "[0, 1]")

    def rule(contest: Contest) -> Contest:
        measured = contest.detected("gate_by_conflict")
        return contest.scaled(reaches(measured, value_at(threshold, contest.step)))

    return stateless_rule(rule)
