"""The site: a page for each name, no page lost, no dead link, examples that are run.

Nothing is built here; `docs/build.sh` does that, with warnings as errors.
"""

import ast
import importlib.util
import inspect
import json
import pathlib
import re
import sys
import tomllib
import types

import pytest

PROJECT = pathlib.Path(__file__).parents[1]
DOCS = PROJECT / "docs"


def script(name: str) -> types.ModuleType:
    """A module of the folder of pages."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_symbols, show_sources = script("make_symbols"), script("show_sources")

URLS = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["urls"]
REPOSITORY = URLS["Source"].removeprefix("https://github.com/")
OURS = rf"https://(?:colab\.research\.google|github)\.com(?:/github)?/{REPOSITORY}"
"""The beginning of a link to a file of this repository, or of one that Colab opens."""
FRAGMENTS = {"evidence_head"}
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path
    for kind in ("*.md", "*.ipynb")
    for folder in (".", "evidence", "howto", "notebooks")
    for path in sorted((DOCS / folder).glob(kind))
    if path.stem not in FRAGMENTS
}
OUTSIDE = {name: PROJECT / name for name in ("README.md", "CHANGELOG.md")}
OUTSIDE["CONTRIBUTING.md"] = PROJECT / "CONTRIBUTING.md"
LINKING = {**OUTSIDE, **PAGES}
WITHOUT_KERAS = tuple(room for room in make_symbols.ROOMS if room != "keras")
MADE = {page for page in PAGES if page.startswith("evidence/")}
TABLES = MADE | {
    "changelog",
    "contributing",
    "evidence",
    "math",
    "performance",
    "testing",
}
"""Pages of figures, formulas and rules: no program of a reader's is in them."""
COMMANDS = {"command_line": "tests/experiments/commands"}
"""Pages of commands, and the tests that run these."""


@pytest.mark.parametrize(
    "rooms",
    [WITHOUT_KERAS, pytest.param(make_symbols.ROOMS, marks=pytest.mark.slow)],
    ids=["without Keras", "all"],
)
def test_every_public_name_has_a_page(rooms):
    left_out = {f"neat_optax.{room}" for room in {*make_symbols.ROOMS} - {*rooms}}
    pages = make_symbols.pages(make_symbols.names(rooms))
    described = {
        name
        for text in pages.values()
        for name in re.findall(r"^\.\. (?:py:|auto)\w+:: (\S+)$", text, re.M)
    }
    assert {n for n in exported() if n.rpartition(".")[0] not in left_out} <= described


def test_every_page_of_a_name_is_listed_once():
    pages = make_symbols.pages(make_symbols.names(WITHOUT_KERAS))
    entry = re.compile(r"^   \S+ <(\S+)>$", re.M)
    listed = [name for text in pages.values() for name in entry.findall(text)]
    assert sorted([*listed, "index"]) == sorted(f.removesuffix(".rst") for f in pages)
    assert len({name.lower() for name in listed}) == len(listed)


def test_pages_that_docstrings_name_are_links_to_pages_of_the_site():
    named = make_symbols.names(WITHOUT_KERAS)
    spaces = {sys.modules[name.rpartition(".")[0]] for name in named}
    texts = [x.__doc__ for x in (*named.values(), *spaces) if x.__doc__]
    shown = "\n".join([*make_symbols.pages(named).values(), *map(on_page, texts)])
    assert re.findall(r"docs/[\w/]+\.md", shown) == []
    linked = re.findall(r":doc:`/([^`]+)`", shown)
    assert "howto/migrate_neat_optim" in linked
    assert {*linked} <= PAGES.keys()


def on_page(text: str) -> str:
    """A docstring after what is done to its lines when a page is made."""
    lines = inspect.cleandoc(text).splitlines()
    show_sources.docstring(None, "function", "", None, None, lines)
    return "\n".join(lines)


def test_every_page_is_reached_from_the_start_page():
    reached, waiting = set(), ["index"]
    while waiting:
        page = waiting.pop()
        if page in PAGES and page not in reached:
            reached.add(page)
            waiting += entries(page)
    assert PAGES.keys() - reached == set()


@pytest.mark.parametrize("page", LINKING)
def test_no_link_is_dead(page):
    path = LINKING[page]
    assert [x for x in links(path) if not leads_somewhere(path, x)] == []


@pytest.mark.parametrize("page", [p for p, x in PAGES.items() if x.suffix == ".md"])
def test_every_page_has_an_example_that_is_run(page):
    examples = re.findall(r"^ *>>> (.*)", PAGES[page].read_text(), re.M)
    run = [line for line in examples if "+SKIP" not in line]
    if page in COMMANDS:
        assert list((PROJECT / COMMANDS[page]).glob("test_*.py"))
    else:
        assert bool(run) != (page in TABLES)


def exported() -> set[str]:
    """What the files of packages list as `from ... import name as name`."""
    found = set()
    for file in (PROJECT / "neat_optax").rglob("__init__.py"):
        space = ".".join(file.parent.relative_to(PROJECT).parts)
        if "._" in space:
            continue
        for node in ast.parse(file.read_text()).body:
            for alias in node.names if isinstance(node, ast.ImportFrom) else ():
                name = alias.name if alias.name == alias.asname else "_"
                if name[0] != "_" and not is_module(f"{node.module}.{name}"):
                    found.add(f"{space}.{name}")
    return found


def is_module(name: str) -> bool:
    path = PROJECT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def entries(page: str) -> list[str]:
    """What the tables of contents of a page name; `*` stands for all that fits."""
    blocks = re.findall(
        r"^```\{toctree\}\n(.*?)^```", PAGES[page].read_text(), re.M | re.S
    )
    names = [x for block in blocks for x in block.split("\n") if x and x[0] != ":"]
    fitting = [p for p in PAGES for x in names if pathlib.PurePath(p).match(x)]
    return [*names, *fitting]


def prose(path: pathlib.Path) -> str:
    """The text of a page or of a notebook, without its code."""
    text = path.read_text()
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        shown = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
        text = "\n\n".join(shown)
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


def links(path: pathlib.Path) -> list[str]:
    """Targets of links, of pictures and of cards."""
    text = prose(path)
    cards = re.findall(r"^:link: (\S+)\n:link-type: doc$", text, re.M)
    inline = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text))
    return [*inline, *(f"{card}.*" for card in cards)]


def leads_somewhere(path: pathlib.Path, link: str) -> bool:
    """Whether there is such a file, with such a heading; links to elsewhere pass."""
    target, _, anchor = link.partition("#")
    file = path.parent / target if target else path
    if ours := re.match(rf"{OURS}/blob/main/(.+)", target):
        file = PROJECT / ours[1]
    elif re.match(r"\w+:", target):
        return True
    if target.endswith(".*"):
        return target == "symbols/index.*" or any(path.parent.glob(target))
    return file.exists() and (not anchor or anchor in anchors(file))


def anchors(path: pathlib.Path) -> set[str]:
    """The anchors of headings, as GitHub and MyST make them."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+?)\s*$", prose(path), re.M):
        words = re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading.lower())
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        again = sum(bool(re.fullmatch(rf"{slug}(-\d+)?", other)) for other in found)
        found.append(f"{slug}-{again}" if again else slug)
    return {*found}


@pytest.mark.parametrize(
    ("text", "page", "listed", "target"),
    [
        ("upgrad", "aggregators", True, "aggregators.upgrad"),
        ("weights", "evolution_search", True, "evolution.weights"),
        ("weights", "aggregators", True, None),
        ("evaluate", "evolution_search", True, None),
        ("momentum(0.9)", "math", True, "opponents.momentum"),
        ("conflict", "math", True, None),
        ("neo.per_leaf", "concepts", False, "per_leaf"),
        ("per_leaf", "concepts", False, None),
        ("adapt_alpha", "math", False, "adapt_alpha"),
    ],
)
def test_words_are_linked_where_they_stand_for_a_name(
    monkeypatch, text, page, listed, target
):
    pytest.importorskip("sphinx", reason="needs the extra docs")
    monkeypatch.setattr(sys, "path", [str(DOCS), *sys.path])
    found = script("link_names").named(text, page, listed)
    assert found == (None if target is None else f"neat_optax.{target}")
