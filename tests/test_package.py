"""What the package says of itself: needs, versions, releases, what is built of it."""

import ast
import importlib.metadata
import pathlib
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import built_package
import ci_site
import house
import release

PROJECT = pathlib.Path(__file__).parents[1]
WHOLE = tomllib.loads((PROJECT / "pyproject.toml").read_text())
FILE = WHOLE["project"]
EXTRAS = FILE["optional-dependencies"]
FOR_USERS = ("grain", "keras", "train", "yeast")
RAISED = {"ipykernel", "numpy", "scipy"}
"""Of which there is no lower one, or River asks for more."""


def needs(*extras):
    """Requirements by name: of the library, and of extras with those they take in."""
    found = {r.name: r for r in map(Requirement, FILE["dependencies"])}
    for extra in extras:
        for need in map(Requirement, EXTRAS[extra]):
            taken_in = need.name == FILE["name"]
            found |= needs(*need.extras) if taken_in else {need.name: need}
    return found


def pins(name):
    """Versions by package; of several, the one for the oldest Python."""
    lines = (PROJECT / "constraints" / f"{name}.txt").read_text().splitlines()
    found = {}
    for line in map(Requirement, lines[1:]):
        found.setdefault(line.name, Version(str(line.specifier).removeprefix("==")))
    return found


def test_everything_that_is_imported_is_declared():
    files = (PROJECT / "neat_optax").rglob("*.py")
    trees = [ast.parse(path.read_text()) for path in files]
    found = {x.partition(".")[0] for tree in trees for x in house.imports(tree)}
    homes = importlib.metadata.packages_distributions()
    declared = {name.lower() for name in needs("test")}
    outside = found - {"neat_optax", "IPython", *sys.stdlib_module_names}
    unknown = [
        name
        for name in outside
        if not declared & {home.lower() for home in homes.get(name, [])}
    ]
    assert unknown == []


def test_the_lowest_versions_that_are_tested_are_those_declared():
    lowest = pins("lowest")
    for name, need in needs("test").items():
        [bound] = [Version(s.version) for s in need.specifier if s.operator == ">="]
        pinned = lowest[name.lower()]
        assert need.specifier.contains(pinned), name
        assert pinned == bound or name in RAISED, name


def test_the_newest_versions_that_are_tested_are_allowed():
    lowest, newest = pins("lowest"), pins("newest")
    for name, need in needs("test").items():
        pinned = newest[name.lower()]
        assert need.specifier.contains(pinned) and pinned >= lowest[name.lower()], name


def test_the_recipe_needs_what_the_project_does():
    recipe = yaml.safe_load((PROJECT / "conda" / "recipe.yaml").read_text())
    run = recipe["requirements"]["run"]
    assert recipe["context"]["version"] == FILE["version"]
    assert f">={recipe['context']['python_min']}" == FILE["requires-python"]
    base = {name: need.specifier for name, need in needs().items()}
    assert conda(run[1:]) == base
    assert conda(recipe["requirements"]["host"][2:]) == conda(
        WHOLE["build-system"]["requires"]
    )
    extras = {name.lower(): need.specifier for name, need in needs(*FOR_USERS).items()}
    extras["matplotlib-base"] = extras.pop("matplotlib")
    constrained = conda(recipe["requirements"]["run_constraints"])
    assert constrained | base == extras
    [command] = recipe["build"]["python"]["entry_points"]
    assert FILE["scripts"] == dict([command.split(" = ")])


def conda(lines):
    """Specifiers by package, of lines as `jax >=0.10`."""
    return {need.name: need.specifier for need in map(Requirement, lines)}


def test_versions_agree():
    texts = ("pyproject.toml", "CITATION.cff", "CHANGELOG.md")
    found = release.check_versions(*((PROJECT / name).read_text() for name in texts))
    assert found == FILE["version"] == importlib.metadata.version("neat-optax")


DONE = "## [Unreleased]\n\n## [1.2.0] - 2027-01-31\n\n- All.\n\n## [1.1.0]\n"
LATER = DONE.replace("]\n\n## [1.2", "]\n\n- New.\n\n## [1.2")
PROJECTS = '[project]\nversion = "1.2.0"\n'


def test_a_release_is_one_everywhere():
    assert release.check_versions(PROJECTS, "version: 1.2.0\n", DONE) == "1.2.0"
    release.check_tag("v1.2.0", "1.2.0", DONE)


@pytest.mark.parametrize(
    ("citation", "changelog", "tag", "error"),
    [
        ("1.1.0", DONE, "v1.2.0", "CITATION"),
        ("1.2.0", DONE.replace("1.2.0", "1.3.0"), "v1.2.0", "newest version"),
        ("1.2.0", DONE, "1.2.0", "`tag`"),
        ("1.2.0", DONE.replace(" - 2027-01-31", ""), "v1.2.0", "date"),
        ("1.2.0", LATER, "v1.2.0", "above"),
    ],
    ids=["citation", "changelog", "tag", "date", "waiting"],
)
def test_a_release_that_is_not_one_is_refused(citation, changelog, tag, error):
    with pytest.raises(ValueError, match=error):
        version = release.check_versions(PROJECTS, f"version: {citation}\n", changelog)
        release.check_tag(tag, version, changelog)


KNOWN = ["neat_optax/a.py", *built_package.NEEDED, "LICENSE", "tests/b.py"]
WHEEL = [KNOWN[0], *built_package.NEEDED, "neat_optax-1.dist-info/licenses/LICENSE"]


@pytest.mark.parametrize(
    ("wheel", "sdist"),
    [
        ([*WHEEL, "neat_optax/__pycache__/a.pyc"], KNOWN),
        (WHEEL[1:], KNOWN),
        (WHEEL[:-1], KNOWN),
        (WHEEL, [*KNOWN, "runs/result.json"]),
        (WHEEL, KNOWN[:-1]),
    ],
    ids=["cache", "module", "license", "run", "test"],
)
def test_a_package_with_more_or_less_is_refused(wheel, sdist):
    built_package.check_names(WHEEL, [*KNOWN, "PKG-INFO"], KNOWN)
    with pytest.raises(ValueError, match="must hold"):
        built_package.check_names(wheel, sdist, KNOWN)


def test_what_is_public_of_a_module_is_its_signatures():
    text = "def neat(a, *, b=1):\n    return a\n\ndef _mine(): pass\n"
    before = ci_site.signatures(text)
    assert before == {"neat": "a, *, b=1"}
    assert ci_site.signatures(text.replace("return a", "return b")) == before
    assert ci_site.signatures(text.replace("b=1", "b=2")) != before


def test_a_signature_calls_for_notebooks_that_name_it_and_a_notebook_for_itself():
    paths = sorted((PROJECT / "docs" / "notebooks").glob("*.ipynb"))
    stems = [path.stem for path in paths]
    naming = [path.stem for path in paths if "diagnostics" in path.read_text()]
    assert ci_site.notebooks([], ["diagnostics"]) == naming != stems
    assert ci_site.notebooks(paths[:1], []) == stems[:1]
    assert ci_site.notebooks([], [], every=True) == stems
    assert len(ci_site.notebooks([], [])) == len(stems) // ci_site.PARTS
