"""Makes docs/methods.md, the table of methods beside those of peers, from methods.toml.

python docs/make_methods.py
"""

import pathlib
import tomllib

FOLDER = pathlib.Path(__file__).parent


def main() -> None:
    """Writes the page."""
    (FOLDER / "methods.md").write_text(page())


def page() -> str:
    """The page as text."""
    return "\n".join([_file()["head"], *map(_section, sections())])


def sections() -> list[dict]:
    """The sections of the file: a title, the peers, and rows of as many cells."""
    return _file()["section"]


def _file() -> dict:
    return tomllib.loads((FOLDER / "methods.toml").read_text())


def _section(section: dict) -> str:
    head = ["method", "neat_optax", *section["peers"]]
    rows = [head, ["---"] * len(head)]
    rows += [[name, _here(here), *peers] for name, here, *peers in section["rows"]]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    text = section.get("text", "")
    return f"## {section['title']}\n\n{text and text + chr(10) * 2}{table}\n"


def _here(here: str) -> str:
    """Names as code; words in parentheses stay words."""
    names, _, words = here.partition("(")
    code = ", ".join(f"`{_called(n)}`" for n in names.strip().split(", ") if n)
    return f"{code} ({words}" if code and words else code or words.strip(")")


def _called(name: str) -> str:
    return name if name.startswith("optax.") else f"neo.{name}"


if __name__ == "__main__":
    main()
