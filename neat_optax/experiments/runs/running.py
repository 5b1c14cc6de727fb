"""What the commands share while they run: progress, Ctrl-C, and how to go on."""

import contextlib
import math
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich import progress
from rich.console import Console

WIDE = 250
"""Columns of what goes to a file or another program, where nothing has to be folded."""
QUIET = 10.0
"""Seconds between two lines of progress, at least."""

Show = Callable[[str, int, int], None]
"""Gets who is at work, how much is done, and how much there is to do."""


class Stop(KeyboardInterrupt):
    """Ctrl-C between two pieces of work; its text says which is done, and saved."""


def make_console() -> Console:
    """Where a command prints: as wide as a terminal, or wide where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)


def say(console: Console, text: str) -> None:
    """Prints a line as it is, so that what is in it can be copied."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextlib.contextmanager
def follow(console: Console, noun: str) -> Iterator[Show]:
    """Shows progress: by a bar, or where there is no terminal by a line now and then.

    Args:
      console: where it is shown.
      noun: what is counted.

    Yields:
      A `Show`.
    """
    if not console.is_terminal:
        yield _lines(console, noun)
        return
    with make_bar(console, noun) as bar:
        line = bar.add_task("compiling", total=None)

        def show(who: str, done: int, total: int) -> None:
            bar.update(line, description=who, completed=done, total=total)

        yield show


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


def _lines(console: Console, noun: str) -> Show:
    begun, last, shown = time.monotonic(), -math.inf, -1

    def show(who: str, done: int, total: int) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if done == shown or (done < total and now - last < QUIET):
            return
        last, shown = now, done
        say(console, f"{who}: {done} of {total} {noun}, {now - begun:.0f} s")

    return show


def command(arguments: Sequence[str], name: str) -> str:
    """The line for a shell that goes on with a run.

    Args:
      arguments: the command line that began it.
      name: of the run.

    Example:
      >>> print(command(["evolve", "--output", "a b"], "sum-1"))
      neat-optax evolve --output 'a b' --name sum-1
    """
    given, option = list(arguments), "--name"
    for number, argument in enumerate(arguments):
        if argument == "--resume" or argument.startswith("--resume="):
            # which may have said "latest", and later another run is
            del given[number : number + 1 + (argument == "--resume")]
            option = "--resume"
    named = any(x == "--name" or x.startswith("--name=") for x in given)
    last = [f"{option}={name}"] if name.startswith("-") else [option, name]
    return shlex.join(["neat-optax", *given, *([] if named else last)])


@contextlib.contextmanager
def stoppable(console: Console, again: str) -> Iterator[Callable[[str], None]]:
    """Turns the first Ctrl-C into a request: compiled work must not be cut short.

    However it ends before its end, it is said how to go on.

    Args:
      console: where it is said.
      again: the command that goes on.

    Yields:
      A function to be called between two pieces of work, with what is done, which the
      caller saves before anything else. It raises `Stop` if that was asked for.
    """
    requests: list[int] = []
    before = signal.getsignal(signal.SIGINT)

    def request(number: int, frame: Any) -> None:
        del frame
        requests.append(number)
        say(console, "stopping when what is begun is done; Ctrl-C again stops at once")
        signal.signal(signal.SIGINT, before)  # the second one acts at once

    def stop_if_asked(done: str) -> None:
        if requests:
            raise Stop(done)

    signal.signal(signal.SIGINT, request)
    try:
        yield stop_if_asked
    except Stop as stop:
        say(console, f"stopped, {stop} saved; to go on: {again}")
        raise
    except KeyboardInterrupt:
        say(console, f"stopped at once; to go on from the last checkpoint: {again}")
        raise
    except OSError:
        say(console, f"what is saved is kept; to go on: {again}")
        raise
    finally:
        signal.signal(signal.SIGINT, before)
