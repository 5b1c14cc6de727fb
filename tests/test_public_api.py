"""What the package shows: names, docstrings, pages, signatures."""

import inspect
import pathlib

import jax
import optax
import pytest

import house
import neat_optax as neo

PROJECT = pathlib.Path(__file__).parents[1]
PAGES = {
    "neat_optax.advice": "doctor.md",
    "neat_optax.aggregators": "aggregators.md",
    "neat_optax.sparsity": "sparsity.md",
    "neat_optax.plasticity": "plasticity.md",
    "neat_optax.continual": "continual.md",
    "neat_optax.evolution": "evolution.md",
    "neat_optax.games": "games.md",
}
"""The page on which all names of a namespace are listed."""
WIDE = optax.GradientTransformationExtraArgs
MOST_PARAMETERS = 12


@pytest.fixture(
    scope="module",
    params=["without Keras", pytest.param("all", marks=pytest.mark.slow)],
)
def names(request):
    """Public names, with those of packages that only their users import."""
    import neat_optax.experiments.data
    import neat_optax.experiments.models
    import neat_optax.training

    if request.param == "all":
        import neat_optax.keras  # noqa: F401

    return house.public_names(neo)


def test_every_public_name_has_a_docstring_of_its_own(names):
    silent = []
    for name, value in names.items():
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue  # a value: its string stands under its definition
        doc = value.__doc__ or ""
        generated = doc.startswith(f"{value.__name__}(") or doc == tuple.__doc__
        if not doc or generated:
            silent.append(name)
    assert not silent


def test_every_public_name_is_documented(names):
    pages = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    assert [name for name in names if name.rpartition(".")[2] not in text] == []


@pytest.mark.parametrize("namespace", PAGES)
def test_the_list_of_names_is_complete_and_has_none_that_is_gone(names, namespace):
    text = (PROJECT / "docs" / PAGES[namespace]).read_text()
    table = text.rpartition("## All public names of")[2].partition("| names |")[2]
    cells = [row.split("|")[1] for row in table.splitlines()[2:] if row]
    named = [name.strip("` ") for cell in cells for name in cell.split(",")]
    assert sorted(named) == sorted(
        n.rpartition(".")[2] for n in names if n.rpartition(".")[0] == namespace
    )


def test_every_object_has_one_public_name(names):
    places = {}
    for name, value in names.items():
        if inspect.isclass(value) or inspect.isfunction(value):
            places.setdefault(id(value), []).append(name)
    assert [names for names in places.values() if len(names) > 1] == []


def test_the_top_has_about_forty_names(names):
    assert sum(name.count(".") == 1 for name in names) <= 48


def test_no_public_function_has_too_many_parameters(names):
    counts = dict(house.public_parameters(names))
    assert {n: c for n, c in counts.items() if c > MOST_PARAMETERS} == {}


def test_what_is_common_to_many_functions_is_given_by_keyword(names):
    """Positional arguments are a method's own numbers."""
    common = {"num_players", "key", "scope", "mask", "monitor"}
    pure = {"offspring", "perturb", "init_gaussian", "search", "select"}  # key first
    pure |= {"random_weights", "reset_moments", "shuffle"}
    pure |= {
        "apply_mask",
        "keep_mask",
        "straight_through",
    }  # a mask is what they are of
    found = {}
    for name, value in names.items():
        if inspect.isfunction(value) and name.rpartition(".")[2] not in pure:
            parameters = inspect.signature(value).parameters.values()
            positional = {p.name for p in parameters if p.kind is not p.KEYWORD_ONLY}
            if positional & common:
                found[name] = positional & common
    assert found == {}


def test_factories_return_transformations_of_the_wide_kind(names):
    """What says that it takes extra arguments does."""
    for name, value in names.items():
        if not inspect.isfunction(value):
            continue
        signature = inspect.signature(value, eval_str=True)
        required = [
            p
            for p in signature.parameters.values()
            if p.default is p.empty and p.kind is not p.VAR_KEYWORD
        ]
        if signature.return_annotation is WIDE and not required:
            assert isinstance(value(), WIDE), name


def test_version():
    assert neo.__version__.count(".") == 2
    assert jax.__version_info__ >= (0, 10)
