"""Draws docs/images/architecture.png: which room of the package may import which.

    python docs/make_architecture.py

The rows are the layers that `lint-imports` keeps, in pyproject.toml; what stands in a
room is the first line of its docstring. The picture carries the text that it shows.
"""

import ast
import pathlib
import textwrap
import tomllib

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

FOLDER = pathlib.Path(__file__).parent
PLACE = FOLDER / "images" / "architecture.png"
PACKAGE = FOLDER.parent / "neat_optax"
WIDTH, MARGIN, GAP = 100.0, 3.0, 1.2
TITLE, LINE = 5.0, 2.0
"""Heights of a box with a name alone, and of each line below it."""


def main() -> None:
    """Draws and saves."""
    rows = layers()
    figure, axes = plt.subplots(figsize=(10, 9.5))
    top = 0.0
    for row in rows:
        draw = _draw_shared if row[0].startswith("_") else _draw_rooms
        top -= draw(axes, row, top) + GAP
    axes.annotate(
        "imports",
        xy=(MARGIN / 2 - 2, top + GAP),
        xytext=(MARGIN / 2 - 2, -1),
        rotation=90,
        ha="center",
        va="top",
        color="0.35",
        arrowprops={"arrowstyle": "->", "color": "0.35"},
    )
    axes.set(xlim=(-2, WIDTH + 1), ylim=(top, 1))
    axes.axis("off")
    figure.savefig(
        PLACE, dpi=130, bbox_inches="tight", metadata={"Description": shown()}
    )
    plt.close(figure)


def layers() -> list[list[str]]:
    """Names of rooms and modules, row by row, from the top."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    [contract] = [one for one in contracts if one["type"] == "layers"]
    rows = [row.split(" | ") for row in contract["layers"]]
    return [[name.removeprefix("neat_optax.") for name in row] for row in rows]


def shown() -> str:
    """All text of the picture."""
    return "\n".join(" | ".join(map(_words, row)) for row in layers())


def _words(name: str) -> str:
    """A room with what stands in it, or the name of a module."""
    if name.startswith("_"):
        return name
    tree = ast.parse((PACKAGE / name / "__init__.py").read_text())
    return f"{name}: {ast.get_docstring(tree).splitlines()[0]}".replace("`", "")


def _draw_rooms(axes, row: list[str], top: float) -> float:
    """One box for each room, side by side; returns the height."""
    each = (WIDTH - MARGIN - GAP * (len(row) - 1)) / len(row)
    words = [_words(name).partition(": ")[2] for name in row]
    lines = [textwrap.wrap(some, max(19, int(each * 1.2))) for some in words]
    height = TITLE + LINE * max(map(len, lines))
    for place, name in enumerate(row):
        left = MARGIN + place * (each + GAP)
        _box(axes, left, top, each, height, "#dce9f5")
        middle = left + each / 2
        axes.text(middle, top - 1.1, name, ha="center", va="top", weight="bold")
        text = "\n".join(lines[place])
        axes.text(middle, top - 4.1, text, ha="center", va="top", size=7.5)
    return height


def _draw_shared(axes, row: list[str], top: float) -> float:
    """One box for all modules of a row; returns the height."""
    _box(axes, MARGIN, top, WIDTH - MARGIN, TITLE, "0.93")
    middle = (MARGIN + WIDTH) / 2, top - TITLE / 2
    text = "   ".join(row)
    axes.text(*middle, text, ha="center", va="center", size=7.5, family="monospace")
    return TITLE


def _box(axes, left: float, top: float, width: float, height: float, color) -> None:
    style = "round,pad=0,rounding_size=.8"
    corner = left, top - height
    box = mpl.patches.FancyBboxPatch(corner, width, height, style, fc=color, ec="0.5")
    axes.add_patch(box)


if __name__ == "__main__":
    main()
