"""Continual learning: dormant units, resets, and regularization to the start."""

from neat_optax.continual._activity import layer_activity as layer_activity
from neat_optax.continual._adamo import adamo as adamo
from neat_optax.continual._adamo import (
    isometry_regularization as isometry_regularization,
)
from neat_optax.continual._anchor import l2_to_init as l2_to_init
from neat_optax.continual._backprop import continual_backprop as continual_backprop
from neat_optax.continual._clipping import weight_clipping as weight_clipping
from neat_optax.continual._dash import dash_weights as dash_weights
from neat_optax.continual._dormancy import dormant_fraction as dormant_fraction
from neat_optax.continual._dormancy import dormant_units as dormant_units
from neat_optax.continual._dormancy import reset_dormant as reset_dormant
from neat_optax.continual._feature_rank import (
    feature_rank_penalty as feature_rank_penalty,
)
from neat_optax.continual._fire import fire as fire
from neat_optax.continual._fire import fire_weights as fire_weights
from neat_optax.continual._measures import effective_rank as effective_rank
from neat_optax.continual._measures import feature_norm as feature_norm
from neat_optax.continual._measures import isometry_deviation as isometry_deviation
from neat_optax.continual._measures import srank as srank
from neat_optax.continual._measures import stable_rank as stable_rank
from neat_optax.continual._normalize_inputs import InputNormalizer as InputNormalizer
from neat_optax.continual._normalize_inputs import normalize_inputs as normalize_inputs
from neat_optax.continual._partial_resets import (
    calibrated_partial_resets as calibrated_partial_resets,
)
from neat_optax.continual._project import (
    project_to_initial_norm as project_to_initial_norm,
)
from neat_optax.continual._read_activities import Activities as Activities
from neat_optax.continual._read_measures import FeatureMeasures as FeatureMeasures
from neat_optax.continual._read_measures import Measures as Measures
from neat_optax.continual._read_measures import WeightMeasures as WeightMeasures
from neat_optax.continual._read_measures import read_measures as read_measures
from neat_optax.continual._regrama import gradient_activity as gradient_activity
from neat_optax.continual._regrama import regrama as regrama
from neat_optax.continual._shrink import shrink_and_perturb as shrink_and_perturb
from neat_optax.continual._snr import self_normalized_resets as self_normalized_resets
from neat_optax.continual._spectral import (
    spectral_regularization as spectral_regularization,
)
from neat_optax.continual._swr import swr as swr
from neat_optax.continual._tortoise import hare_and_tortoise as hare_and_tortoise
from neat_optax.continual._upgd import scale_by_upgd as scale_by_upgd
from neat_optax.continual._upgd import upgd as upgd
