"""The command line: `neat-optax train`, `neat-optax compact`, `neat-optax evolve`."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

_HINT = 'the command line needs the extra "train": pip install "neat-optax[train]"'


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit status."""
    try:
        parser = _make_parser()
    except ImportError as error:
        print(f"neat-optax: error: {_HINT} ({error})", file=sys.stderr)
        return 2
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        line = " ".join(str(error).split())  # values may have lines of their own
        print(f"{parser.prog}: error: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _make_parser() -> argparse.ArgumentParser:
    from neat_optax.experiments.commands import (
        compact_command,
        evolve_command,
        train_command,
    )

    parser = _Parser(
        prog="neat-optax",
        description="Train with gradients that disagree, or to few weights, next to "
        "the controls.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    train_command.add_to(commands)
    compact_command.add_to(commands)
    evolve_command.add_to(commands)
    return parser
