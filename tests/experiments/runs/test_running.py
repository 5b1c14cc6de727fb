import io
import shlex
import signal

import pytest
from rich.console import Console

from neat_optax.experiments.runs import running


def make_console():
    return Console(file=io.StringIO(), width=20)


def test_what_is_said_is_one_line_as_it_is():
    console = make_console()
    running.say(console, "a/folder/with/[bold]/and a long name")
    assert console.file.getvalue() == "a/folder/with/[bold]/and a long name\n"


def test_a_bar_counts_what_the_noun_names():
    console = Console(file=io.StringIO(), width=80)
    with running.make_bar(console, "generations") as bar:
        line = bar.add_task("[seed 3]", total=5)
        bar.update(line, completed=2)
    assert "[seed 3]" in console.file.getvalue()
    assert "2/5 generations" in console.file.getvalue()


def test_a_terminal_gets_a_bar():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with running.follow(console, "epochs") as show:
        show("[adam]", 2, 5)
        show("[adam]", 5, 5)
    assert "5/5" in console.file.getvalue()


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch):
    console = Console(file=io.StringIO(), width=20)
    clock = iter([0.0, 1.0, 4.0, 11.5, 12.0, 13.0, 14.0])
    monkeypatch.setattr(running.time, "monotonic", lambda: next(clock))
    with running.follow(console, "epochs") as show:
        for done in (1, 2, 3, 4, 5, 5):
            show("[adam]", done, 5)
    assert console.file.getvalue().splitlines() == [
        "[adam]: 1 of 5 epochs, 1 s",
        "[adam]: 3 of 5 epochs, 12 s",
        "[adam]: 5 of 5 epochs, 13 s",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "train --optimizer neat --optimizer sgd --epochs 3 --name x",
        "train --config 'my file.toml' --learning-rate 1e-05 --name=x",
        "evolve --goal=-1e-05 --batch-size 3 --output 'a b' --name=-x",
    ],
)
def test_the_command_is_what_was_given(line):
    assert running.command(shlex.split(line), "x") == f"neat-optax {line}"


@pytest.mark.parametrize("resumed", ["--resume latest", "--resume=latest"])
def test_the_run_that_was_latest_is_named(resumed):
    line = f"train {resumed} --output x"
    again = running.command(shlex.split(line), "digits-2")
    assert again == "neat-optax train --output x --resume digits-2"


@pytest.mark.parametrize(
    ("name", "option"), [("digits-2", "--name digits-2"), ("-x", "--name=-x")]
)
def test_the_name_that_was_found_is_given_next_time(name, option):
    again = running.command(["train", "--config", "mine.toml"], name)
    assert again == f"neat-optax train --config mine.toml {option}"


def test_the_first_ctrl_c_waits_and_it_is_said_how_to_go_on():
    console, before, reached = make_console(), signal.getsignal(signal.SIGINT), []
    with (
        pytest.raises(KeyboardInterrupt),
        running.stoppable(console, "neat-optax x --name y") as stop_if_asked,
    ):
        stop_if_asked("with 7 epochs")
        signal.raise_signal(signal.SIGINT)
        reached.append("after the signal")
        stop_if_asked("with 8 epochs")
    assert reached
    assert console.file.getvalue() == (
        "stopping when what is begun is done; Ctrl-C again stops at once\n"
        "stopped, with 8 epochs saved; to go on: neat-optax x --name y\n"
    )
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_ctrl_c_acts_at_once():
    console, reached = make_console(), []
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background
    with pytest.raises(KeyboardInterrupt), running.stoppable(console, "again"):
        signal.raise_signal(signal.SIGINT)
        reached.append(1)
        signal.raise_signal(signal.SIGINT)
        reached.append(2)
    assert reached == [1]
    said = console.file.getvalue().splitlines()[-1]
    assert said == "stopped at once; to go on from the last checkpoint: again"


def test_what_went_wrong_with_files_can_go_on():
    console = make_console()
    with pytest.raises(OSError, match="full"), running.stoppable(console, "again"):
        raise OSError("full")
    assert console.file.getvalue() == "what is saved is kept; to go on: again\n"


def test_without_ctrl_c_nothing_is_said():
    console = make_console()
    with running.stoppable(console, "again") as stop_if_asked:
        stop_if_asked("with 8 epochs")
    assert not console.file.getvalue()
