"""Searching weights with populations, without gradients or together with them."""

from neat_optax.evolution._draws import Draws as Draws
from neat_optax.evolution._draws import fan_in_scale as fan_in_scale
from neat_optax.evolution._measuring import diversity as diversity
from neat_optax.evolution.acceptance import AcceptanceRule as AcceptanceRule
from neat_optax.evolution.acceptance import accepted_share as accepted_share
from neat_optax.evolution.acceptance import minimal_criterion as minimal_criterion
from neat_optax.evolution.acceptance import (
    multiplicative_threshold as multiplicative_threshold,
)
from neat_optax.evolution.acceptance import quantile as quantile
from neat_optax.evolution.adapters import from_ask_tell as from_ask_tell
from neat_optax.evolution.asking import SearchState as SearchState
from neat_optax.evolution.asking import SearchSteps as SearchSteps
from neat_optax.evolution.asking import search_steps as search_steps
from neat_optax.evolution.bounds import clip_population as clip_population
from neat_optax.evolution.breeding import BreederState as BreederState
from neat_optax.evolution.breeding import breeder as breeder
from neat_optax.evolution.breeding import offspring as offspring
from neat_optax.evolution.callbacks import ProgressBar as ProgressBar
from neat_optax.evolution.callbacks import TensorBoard as TensorBoard
from neat_optax.evolution.crossover import Crossover as Crossover
from neat_optax.evolution.crossover import blend as blend
from neat_optax.evolution.crossover import clone as clone
from neat_optax.evolution.crossover import line as line
from neat_optax.evolution.crossover import uniform as uniform
from neat_optax.evolution.distributions import Gaussian as Gaussian
from neat_optax.evolution.distributions import init_gaussian as init_gaussian
from neat_optax.evolution.distributions import (
    pgpe_value_and_grad as pgpe_value_and_grad,
)
from neat_optax.evolution.distributions import snes_sigma_rate as snes_sigma_rate
from neat_optax.evolution.distributions import (
    snes_value_and_grad as snes_value_and_grad,
)
from neat_optax.evolution.evaluating import Evaluator as Evaluator
from neat_optax.evolution.evaluating import of_population as of_population
from neat_optax.evolution.evaluating import outside_jax as outside_jax
from neat_optax.evolution.loading import load as load
from neat_optax.evolution.loading import weights as weights
from neat_optax.evolution.mutation import Mutation as Mutation
from neat_optax.evolution.mutation import absolute as absolute
from neat_optax.evolution.mutation import gaussian as gaussian
from neat_optax.evolution.mutation import multiplicative as multiplicative
from neat_optax.evolution.mutation import reset as reset
from neat_optax.evolution.mutation import unchanged as unchanged
from neat_optax.evolution.population import Population as Population
from neat_optax.evolution.population import (
    PopulationTransformation as PopulationTransformation,
)
from neat_optax.evolution.population import best as best
from neat_optax.evolution.population import chain as chain
from neat_optax.evolution.population import individual as individual
from neat_optax.evolution.population import order as order
from neat_optax.evolution.population import perturb as perturb
from neat_optax.evolution.population import rank as rank
from neat_optax.evolution.population import stack as stack
from neat_optax.evolution.population import unevaluated as unevaluated
from neat_optax.evolution.presets import mutation_breeder as mutation_breeder
from neat_optax.evolution.presets import n_parent_breeder as n_parent_breeder
from neat_optax.evolution.presets import random_weight_breeder as random_weight_breeder
from neat_optax.evolution.presets import two_parent_breeder as two_parent_breeder
from neat_optax.evolution.prune import prune_population as prune_population
from neat_optax.evolution.refinement import refine as refine
from neat_optax.evolution.result import SearchResult as SearchResult
from neat_optax.evolution.search import search as search
from neat_optax.evolution.selection import Selection as Selection
from neat_optax.evolution.selection import linear_rank as linear_rank
from neat_optax.evolution.selection import select as select
from neat_optax.evolution.selection import tournament as tournament
from neat_optax.evolution.selection import truncation as truncation
from neat_optax.evolution.shaping import Shaping as Shaping
from neat_optax.evolution.shaping import centred_ranks as centred_ranks
from neat_optax.evolution.shaping import nes_utilities as nes_utilities
from neat_optax.evolution.shaping import raw as raw
from neat_optax.evolution.shaping import standardised as standardised
from neat_optax.evolution.strategies import es_value_and_grad as es_value_and_grad
