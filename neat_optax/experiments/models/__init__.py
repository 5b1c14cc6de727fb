"""Networks of a size for experiments, in Flax NNX."""

from neat_optax.experiments.models.cnn import CNN as CNN
from neat_optax.experiments.models.cnn import ConvTrunk as ConvTrunk
from neat_optax.experiments.models.heads import MultiHead as MultiHead
from neat_optax.experiments.models.heads import OneHead as OneHead
from neat_optax.experiments.models.mlp import MLP as MLP
from neat_optax.experiments.models.mlp import Trunk as Trunk
from neat_optax.experiments.models.resnet import ResidualTrunk as ResidualTrunk
from neat_optax.experiments.models.resnet import ResNet as ResNet
from neat_optax.experiments.models.transformer import TextTrunk as TextTrunk
from neat_optax.experiments.models.transformer import Transformer as Transformer
