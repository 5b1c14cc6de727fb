"""How the runs of each kind of candidate are shown."""

from typing import Any, NamedTuple


class Column(NamedTuple):
    """A number of each report, under the name that it has there."""

    monitor: str
    form: str
    about: str


class Layout(NamedTuple):
    """How the runs of one kind of candidate are shown."""

    kind: str
    columns: tuple[Column, ...]
    curves: tuple[tuple[str, str], ...]  # monitor, label
    note: str = ""
    time: str = "epoch"  # what the curves go over
    read: str = "mean_over_run"  # where a report holds the columns' measures
    control: str = "control"  # what differences are to

    @property
    def reports(self) -> str:
        """Where a result holds the reports."""
        return f"{self.kind}s"


OPTIMIZERS = Layout(
    kind="optimizer",
    columns=(
        Column(
            "opposed",
            ".1%",
            "share of steps and weights whose gradient opposes its opponent, or its "
            "own average where there is none",
        ),
        Column(
            "correction_ratio",
            ".2%",
            "norm of the correction as a share of the gradient's",
        ),
        Column(
            "gain",
            ".2f",
            "norm of the gradient times its coefficients as a share of the gradient's",
        ),
        Column("plasticity_std", ".2f", "deviation of the coefficients"),
    ),
    curves=(
        ("validation_accuracy", "validation accuracy"),
        ("conflict", "mean conflict"),
        ("correction_ratio", "correction / gradient"),
        ("plasticity", "mean coefficient"),
    ),
)
AGGREGATORS = Layout(
    kind="aggregator",
    columns=(
        Column("conflicting_pairs", ".1%", "share of pairs of players in conflict"),
        Column("opposed", ".0%", "share of steps with any such pair"),
        Column("worst_cosine", "+.2f", "the smallest cosine of a pair"),
        Column(
            "correction_ratio",
            ".3f",
            "turn from the mean, the distance of the update's direction from the mean "
            "gradient's: 0 the same, 1.41 at right angles, 2 opposed",
        ),
    ),
    curves=(
        ("validation_accuracy", "validation accuracy"),
        ("conflicting_pairs", "share of pairs in conflict"),
        ("correction_ratio", "turn from the mean"),
    ),
    note="Adam takes the step",
)
PRUNINGS = Layout(
    kind="pruning",
    columns=(
        Column("sparsity", ".2%", "share of zeros among the kernels"),
        Column(
            "nonzeros",
            ",.0f",
            "parameters that are not zero, biases included; both at the end",
        ),
    ),
    curves=(
        ("validation_accuracy", "validation accuracy"),
        ("loss", "training loss"),
        ("sparsity", "sparsity of the kernels"),
    ),
    note="Adam takes the step",
    read="at_end",
    control="dense",
)
STREAM = Layout(
    kind="optimizer",
    columns=(
        Column("dormant", ".0%", "share of hidden units that hardly react"),
        Column("weight_norm", ".1f", "norm of the parameters"),
    ),
    curves=(
        ("test_accuracy", "test accuracy at the end of a task"),
        ("dormant", "share of dormant units"),
        ("weight_norm", "norm of the parameters"),
    ),
    note="accuracies are means over the ends of tasks, dormant and weights those of "
    "the last",
    time="task",
    read="at_end",
)
_LAYOUTS = (OPTIMIZERS, AGGREGATORS, PRUNINGS)


def layout(result: dict[str, Any]) -> Layout:
    """How a result is shown."""
    if result["config"].get("stream"):
        return STREAM
    (found,) = (known for known in _LAYOUTS if known.reports in result)
    return found
