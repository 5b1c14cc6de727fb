"""Agreement of the records with NeuroPlastic's recorded diagnostics.

The original adds up over all arrays and steps. Here each step's records are read from
the state, one number for each array, and added up the same way.
"""

import jax
import numpy as np
import pytest

import running
from neat_optax._recording import Recorded
from plasticity_goldens import CASES, CLOSE, of, states_of

NOT_RECORDED = {
    "parameter_norm": "the parameters are the caller's, and no update",
    "weight_decay_term_norm": "decay is a transformation of Optax",
    "alpha_median": "P9: of each array; see the test of the median",
}
ZEROS = "P1: a signal of zeros counts as 1, not as 0"
CLIPPED = "P2: the mixture is clipped again"
ROUNDING = "the original takes the root of a difference of sums in float32"
NO_RATIO = "P1: 0 where the gradient is zero; the original divides by 1e-12"
DIFFERENT = {
    "traj_rule_not_parameterwise": {"alpha_std": ROUNDING},
    "alpha_goes_negative_with_scale2": {
        "alpha_mean": CLIPPED,
        "alpha_std": CLIPPED,
        "alpha_min": CLIPPED,
        "plasticity_delta_norm": CLIPPED,
    },
    "zero_gradient_steps": {
        "alpha_mean": ZEROS,
        "alpha_std": ROUNDING,
        "alpha_min": ZEROS,
        "alpha_max": ZEROS,
        "alpha_fraction_near_min": ZEROS,
        "effective_to_gradient_norm_ratio": NO_RATIO,
    },
}


FAST = "zero_gradient_steps", "traj_orthogonal_raw", "traj_adamw_gain_cap_binds"
"""Of each kind one; each measure by itself is asked for by hand elsewhere."""


class Steps:
    """What is recorded by name: arrays [steps, scopes], and their sizes."""

    def __init__(self, state):
        found = columns_of(state)
        beside = lambda columns: np.concatenate(columns, axis=1)  # noqa: E731
        self.values = {k: beside([x for _, x in pairs]) for k, pairs in found.items()}
        self.sizes = {k: beside([x for x, _ in pairs]) for k, pairs in found.items()}

    def __contains__(self, name):
        return name in self.values

    def __getitem__(self, name):
        return self.values[name]

    def mean(self, name, arrays=slice(None)):
        """The mean over all entries of some arrays."""
        values, sizes = self[name][:, arrays], self.sizes[name][:, arrays]
        return np.average(values, weights=sizes) if values.size else 0.0


def columns_of(state):
    """Sizes and latest values by name, those of several holders side by side."""

    def is_recorded(node):
        return isinstance(node, Recorded)

    found = {}
    for holder in jax.tree.leaves(state, is_leaf=is_recorded):
        if is_recorded(holder):
            for name, latest in holder.latest._asdict().items():
                found.setdefault(name, []).append((holder.size, latest.astype(float)))
    return found


def norm(values):
    """The norm of all arrays and steps together."""
    return np.sqrt(np.sum(values**2))


def of_coefficients(steps):
    mean = steps.mean("plasticity")
    squares = steps["plasticity_std"] ** 2 + steps["plasticity"] ** 2
    variance = np.average(squares, weights=steps.sizes["plasticity"]) - mean**2
    return dict(
        alpha_mean=mean,
        alpha_std=np.sqrt(max(variance, 0)),
        alpha_min=np.min(steps["plasticity_min"]),
        alpha_max=np.max(steps["plasticity_max"]),
        alpha_fraction_near_min=steps.mean("near_minimum"),
        alpha_fraction_near_max=steps.mean("near_maximum"),
    )


def of_norms(steps):
    multiplier = steps.values.get("rate_multiplier", 1.0)
    gradient, raw = norm(steps["gradient_norm"]), norm(steps["unclipped_norm"])
    root = np.sqrt(steps.sizes["rms_after"])
    effective = norm(multiplier * root * steps["rms_after"])
    return dict(
        raw_gradient_norm=gradient,
        raw_update_norm=raw,
        effective_update_norm=effective,
        effective_to_gradient_norm_ratio=effective / gradient if gradient else 0.0,
        stabilization_norm_ratio=effective / raw,
    )


def of_residuals(steps):
    """By Pythagoras, the orthogonal part is what the signal's cosine leaves over."""
    g, s = steps["residual_gradient_norm"], steps["signal_norm"]
    o = s * np.sqrt(1 - steps["signal_cosine"] ** 2)
    with_signal, with_residual = (
        np.sum(steps[name] * g * length) / (norm(g) * norm(length))
        for name, length in (("signal_cosine", s), ("residual_cosine", o))
    )
    return dict(
        orthogonal_signal_norm=norm(s),
        orthogonal_residual_norm=norm(o),
        cosine_similarity_grad_plasticity=with_signal,
        cosine_similarity_grad_orthogonal=with_residual,
        orthogonal_skip_fraction=np.mean(steps["residual_skipped"]),
        plasticity_delta_norm=norm(steps["residual_norm"]),
    )


def groups(case):
    """The numbers of the arrays of each group, by position."""
    arrays = [np.asarray(x) for x in case["inputs"]["params"]]
    blocks = max(len(arrays) - 2, 0)
    return dict(
        conv=[n for n, x in enumerate(arrays) if x.ndim == 4],
        classifier=list(range(blocks, len(arrays))),
        early_blocks=list(range(-(-blocks // 2))),
        late_blocks=list(range(blocks // 2, blocks)),
    )


def of_modulation(steps, case):
    added = steps["modulation_norm"]
    found = dict(
        plasticity_delta_norm=norm(added),
        modulation_active_fraction=steps.mean("modulation_active"),
    )
    for group, arrays in groups(case).items():
        share = steps.mean("modulation_active", arrays)
        found[f"modulation_magnitude_{group}"] = norm(added[:, arrays])
        found[f"modulation_active_fraction_{group}"] = share
    return found


def of_controller(steps):
    """All groups that there are have the one multiplier."""
    found = {}
    for theirs, ours in (("signal", "rate_signal"), ("multiplier", "rate_multiplier")):
        for statistic in (np.mean, np.min, np.max):
            name = f"controller_{theirs}_{statistic.__name__}"
            found[name] = statistic(steps[ours])
        for group in ("classifier", "early_blocks", "late_blocks"):
            found[f"controller_{theirs}_mean_{group}"] = np.mean(steps[ours])
    clipped = np.mean(steps["rate_clipped"])
    ends = dict.fromkeys(("low", "high"), clipped)
    return found | {f"controller_clamp_fraction_{end}": x for end, x in ends.items()}


def ours(case):
    """What is recorded, under the original's names."""
    state, beside = states_of(case["name"])
    steps = Steps(state)
    found = of_coefficients(steps) | of_norms(steps)
    if "signal_norm" in steps:
        return found | of_residuals(steps)
    if "modulation_norm" in steps:
        return found | of_modulation(steps, case)
    found["plasticity_delta_norm"] = norm(Steps(beside)["signal_norm"])
    return found | (of_controller(steps) if "rate_signal" in steps else {})


@pytest.mark.fast("traj_orthogonal_raw", "zero_gradient_steps")
@of("optimizer", FAST)
@running.quickly()
def test_diagnostics(case):
    """What is not recorded, since no transformation does it, has no effect there."""
    found = ours(case)
    differences = DIFFERENT.get(case["name"], {})
    for name, recorded in case["expected"]["diagnostics_cumulative"].items():
        if name in NOT_RECORDED:
            continue
        idle = 1.0 if "multiplier" in name else 0.0
        agree = np.allclose(found.get(name, idle), recorded, **CLOSE)
        assert agree != (name in differences), (name, found.get(name), recorded)


@of("optimizer", FAST)
def test_median(case):
    """The median of all entries and steps is between the medians of each.

    The original gives the middle of one of 64 bins, and leaves out what is out of
    bounds.
    """
    config = case["config"]["plasticity"]
    width = config.get("max_alpha", 2.0) - config.get("min_alpha", 0.2)
    medians = Steps(states_of(case["name"])[0])["plasticity_median"]
    recorded = case["expected"]["diagnostics_cumulative"]["alpha_median"]
    off = width / 128 + width / 4096 + 1e-6
    inside = np.min(medians) - off <= recorded <= np.max(medians) + off
    assert inside == (case["name"] != "zero_gradient_steps"), ZEROS


def test_every_difference_is_one_of_a_recorded_case():
    recorded = {case["name"]: case["expected"] for case in CASES}
    for name, differences in DIFFERENT.items():
        assert set(differences) <= set(recorded[name]["diagnostics_cumulative"])
