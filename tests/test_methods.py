"""The table of methods: made from its file, complete, and true of this library."""

import importlib.util
import inspect
import operator
import pathlib
import re

import optax

import house
import neat_optax as neo
import neat_optax.games

DOCS = pathlib.Path(__file__).parents[1] / "docs"
SPEC = importlib.util.spec_from_file_location("make_methods", DOCS / "make_methods.py")
make_methods = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(make_methods)
ROWS = [(s["peers"], row) for s in make_methods.sections() for row in s["rows"]]
HERE = [
    name
    for _, (_, here, *_) in ROWS
    if not here.startswith("(")
    for name in re.sub(r" \(.*\)", "", here).split(", ")
]


def test_the_page_is_what_the_file_makes():
    assert (DOCS / "methods.md").read_text() == make_methods.page()


def test_every_row_has_a_cell_for_each_peer_and_one_of_ours():
    assert [row for peers, row in ROWS if len(row) != 2 + len(peers)] == []
    assert [row for _, row in ROWS if not row[1]] == []


def test_every_name_of_ours_is_there():
    for name in HERE:
        root, _, rest = name.partition(".")
        start = optax if root == "optax" else neo
        path = rest if root == "optax" else name
        assert callable(operator.attrgetter(path)(start)), name


def test_every_method_with_a_source_has_a_row():
    rooms = ("aggregators", "continual", "games")
    cited = {
        name.partition(".")[2]
        for name, value in house.public_names(neo).items()
        if hasattr(value, "__cites__") and inspect.isfunction(value)
        if name.split(".")[1] in rooms
    }
    rules = {name for name in cited if name.endswith("_weighting")}
    assert cited - rules - set(HERE) == set()
