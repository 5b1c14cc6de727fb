"""The original's recorded cases, and which of them this library differs from, and why.

The recordings were made with neat-optim's float32 engine; each case holds inputs, the
options that are not default, and what came out after every step.
"""

import json
import pathlib

import numpy as np

_FILE = pathlib.Path(__file__).parent / "data" / "neat_optim.json"

SCALE_FREE = "conflict does not fade where norms are small (docs/math.md, D1)"
EXACT_THRESHOLD = "a threshold of 1 lets exact opposition pass (D2)"
RAW_BOUND = "the bound on the correction holds in plain coordinates (D3)"
REAL_L2 = "coupled weight decay is classical L2 (D4)"
ZEROS_LAST = "thresholds come after lookahead, so that zeros stay (D5)"

DIFFERENCES = {
    "threshold_1.0_blocks_exact_opposition": EXACT_THRESHOLD,
    "tiny_opponent_norm_1e-5_projection_zeroed": SCALE_FREE,
    "tiny_opponent_norm_1e-5_cosine_active": SCALE_FREE,
    "tiny_gradient_1e-5_eps_damping": SCALE_FREE,
    "tiny_opponent_same_inputs_reference": SCALE_FREE,
    "precond_nce_norm_exceeds_raw_clip": RAW_BOUND,
    "random_combo_08": REAL_L2,
    "random_combo_11": ZEROS_LAST,
    "lookahead_after_prune_revives_weights": ZEROS_LAST,
}


def load(kind):
    """The cases of one kind, by name."""
    cases = json.loads(_FILE.read_text())
    return {case["name"]: case for case in cases if case["kind"] == kind}


def array(values, shape=None):
    """A recorded array; non-finite entries are recorded as text."""
    result = np.array(values, dtype=np.float64)
    return result if shape is None else result.reshape(shape)


def close(actual, expected):
    """The agreement asked for."""
    return np.allclose(actual, expected, rtol=2e-5, atol=2e-6)
