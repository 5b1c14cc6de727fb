"""Gradient transformations for gradients that disagree, on Optax."""

from importlib.metadata import version as _version

from neat_optax import advice as advice
from neat_optax import aggregators as aggregators
from neat_optax import compat as compat
from neat_optax import continual as continual
from neat_optax import evolution as evolution
from neat_optax import games as games
from neat_optax import opponents as opponents
from neat_optax import plasticity as plasticity
from neat_optax import players as players
from neat_optax import plot as plot
from neat_optax import sparsity as sparsity
from neat_optax._citing import cite as cite
from neat_optax._leaves import Scope as Scope
from neat_optax._leaves import by_label as by_label
from neat_optax._leaves import by_path as by_path
from neat_optax._leaves import per_leaf as per_leaf
from neat_optax._leaves import whole_tree as whole_tree
from neat_optax._reading import Diagnostic as Diagnostic
from neat_optax._reading import diagnostics as diagnostics
from neat_optax._recording import restart_means as restart_means
from neat_optax.advice._doctor import doctor as doctor
from neat_optax.conflict._alignment import Alignment as Alignment
from neat_optax.conflict._alignment import Contest as Contest
from neat_optax.conflict._contest import contest as contest
from neat_optax.conflict._correct import adapt_alpha as adapt_alpha
from neat_optax.conflict._correct import adapt_correction as adapt_correction
from neat_optax.conflict._correct import clip_correction as clip_correction
from neat_optax.conflict._correct import dampen_conflict as dampen_conflict
from neat_optax.conflict._correct import project_conflict as project_conflict
from neat_optax.conflict._detect import detect_conflict as detect_conflict
from neat_optax.conflict._gate import gate_by_conflict as gate_by_conflict
from neat_optax.conflict._gate import gate_by_warmup as gate_by_warmup
from neat_optax.conflict._monitor import monitor_correction as monitor_correction
from neat_optax.conflict._monitor import monitor_update as monitor_update
from neat_optax.conflict._neat import neat as neat
from neat_optax.conflict._neat import neat_correction as neat_correction
from neat_optax.conflict._neat import scale_by_neat as scale_by_neat
from neat_optax.conflict._plan import Output as Output
from neat_optax.conflict._rules import neat_rules as neat_rules
from neat_optax.continual._read_activities import read_activities as read_activities
from neat_optax.players._absent import hold_absent as hold_absent
from neat_optax.players._accumulate import accumulate_players as accumulate_players
from neat_optax.players._contest import player_contest as player_contest
from neat_optax.players._examples import (
    value_and_example_grads as value_and_example_grads,
)
from neat_optax.players._explain import explain as explain
from neat_optax.players._features import (
    value_and_feature_grads as value_and_feature_grads,
)
from neat_optax.players._gradients import (
    value_and_player_grads as value_and_player_grads,
)
from neat_optax.players._neat import player_neat_correction as player_neat_correction
from neat_optax.players._norms import example_norms as example_norms
from neat_optax.players._reduced import require_reduced as require_reduced
from neat_optax.players._shared import aggregate_shared as aggregate_shared
from neat_optax.players._shared import param_players as param_players
from neat_optax.players._shared import shared_params as shared_params
from neat_optax.players._update_conflict import (
    monitor_update_conflict as monitor_update_conflict,
)
from neat_optax.transforms._centralize import centralize_outputs as centralize_outputs
from neat_optax.transforms._lookahead import keep_slow_params as keep_slow_params
from neat_optax.transforms._pass_gradient import pass_gradient as pass_gradient
from neat_optax.transforms._precondition import precondition as precondition
from neat_optax.transforms._reset import reset_moments as reset_moments

__version__ = _version("neat-optax")
