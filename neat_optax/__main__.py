"""`python -m neat_optax` is the command `neat-optax`."""

import sys

from neat_optax.training.cli import main

if __name__ == "__main__":
    sys.exit(main())
