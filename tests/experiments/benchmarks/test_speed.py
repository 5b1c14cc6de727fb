import pytest

from neat_optax.experiments.benchmarks import catalog, speed

PRINTED = """jax 0.10, cpu

| gate | target | measured | |
|---|---|---|---|
| a | <= 2 | 1.5 | met |
| b |  | 3 |  |

MLP, multiples
  adam              1.00   12.3
  a long name       1.50   10.0

CNN, multiples
  optimizer         time   memory
  adam              1.00   12.3
nothing here
"""
SCRIPT = """import pathlib, sys
count = pathlib.Path(__file__).with_suffix(".count")
count.write_text(count.read_text() + "x" if count.exists() else "x")
print("| gate | measured |\\n|---|---|\\n| quick | " + " ".join(sys.argv[1:]) + " |")
"""
GIVEN = {"sums": speed.Script("Sums", ("--rounds", "2"), ("--rounds", "9"))}


def test_tables_and_aligned_figures_are_read():
    gates, figures, headed = speed.parse(PRINTED)
    assert gates == (
        "jax 0.10, cpu",
        ("gate", "target", "measured", ""),
        (("a", "<= 2", "1.5", "met"), ("b", "", "3", "")),
    )
    assert figures == (
        "MLP, multiples",
        ("", "measured"),
        (("adam", "1.00 12.3"), ("a long name", "1.50 10.0")),
    )
    assert headed == (
        "CNN, multiples",
        ("optimizer", "time", "memory"),
        (("adam", "1.00", "12.3"),),
    )
    assert speed.parse("nothing\n") == []


def test_a_script_is_run_once_and_what_it_printed_kept(tmp_path):
    scripts = tmp_path / "benchmarks"
    scripts.mkdir()
    (scripts / "sums.py").write_text(SCRIPT)
    asked = []
    for full, rounds in ((False, "2"), (False, "2"), (True, "9")):
        root = tmp_path / f"kept-{full}"
        peers, table = speed.measured(full, root, asked.append, GIVEN, scripts)
        assert [row[0] for row in peers.rows] == list(speed.PEERS)
        assert table.title == "Sums"
        assert table.rows == (("quick", f"--rounds {rounds}"),)
    assert (scripts / "sums.count").read_text() == "xx"
    assert asked == ["before sums"] * 2


def test_what_cannot_run_says_why(tmp_path):
    scripts = tmp_path / "benchmarks"
    scripts.mkdir()
    (scripts / "sums.py").write_text("import of_nobody\n")
    _, table = speed.measured(False, tmp_path, [].append, GIVEN, scripts)
    ((name, reason),) = table.rows
    assert (name, reason) == (
        "Sums",
        "ModuleNotFoundError: No module named 'of_nobody'",
    )


def test_without_a_clone_it_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`bench` must be run in a clone for speed"):
        speed.measured(False, tmp_path, [].append, GIVEN, tmp_path / "none")


def test_every_script_is_there():
    assert speed.BENCHMARK is catalog.find("speed")
    for name in speed.SCRIPTS:
        assert (speed.FOLDER / f"{name}.py").is_file()
