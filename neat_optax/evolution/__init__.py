"""Searching weights with populations, without gradients or together with them."""

from neat_optax.evolution._acceptance import accepted_share as accepted_share
from neat_optax.evolution._acceptance import minimal_criterion as minimal_criterion
from neat_optax.evolution._acceptance import (
    multiplicative_threshold as multiplicative_threshold,
)
from neat_optax.evolution._acceptance import quantile as quantile
from neat_optax.evolution._adapters import from_ask_tell as from_ask_tell
from neat_optax.evolution._asking import SearchState as SearchState
from neat_optax.evolution._asking import SearchSteps as SearchSteps
from neat_optax.evolution._asking import search_steps as search_steps
from neat_optax.evolution._bounds import clip_population as clip_population
from neat_optax.evolution._breeding import BreederState as BreederState
from neat_optax.evolution._breeding import breeder as breeder
from neat_optax.evolution._breeding import offspring as offspring
from neat_optax.evolution._callbacks import ProgressBar as ProgressBar
from neat_optax.evolution._callbacks import TensorBoard as TensorBoard
from neat_optax.evolution._crossover import Crossover as Crossover
from neat_optax.evolution._crossover import blend as blend
from neat_optax.evolution._crossover import clone as clone
from neat_optax.evolution._crossover import line as line
from neat_optax.evolution._crossover import uniform as uniform
from neat_optax.evolution._distributions import Gaussian as Gaussian
from neat_optax.evolution._distributions import init_gaussian as init_gaussian
from neat_optax.evolution._distributions import (
    pgpe_value_and_grad as pgpe_value_and_grad,
)
from neat_optax.evolution._distributions import snes_sigma_rate as snes_sigma_rate
from neat_optax.evolution._distributions import (
    snes_value_and_grad as snes_value_and_grad,
)
from neat_optax.evolution._evaluating import Evaluator as Evaluator
from neat_optax.evolution._evaluating import of_individual as of_individual
from neat_optax.evolution._evaluating import of_population as of_population
from neat_optax.evolution._evaluating import outside_jax as outside_jax
from neat_optax.evolution._loading import load as load
from neat_optax.evolution._loading import weights as weights
from neat_optax.evolution._loop import Limits as Limits
from neat_optax.evolution._measuring import diversity as diversity
from neat_optax.evolution._mutation import Mutation as Mutation
from neat_optax.evolution._mutation import absolute as absolute
from neat_optax.evolution._mutation import gaussian as gaussian
from neat_optax.evolution._mutation import multiplicative as multiplicative
from neat_optax.evolution._mutation import reset as reset
from neat_optax.evolution._mutation import unchanged as unchanged
from neat_optax.evolution._population import Population as Population
from neat_optax.evolution._population import (
    PopulationTransformation as PopulationTransformation,
)
from neat_optax.evolution._population import best as best
from neat_optax.evolution._population import chain as chain
from neat_optax.evolution._population import individual as individual
from neat_optax.evolution._population import order as order
from neat_optax.evolution._population import perturb as perturb
from neat_optax.evolution._population import rank as rank
from neat_optax.evolution._population import stack as stack
from neat_optax.evolution._population import unevaluated as unevaluated
from neat_optax.evolution._presets import mutation_breeder as mutation_breeder
from neat_optax.evolution._presets import n_parent_breeder as n_parent_breeder
from neat_optax.evolution._presets import random_weight_breeder as random_weight_breeder
from neat_optax.evolution._presets import two_parent_breeder as two_parent_breeder
from neat_optax.evolution._prune import prune_population as prune_population
from neat_optax.evolution._refinement import refine as refine
from neat_optax.evolution._result import SearchResult as SearchResult
from neat_optax.evolution._search import search as search
from neat_optax.evolution._selection import Selection as Selection
from neat_optax.evolution._selection import linear_rank as linear_rank
from neat_optax.evolution._selection import select as select
from neat_optax.evolution._selection import tournament as tournament
from neat_optax.evolution._selection import truncation as truncation
from neat_optax.evolution._shaping import Shaping as Shaping
from neat_optax.evolution._shaping import centered_ranks as centered_ranks
from neat_optax.evolution._shaping import nes_utilities as nes_utilities
from neat_optax.evolution._shaping import raw as raw
from neat_optax.evolution._shaping import standardized as standardized
from neat_optax.evolution._strategies import es_value_and_grad as es_value_and_grad
