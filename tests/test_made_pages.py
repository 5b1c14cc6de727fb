"""Lists for language models, and the picture of the rooms: made from what is there."""

import importlib.util
import pathlib
import re

from PIL import Image

PROJECT = pathlib.Path(__file__).parents[1]
DOCS = PROJECT / "docs"


def load(name):
    """A module of docs/."""
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_llms = load("make_llms")
make_architecture = load("make_architecture")
LINE = r"- \[.+\]\(https://[^)]+/latest/(\S+)\.html\)(: .+)?"


def test_the_list_has_every_page_once_in_the_form_of_llms_txt():
    title, quote, summary, *sections = make_llms.short(make_llms.pages()).split("\n\n")
    assert title == "# neat_optax" and quote.startswith("> ") and summary
    names = []
    for heading, lines in zip(sections[::2], sections[1::2], strict=True):
        assert re.fullmatch("## .+", heading)
        names += [re.fullmatch(LINE, line)[1] for line in lines.splitlines()]
    assert sections[-2] == "## Optional" and "evidence/toy" in names
    assert sorted(names) == sorted(page.name for page in make_llms.pages()[1:])
    assert {"tutorial", "math", "symbols/index"} < {*names}


def test_the_text_has_pages_and_notebooks_and_no_tables_of_contents():
    pages = make_llms.pages()
    text = make_llms.full(pages)
    assert text.startswith("# neat_optax\n") and "```python\nimport jax" in text
    assert all(f"# {make_llms.title(page)}\n" in text for page in pages if page.text)
    assert "## [0.1.0]" in text  # the changelog, which a page takes in
    assert "{toctree}" not in text and "{include}" not in text


def test_the_picture_shows_the_layers_that_are_kept():
    with Image.open(make_architecture.PLACE) as image:
        assert image.text["Description"] == make_architecture.shown()
    assert "experiments: " in make_architecture.shown().splitlines()[0]
