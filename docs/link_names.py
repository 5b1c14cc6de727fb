"""Links names in code style to their pages: `neo.contest`, or `adapt_alpha` alone."""

import builtins
import collections
import functools
import inspect
import re
import sys

import make_symbols
from docutils import nodes
from sphinx import addnodes

import neat_optax

OTHERS = ("optax.", "jax.", "flax.", "numpy.")
"""Beginnings of names that intersphinx looks up."""
TYPES = {"Array": "jax.Array", "Any": "typing.Any"}
NAMESPACES = {
    "doctor": "advice",
    "evolution_search": "evolution",
    "evolution_strategies": "evolution",
    "performance": "aggregators",
    "players": "aggregators",
    "preferences": "aggregators",
    "quickstart": "opponents",
    "scaling": "aggregators",
    "tutorial": "aggregators",
}
"""Of pages that are not called like the one that most of their tables are about."""
LINKED = (nodes.reference, addnodes.pending_xref, nodes.title, addnodes.desc_signature)


def link(app, doctree: nodes.document) -> None:
    """Puts a reference around each literal that is the name of one public object."""
    page = app.env.current_document.docname
    for node in list(doctree.findall(nodes.literal)):
        target = named(node.astext(), page, _is_listed(node))
        if target and not _has_parent(node, LINKED):
            reference = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True
            )
            node.replace_self(reference)
            reference += node
    for node in list(doctree.findall(addnodes.pending_xref)):
        if node["refdomain"] == "py" and node["reftype"] == "class":
            if target := typed(node["reftarget"], page):
                node["reftarget"] = target
            else:
                node.replace_self(node.children)
        elif node["refdomain"] == "doc":
            if node["reftarget"].endswith("CONTRIBUTING"):  # which a page includes
                node["reftarget"] = "contributing"
            if node.astext().endswith(".md"):
                node["refexplicit"] = False  # the title of the page, not its file
    for block in doctree.findall(nodes.literal_block):
        block.rawsource = block.astext().rstrip()  # doctests end with an empty line
        block[:] = [nodes.Text(block.rawsource)]


def named(text: str, page: str, listed: bool) -> str | None:
    """The full name that a text stands for on a page, if there is one and only one.

    A word of English, like `mean`, stands for a name only where it is called, or in the
    first cell of a row on the pages of its own namespace.
    """
    if text in neat_optax.Diagnostic._fields:
        return None
    name = re.sub(r"\(.*\)$", "", text).removeprefix("neo.")
    if name.startswith(OTHERS) and re.fullmatch(r"[\w.]+", name):
        return name
    if f"neat_optax.{name}" in make_symbols.names():
        return f"neat_optax.{name}"
    home = page.rpartition("/")[2]
    home = NAMESPACES.get(home, home)
    symbol = home.removesuffix("-class")
    if is_symbol := symbol in make_symbols.names():
        if name in parameters(symbol):
            return None
        home = symbol.rpartition(".")[0].removeprefix("neat_optax.")
    places = by_ending()[name]
    if f"neat_optax.{home}.{name}" in places and (listed or is_symbol):
        return f"neat_optax.{home}.{name}"
    word = "_" not in name and "." not in name and name.islower()
    called = listed and "(" in text
    return None if len(places) != 1 or (word and not called) else places[0]


def typed(text: str, page: str) -> str | None:
    """The full name of a type: of what the module of the page's object calls so."""
    symbol = page.rpartition("/")[2].removesuffix("-class")
    module = getattr(make_symbols.names().get(symbol), "__module__", None)
    found = getattr(sys.modules.get(module or ""), text, None)
    public = [name for name, value in make_symbols.names().items() if value is found]
    if public:
        return public[0]
    known = text in make_symbols.names() or hasattr(builtins, text)
    foreign = "." in text and not text.startswith("neat_optax.")
    return text if known or foreign else TYPES.get(text)


def parameters(name: str) -> set[str]:
    """What the arguments of a function, or the fields of a class, are called."""
    try:
        return {*inspect.signature(make_symbols.names()[name]).parameters}
    except (TypeError, ValueError):
        return set()


@functools.cache
def by_ending() -> dict[str, list[str]]:
    """Full names by each of their ends: `upgrad` and `aggregators.upgrad`."""
    ends = collections.defaultdict(list)
    for name in make_symbols.names():
        parts = name.split(".")
        for i in range(1, len(parts)):
            ends[".".join(parts[i:])].append(name)
    return ends


def _is_listed(node: nodes.Node) -> bool:
    """Whether the node is in the first cell of a row of a table."""
    while node.parent is not None:
        if isinstance(node, nodes.entry):
            return node.parent.index(node) == 0
        node = node.parent
    return False


def _has_parent(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return True
    return False
