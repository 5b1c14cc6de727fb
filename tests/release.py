"""Checks that a release is one everywhere, as the release workflow does it.

python tests/release.py v1.2.3
"""

import pathlib
import re
import sys
import tomllib

PROJECT = pathlib.Path(__file__).parents[1]


def main(tag: str) -> None:
    """Ends with a line that names the release, or with what is wrong."""
    texts = [
        (PROJECT / name).read_text()
        for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md")
    ]
    version = check_versions(*texts)
    check_tag(tag, version, texts[-1])
    print(f"{tag} is the release of the project, the citation and the changelog")


def check_versions(project: str, citation: str, changelog: str) -> str:
    """The version that the texts of the three files agree on."""
    version = tomllib.loads(project)["project"]["version"]
    cited = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    _check("`version` in CITATION.cff", [version], cited)
    _check("the changelog's newest version", version, _titles(changelog)[0][0])
    return version


def check_tag(tag: str, version: str, changelog: str) -> None:
    """That tag and date are there, and nothing is left for the next release."""
    _check("`tag`", f"v{version}", tag)
    date = _titles(changelog)[0][1]
    if not re.fullmatch(r" - \d{4}-\d\d-\d\d", date):
        raise ValueError(f"the changelog must date {version}, got {date!r}.")
    waiting = re.search(r"^## \[Unreleased\]\s+([^\s#]|###)", changelog, re.MULTILINE)
    if waiting:
        raise ValueError(f"all changes must stand under {version}, got some above it.")


def _titles(changelog: str) -> list[tuple[str, str]]:
    """Versions with their dates, from the newest on."""
    titles = re.findall(r"^## \[(.+?)\](.*)$", changelog, re.MULTILINE)
    return [title for title in titles if title[0] != "Unreleased"]


def _check(what: str, wanted: object, got: object) -> None:
    if wanted != got:
        raise ValueError(f"{what} must be {wanted}, got {got}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
