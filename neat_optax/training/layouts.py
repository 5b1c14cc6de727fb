"""How the runs of each kind of candidate are shown."""

from typing import Any, NamedTuple


class Layout(NamedTuple):
    """How the runs of one kind of candidate are shown."""

    kind: str
    columns: tuple[tuple[str, str, str], ...]  # heading, measure, format
    note: str
    curves: tuple[tuple[str, str], ...]
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
        ("conflicts", "opposed", ".1%"),
        ("correction", "correction_ratio", ".2%"),
        ("gain", "gain", ".2f"),
        ("spread", "plasticity_std", ".2f"),
    ),
    note="conflicts: share of steps and weights whose gradient opposes its opponent, "
    "or its own average where there is none; correction: its norm as a share of the "
    "gradient's; gain: length of the gradient times its coefficients as a share of the "
    "gradient's; spread: deviation of the coefficients.",
    curves=(
        ("validation_accuracy", "validation accuracy"),
        ("conflict", "mean conflict"),
        ("correction_ratio", "correction / gradient"),
    ),
)
AGGREGATORS = Layout(
    kind="aggregator",
    columns=(
        ("pairs", "conflicting_pairs", ".1%"),
        ("steps", "opposed", ".0%"),
        ("worst", "worst_cosine", "+.2f"),
        ("turn", "correction_ratio", ".3f"),
    ),
    note="pairs: share of pairs of players in conflict; steps: share of steps with "
    "such a pair; worst: the smallest cosine of a pair; turn: distance of the update's "
    "direction from the mean gradient's, of at most 2. Adam takes the step.",
    curves=(
        ("validation_accuracy", "validation accuracy"),
        ("conflicting_pairs", "share of pairs in conflict"),
        ("correction_ratio", "turn away from the mean gradient"),
    ),
)


PRUNINGS = Layout(
    kind="pruning",
    columns=(("sparsity", "sparsity", ".2%"), ("nonzero", "nonzeros", ",.0f")),
    note="sparsity: share of zeros among the kernels; nonzero: parameters that are "
    "not zero, biases included; both at the end. Adam takes the step.",
    curves=(
        ("validation_accuracy", "validation accuracy"),
        ("loss", "training loss"),
        ("sparsity", "sparsity of the kernels"),
    ),
    read="at_end",
    control="dense",
)
STREAM = Layout(
    kind="optimizer",
    columns=(
        ("dormant", "dormant", ".0%"),
        ("weights", "weight_norm", ".1f"),
    ),
    note="all at the ends of tasks, averaged; late: the last tenth of the tasks less "
    "the first, in points; dormant: share of hidden "
    "units that hardly react, weights: norm of the parameters, both after the last.",
    curves=(
        ("test_accuracy", "test accuracy at the end of a task"),
        ("dormant", "share of dormant units"),
        ("weight_norm", "norm of the parameters"),
    ),
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
