"""What the commands share while they run: a bar, Ctrl-C, and how to go on."""

import argparse
import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator
from typing import Any

from rich import progress
from rich.console import Console

from neat_optax.experiments.commands.options import (Option, flag)


def say(console: Console, text: str) -> None:
    """Prints a line as it is, so that what is in it can be copied."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def make_bar(console: Console, noun: str) -> progress.Progress:
    """A bar that counts what the noun names."""
    return progress.Progress(
        progress.TextColumn("{task.description:20}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn(noun),
        progress.TimeElapsedColumn(),
        console=console,
    )


def command(
    verb: str, arguments: argparse.Namespace, options: dict[str, Option], name: str
) -> str:
    """The line for a shell that goes on with a run.

    Args:
      verb: `train` or `evolve`.
      arguments: what the command line held, and nothing that it did not.
      options: which of them count, next to `config`.
      name: of the run.

    Example:
      >>> given = argparse.Namespace(seeds=3, goal=-1e-5, name="a b")
      >>> kinds = {"seeds": Option(int, ""), "goal": Option(float, "")}
      >>> print(command("evolve", given, kinds, "a b"))
      neat-optax evolve --seeds 3 --goal=-1e-05 --name 'a b'
    """
    words = ["neat-optax", verb]
    given = {x: vars(arguments)[x] for x in ("config", *options) if x in arguments}
    for option, value in (given | {"name": name}).items():
        for one in value if isinstance(value, list) else [value]:
            words += _words(flag(option), str(one))
    return shlex.join(words)


def _words(option: str, value: str) -> list[str]:
    """Two words, or one where the second would look like an option."""
    return [f"{option}={value}"] if value.startswith("-") else [option, value]


@contextlib.contextmanager
def stoppable(console: Console, again: str) -> Iterator[Callable[[], None]]:
    """Turns the first Ctrl-C into a request: compiled work must not be cut short.

    Args:
      console: where it is said how to go on.
      again: the command that goes on.

    Yields:
      A function to be called between two pieces of work. It raises KeyboardInterrupt if
      that was asked for.
    """
    requests: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def request(number: int, frame: Any) -> None:
        del frame
        requests.append(number)
        say(console, "stopping at the next checkpoint; Ctrl-C again stops at once")
        signal.signal(signal.SIGINT, before)  # the second one acts at once

    def stop_if_asked() -> None:
        if requests:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, request)
    try:
        yield stop_if_asked
    except KeyboardInterrupt:
        say(console, f"stopped; to go on from the last checkpoint: {again}")
        raise
    finally:
        signal.signal(signal.SIGINT, before)
