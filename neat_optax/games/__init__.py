"""Games of several players, each with parameters and a loss of its own."""

from neat_optax.games._cgd import cgd as cgd
from neat_optax.games._consensus import consensus as consensus
from neat_optax.games._extragradient import (
    PastExtragradientState as PastExtragradientState,
)
from neat_optax.games._extragradient import extragradient as extragradient
from neat_optax.games._extragradient import past_extragradient as past_extragradient
from neat_optax.games._game import Game as Game
from neat_optax.games._game import Products as Products
from neat_optax.games._game import linearize as linearize
from neat_optax.games._gradients import value_and_grad as value_and_grad
from neat_optax.games._sga import sga as sga
from neat_optax.games._shaping import lola as lola
from neat_optax.games._shaping import lookahead as lookahead
from neat_optax.games._shaping import sos as sos
