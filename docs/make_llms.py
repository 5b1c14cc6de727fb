"""Makes llms.txt and llms-full.txt, for language models, from the pages of the site.

    python docs/make_llms.py FOLDER

The first lists all pages as https://llmstxt.org says, in the order of the tables of
contents; the second holds their text. The build of the site calls `finish`.
"""

import json
import pathlib
import re
import sys
import tomllib
from typing import NamedTuple

DOCS = pathlib.Path(__file__).parent
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)
INCLUDE = re.compile(r"^```\{include\} (\S+)\n.*?^```$", re.MULTILINE | re.DOTALL)
OPTIONAL = ("evidence/", "testing", "design", "contributing", "changelog")
"""Pages that a short context may leave out."""


class Page(NamedTuple):
    """A page: its section, its name without suffix, its text in Markdown."""

    section: str
    name: str
    text: str


def main(folder: str) -> None:
    """Writes both files."""
    found = pages()
    (pathlib.Path(folder) / "llms.txt").write_text(short(found))
    (pathlib.Path(folder) / "llms-full.txt").write_text(full(found))


def finish(app, exception: Exception | None) -> None:
    """Writes both into a site that was built, as a handler of `build-finished`."""
    if exception is None and app.builder.name == "html":
        main(app.outdir)


def pages() -> list[Page]:
    """All that the tables of contents name, from the start page on."""
    return _beneath("index", "")


def short(found: list[Page]) -> str:
    """The list: one line for each page."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    site = f"{project['urls']['Documentation']}/en/latest"
    parts = [f"# {title(found[0])}", f"> {project['description']}."]
    parts.append(summary(found[0]))
    rest = [p for p in found[1:] if not p.name.startswith(OPTIONAL)]
    optional = [p for p in found[1:] if p.name.startswith(OPTIONAL)]
    sections = {page.section: [] for page in rest}
    for page in rest:
        sections[page.section].append(page)
    sections["Optional"] = optional
    for section, members in sections.items():
        lines = [_line(site, page) for page in members]
        parts.append("\n".join([f"## {section}", "", *lines]))
    return "\n\n".join(part for part in parts if part) + "\n"


def full(found: list[Page]) -> str:
    """The text of all pages, one after the other."""
    texts = [TOCTREE.sub("", page.text).strip() for page in found if page.text]
    return "\n\n---\n\n".join(texts) + "\n"


def title(page: Page) -> str:
    """Its first heading."""
    heading = re.search(r"^# (.+)$", page.text, re.MULTILINE)
    return heading[1] if heading else page.name.partition("/")[0].capitalize()


def summary(page: Page) -> str:
    """The first sentence of its first paragraph, and what answers it; no links."""
    blocks = re.split(r"\n\s*\n", TOCTREE.sub("", page.text).strip())
    prose = [block for block in blocks if re.match(r"[\w`*]", block)]
    if not prose:
        return ""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", " ".join(prose[0].split()))
    first, *rest = re.split(r"(?<=[.?!])\s", plain)
    return f"{first} {rest[0]}" if rest and first.endswith("?") else first


def _line(site: str, page: Page) -> str:
    link = f"- [{title(page)}]({site}/{page.name}.html)"
    return f"{link}: {summary(page)}" if page.text else link


def _beneath(name: str, section: str) -> list[Page]:
    """A page, and all that its tables of contents name."""
    page = Page(section, name, _text(name))
    found = [page]
    for table in TOCTREE.findall(page.text):
        caption = re.search(r"^:caption: (.+)$", table, re.MULTILINE)
        inner = caption[1] if caption else section or "Pages"
        for child in _entries(name, table):
            known = {name, *(page.name for page in found)}
            found += _beneath(child, inner) if child not in known else []
    return found


def _entries(name: str, table: str) -> list[str]:
    """Names of pages from the lines of a table of contents."""
    lines = [x.strip() for x in table.splitlines()]
    targets = [re.sub(r"^.*<(.+)>$", r"\1", x) for x in lines if x and x[0] != ":"]
    folder = (DOCS / name).parent
    found = []
    for target in targets:
        files = [*folder.glob(f"{target}.md"), *folder.glob(f"{target}.ipynb")]
        names = sorted(path.with_suffix("") for path in files)
        found += names if "*" in target else [folder / target.removesuffix(".md")]
    return [path.relative_to(DOCS).as_posix() for path in found]


def _text(name: str) -> str:
    """A page in Markdown; nothing for one that the build makes."""
    page, notebook = DOCS / f"{name}.md", DOCS / f"{name}.ipynb"
    if page.exists():
        include = INCLUDE.search(text := page.read_text())
        text = (DOCS / include[1]).read_text() if include else text
        return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)  # its settings
    if notebook.exists():
        cells = json.loads(notebook.read_text())["cells"]
        return "\n\n".join(map(_cell, cells))
    return ""


def _cell(cell: dict) -> str:
    text = "".join(cell["source"])
    return text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"


if __name__ == "__main__":
    main(*sys.argv[1:])
