"""Aggregators: gradients with a leading player axis in, one update out."""

from neat_optax.aggregators._aggregate import aggregate as aggregate
from neat_optax.aggregators._aligned_mtl import aligned_mtl as aligned_mtl
from neat_optax.aggregators._aligned_mtl import (
    aligned_mtl_weights as aligned_mtl_weights,
)
from neat_optax.aggregators._auto_lambda import auto_lambda as auto_lambda
from neat_optax.aggregators._auto_lambda import auto_lambda_slopes as auto_lambda_slopes
from neat_optax.aggregators._averages import constant as constant
from neat_optax.aggregators._averages import constant_weights as constant_weights
from neat_optax.aggregators._averages import mean as mean
from neat_optax.aggregators._averages import mean_weights as mean_weights
from neat_optax.aggregators._averages import random as random
from neat_optax.aggregators._averages import (
    random_weights as random_weights,
)
from neat_optax.aggregators._averages import sum as sum
from neat_optax.aggregators._averages import sum_weights as sum_weights
from neat_optax.aggregators._balancing import balancing_weights as balancing_weights
from neat_optax.aggregators._balancing import (
    grad_norm_balancing as grad_norm_balancing,
)
from neat_optax.aggregators._balancing import ntk as ntk
from neat_optax.aggregators._cagrad import cagrad as cagrad
from neat_optax.aggregators._cagrad import cagrad_weights as cagrad_weights
from neat_optax.aggregators._clip_example_norms import (
    clip_example_norms as clip_example_norms,
)
from neat_optax.aggregators._clip_example_norms import (
    clip_example_norms_weights as clip_example_norms_weights,
)
from neat_optax.aggregators._conflict_free import conflict_free as conflict_free
from neat_optax.aggregators._conflict_free import (
    conflict_free_weights as conflict_free_weights,
)
from neat_optax.aggregators._cosmos import cosmos as cosmos
from neat_optax.aggregators._cosmos import cosmos_weights as cosmos_weights
from neat_optax.aggregators._cr_mogm import cr_mogm as cr_mogm
from neat_optax.aggregators._cr_mogm import cr_mogm_weighting as cr_mogm_weighting
from neat_optax.aggregators._cr_mogm import cr_mogm_weights as cr_mogm_weights
from neat_optax.aggregators._db_mtl import db_mtl as db_mtl
from neat_optax.aggregators._db_mtl import db_mtl_weights as db_mtl_weights
from neat_optax.aggregators._db_mtl import divide_by_losses as divide_by_losses
from neat_optax.aggregators._dcgd import dcgd as dcgd
from neat_optax.aggregators._dcgd import dcgd_weights as dcgd_weights
from neat_optax.aggregators._dual_proj import dual_proj as dual_proj
from neat_optax.aggregators._dual_proj import dual_proj_weights as dual_proj_weights
from neat_optax.aggregators._dwa import dwa as dwa
from neat_optax.aggregators._dwa import dwa_weights as dwa_weights
from neat_optax.aggregators._epo import epo as epo
from neat_optax.aggregators._epo import epo_weights as epo_weights
from neat_optax.aggregators._excess_mtl import excess_mtl as excess_mtl
from neat_optax.aggregators._excess_mtl import excess_mtl_weights as excess_mtl_weights
from neat_optax.aggregators._fairgrad import fairgrad as fairgrad
from neat_optax.aggregators._fairgrad import fairgrad_weights as fairgrad_weights
from neat_optax.aggregators._fairgrad import nash_mtl as nash_mtl
from neat_optax.aggregators._fairgrad import nash_mtl_weights as nash_mtl_weights
from neat_optax.aggregators._famo import famo as famo
from neat_optax.aggregators._famo import famo_weights as famo_weights
from neat_optax.aggregators._geometric_median import (
    geometric_median as geometric_median,
)
from neat_optax.aggregators._geometric_median import (
    geometric_median_weights as geometric_median_weights,
)
from neat_optax.aggregators._gls import gls as gls
from neat_optax.aggregators._gls import gls_weights as gls_weights
from neat_optax.aggregators._go4align import go4align as go4align
from neat_optax.aggregators._go4align import go4align_weights as go4align_weights
from neat_optax.aggregators._graddrop import graddrop as graddrop
from neat_optax.aggregators._graddrop import graddrop_leaf as graddrop_leaf
from neat_optax.aggregators._gradnorm import gradnorm as gradnorm
from neat_optax.aggregators._gradnorm import gradnorm_targets as gradnorm_targets
from neat_optax.aggregators._gradvac import gradvac as gradvac
from neat_optax.aggregators._gradvac import gradvac_weighting as gradvac_weighting
from neat_optax.aggregators._gradvac import gradvac_weights as gradvac_weights
from neat_optax.aggregators._imtl_g import imtl_g as imtl_g
from neat_optax.aggregators._imtl_g import imtl_g_weights as imtl_g_weights
from neat_optax.aggregators._imtl_l import imtl_l as imtl_l
from neat_optax.aggregators._imtl_l import imtl_l_weights as imtl_l_weights
from neat_optax.aggregators._krum import krum as krum
from neat_optax.aggregators._krum import krum_weights as krum_weights
from neat_optax.aggregators._krum import multi_krum as multi_krum
from neat_optax.aggregators._krum import multi_krum_weights as multi_krum_weights
from neat_optax.aggregators._m_config import m_config as m_config
from neat_optax.aggregators._mgda import mgda as mgda
from neat_optax.aggregators._mgda import mgda_weights as mgda_weights
from neat_optax.aggregators._moco import moco as moco
from neat_optax.aggregators._moco import moco_weights as moco_weights
from neat_optax.aggregators._modo import modo as modo
from neat_optax.aggregators._modo import modo_weights as modo_weights
from neat_optax.aggregators._modo import sdmgrad as sdmgrad
from neat_optax.aggregators._modo import sdmgrad_weights as sdmgrad_weights
from neat_optax.aggregators._pbi import pbi as pbi
from neat_optax.aggregators._pbi import pbi_weights as pbi_weights
from neat_optax.aggregators._pcd import pcd as pcd
from neat_optax.aggregators._pcd import pcd_weights as pcd_weights
from neat_optax.aggregators._pcgrad import pcgrad as pcgrad
from neat_optax.aggregators._pcgrad import pcgrad_weighting as pcgrad_weighting
from neat_optax.aggregators._pcgrad import pcgrad_weights as pcgrad_weights
from neat_optax.aggregators._per_player import per_player as per_player
from neat_optax.aggregators._pike import pike as pike
from neat_optax.aggregators._pike import pike_weights as pike_weights
from neat_optax.aggregators._pivrg import pivrg as pivrg
from neat_optax.aggregators._pivrg import pivrg_weights as pivrg_weights
from neat_optax.aggregators._pmgda import pmgda as pmgda
from neat_optax.aggregators._pmgda import pmgda_weights as pmgda_weights
from neat_optax.aggregators._relobralo import relobralo as relobralo
from neat_optax.aggregators._relobralo import relobralo_weights as relobralo_weights
from neat_optax.aggregators._softadapt import softadapt as softadapt
from neat_optax.aggregators._softadapt import softadapt_weights as softadapt_weights
from neat_optax.aggregators._stch import stch as stch
from neat_optax.aggregators._stch import stch_weights as stch_weights
from neat_optax.aggregators._sven import sven as sven
from neat_optax.aggregators._sven import sven_weights as sven_weights
from neat_optax.aggregators._tracking import track_gradient as track_gradient
from neat_optax.aggregators._trimmed_mean import trimmed_mean as trimmed_mean
from neat_optax.aggregators._trimmed_mean import trimmed_mean_leaf as trimmed_mean_leaf
from neat_optax.aggregators._uncertainty import uncertainty as uncertainty
from neat_optax.aggregators._uncertainty import (
    uncertainty_weights as uncertainty_weights,
)
from neat_optax.aggregators._upgrad import upgrad as upgrad
from neat_optax.aggregators._upgrad import upgrad_weights as upgrad_weights
from neat_optax.aggregators._weighting import Decision as Decision
from neat_optax.aggregators._weighting import Players as Players
from neat_optax.aggregators._weighting import Weighting as Weighting
from neat_optax.aggregators._weighting import stateless_weighting as stateless_weighting
