"""`python -m neat_optax` is the command `neat-optax`."""

import sys

from neat_optax.experiments.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
