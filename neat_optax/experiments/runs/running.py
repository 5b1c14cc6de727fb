"""What the commands share while they run: a bar, Ctrl-C, and how to go on."""

import contextlib
import shlex
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich import progress
from rich.console import Console


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


def command(arguments: Sequence[str], name: str) -> str:
    """The line for a shell that goes on with a run.

    Args:
      arguments: the command line that began it.
      name: of the run.

    Example:
      >>> print(command(["evolve", "--output", "a b"], "sum-1"))
      neat-optax evolve --output 'a b' --name sum-1
    """
    named = any(x == "--name" or x.startswith("--name=") for x in arguments)
    last = [f"--name={name}"] if name.startswith("-") else ["--name", name]
    return shlex.join(["neat-optax", *arguments, *([] if named else last)])


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
