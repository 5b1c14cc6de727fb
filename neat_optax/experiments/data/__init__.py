"""Data sets, their batches, and the tasks and networks that are made for them."""

from neat_optax.experiments.data.batches import Batches as Batches
from neat_optax.experiments.data.batches import epoch_order as epoch_order
from neat_optax.experiments.data.datasets import load as load
from neat_optax.experiments.data.feeding import DeviceBatches as DeviceBatches
from neat_optax.experiments.data.feeding import grain_batches as grain_batches
from neat_optax.experiments.data.noise import replace_labels as replace_labels
from neat_optax.experiments.data.pairs import make_pairs as make_pairs
from neat_optax.experiments.data.parts import Data as Data
from neat_optax.experiments.data.parts import Split as Split
from neat_optax.experiments.data.text import Vocabulary as Vocabulary
from neat_optax.experiments.data.text import byte_tokens as byte_tokens
from neat_optax.experiments.data.text import encode as encode
from neat_optax.experiments.data.text import encode_characters as encode_characters
from neat_optax.experiments.data.text import encode_sentences as encode_sentences
from neat_optax.experiments.data.text import make_vocabulary as make_vocabulary
from neat_optax.experiments.data.text import read_characters as read_characters
from neat_optax.experiments.data.text import read_sentences as read_sentences
from neat_optax.experiments.data.text import words as words
