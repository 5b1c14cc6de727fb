"""Runs the examples of a page, with those that save its pictures.

    python docs/draw_page.py docs/tutorial.md

Tests leave out the lines that end in `# doctest: +SKIP`. Here they run, in `docs/`, so
that a picture is drawn by the lines that stand above it.
"""

import doctest
import os
import pathlib
import sys

DOCS = pathlib.Path(__file__).parent


def main(page: pathlib.Path) -> None:
    """Raises what the first line that fails raises."""
    examples = doctest.DocTestParser().get_doctest(
        page.read_text(), {}, page.name, str(page), 0
    )
    for example in examples.examples:
        example.options.pop(doctest.SKIP, None)
    os.chdir(DOCS)
    doctest.DebugRunner().run(examples)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
