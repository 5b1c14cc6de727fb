"""What the package shows, and what its modules may import."""

import ast
import inspect
import pathlib
import subprocess
import sys

import jax
import pytest

import neat_optax

PACKAGE = pathlib.Path(neat_optax.__file__).parent
PROJECT = PACKAGE.parent
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
    for path in sorted(PACKAGE.rglob("*.py"))
}


def public(module):
    """The names that a module shows, its own modules left out."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and type(value) is not type(ast)
    ]


NAMES = public(neat_optax)
OF_AGGREGATORS = public(neat_optax.aggregators)
OF_SPARSITY = public(neat_optax.sparsity)
OF_PLASTICITY = public(neat_optax.plasticity)
OF_EVOLUTION = public(neat_optax.evolution)


def imports(module):
    """Full dotted names of all that a module imports."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_a_docstring(name):
    value = getattr(neat_optax, name)
    inherited = tuple.__doc__, type(value).__doc__ if not callable(value) else None
    doc = value.__doc__
    assert doc
    if isinstance(value, neat_optax.Scope):
        pytest.skip("an instance: its string stands under its definition")
    assert doc not in inherited
    assert not doc.startswith(f"{name}(")


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name):
    pages = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
    assert any(name in page.read_text() for page in pages)


@pytest.mark.parametrize("name", OF_AGGREGATORS)
def test_every_name_of_the_aggregators_has_a_docstring_and_is_documented(name):
    doc = getattr(neat_optax.aggregators, name).__doc__
    assert doc
    assert not doc.startswith(f"{name}(")
    listed = (PROJECT / "docs" / "aggregators.md").read_text()
    assert f"`{name}`" in listed


@pytest.mark.parametrize("name", OF_PLASTICITY)
def test_every_name_of_plasticity_has_a_docstring(name):
    doc = getattr(neat_optax.plasticity, name).__doc__
    assert doc
    assert not doc.startswith(f"{name}(")


@pytest.mark.parametrize("name", OF_EVOLUTION)
def test_every_name_of_evolution_has_a_docstring(name):
    value = getattr(neat_optax.evolution, name)
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}(")


@pytest.mark.parametrize("name", OF_SPARSITY)
def test_every_name_of_sparsity_has_a_docstring(name):
    doc = getattr(neat_optax.sparsity, name).__doc__
    assert doc
    assert not doc.startswith(f"{name}(")


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("aggregators.md", OF_AGGREGATORS),
        ("sparsity.md", OF_SPARSITY),
        ("plasticity.md", OF_PLASTICITY),
        ("evolution.md", OF_EVOLUTION),
    ],
)
def test_the_list_of_names_is_complete_and_has_none_that_is_gone(page, names):
    text = (PROJECT / "docs" / page).read_text()
    table = text.rpartition("## All public names of")[2].partition("| names |")[2]
    cells = [row.split("|")[1] for row in table.splitlines()[2:] if row]
    named = [name.strip("` ") for cell in cells for name in cell.split(",")]
    assert sorted(named) == sorted(names)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_docstring(module):
    assert ast.get_docstring(MODULES[module]) or not MODULES[module].body


@pytest.mark.parametrize(
    "module", ["_tree.py", "_checks/arrays.py", "_checks/values.py"]
)
def test_the_lowest_layer_imports_nothing_of_the_package(module):
    assert not [name for name in imports(module) if name.startswith("neat_optax")]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("reference/")])
def test_the_oracle_stands_alone(module):
    """NumPy, the standard library, and itself."""
    allowed = {"numpy", "neat_optax", *sys.stdlib_module_names}
    for name in imports(module):
        assert name.split(".")[0] in allowed
        inside = (
            name.startswith("neat_optax.reference") or name == "neat_optax.reference"
        )
        assert inside or not name.startswith("neat_optax")


@pytest.mark.parametrize(
    "module", [m for m in MODULES if not m.startswith(("reference/", "training/"))]
)
def test_the_core_does_not_reach_up(module):
    forbidden = ("neat_optax.reference", "neat_optax.training", "flax", "matplotlib")
    if module == "__main__.py":
        forbidden = ("neat_optax.reference",)
    if module == "sparsity/_flax_models.py":  # inside its functions, when called
        forbidden = ("neat_optax.reference", "neat_optax.training", "matplotlib")
    assert not [name for name in imports(module) if name.startswith(forbidden)]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("training/")])
def test_training_does_not_use_the_oracle(module):
    found = [n for n in imports(module) if n.startswith("neat_optax.reference")]
    assert not found


RULES = ("conflict.py", "correction.py", "gating.py", "alignment.py")
RECIPES = ("neat_optax.neat", "neat_optax.presets", "neat_optax.config")


@pytest.mark.parametrize("module", RULES)
def test_rules_do_not_import_transformations(module):
    above = (*RECIPES, "neat_optax.contest", "neat_optax._leaf", "neat_optax.metric")
    assert not [name for name in imports(module) if name in above]


@pytest.mark.parametrize("module", MODULES)
def test_no_private_name_of_another_library(module):
    for name in imports(module):
        parts = name.split(".")
        if parts[0] not in ("neat_optax", "__future__"):
            assert not [part for part in parts if _is_private(part)], name


def _is_private(name):
    return name.startswith("_") and not name.endswith("__")


@pytest.mark.parametrize("module", MODULES)
def test_no_private_attribute_of_another_library(module):
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            library = isinstance(root, ast.Name) and root.id in ("jax", "jnp", "optax")
            assert not library, ast.unparse(node)


def test_importing_the_package_does_not_import_flax():
    program = (
        "import sys, neat_optax; "
        "sys.exit(any(m in sys.modules for m in ('flax', 'orbax', 'matplotlib')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_factories_return_transformations_of_the_wide_kind():
    """Every factory says that it takes extra arguments, and gives what it says."""
    import optax

    wide = optax.GradientTransformationExtraArgs
    for name in NAMES:
        factory = getattr(neat_optax, name)
        if name.startswith(("neat", "scale_by")) and name != "neat_rules":
            hints = inspect.signature(factory, eval_str=True)
            assert hints.return_annotation is wide
            first = next(iter(hints.parameters.values()))
            given = () if first.kind is first.KEYWORD_ONLY else (0.1,)
            assert isinstance(factory(*given), wide)


def test_version():
    assert neat_optax.__version__.count(".") == 2
    assert jax.__version_info__ >= (0, 10)
