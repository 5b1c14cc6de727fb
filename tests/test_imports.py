"""What the modules of the package may import, and that each can be the first."""

import ast
import functools
import pathlib
import subprocess
import sys
import textwrap

import pytest

import house
import neat_optax

PACKAGE = pathlib.Path(neat_optax.__file__).parent


@functools.cache
def modules():
    """The syntax trees of all modules."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text())
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def test_every_module_has_a_docstring():
    assert [
        name for name, tree in modules().items() if not ast.get_docstring(tree)
    ] == []


def test_no_module_has_the_name_of_its_function():
    shadowed = []
    for name, tree in modules().items():
        own = pathlib.PurePath(name).stem
        defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
        shadowed += [name] if own in defined and not own.startswith("_") else []
    assert shadowed == []


def test_all_imports_are_absolute():
    nodes = [n for tree in modules().values() for n in ast.walk(tree)]
    assert not [n for n in nodes if isinstance(n, ast.ImportFrom) and n.level]


def test_no_private_name_of_another_library():
    found = []
    for name, tree in modules().items():
        for target in house.imports(tree):
            first, *rest = target.split(".")
            if first not in ("neat_optax", "__future__") and any(map(private, rest)):
                found.append((name, target))
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and private(node.attr):
                root = node.value
                while isinstance(root, ast.Attribute):
                    root = root.value
                if isinstance(root, ast.Name) and root.id in ("jax", "jnp", "optax"):
                    found.append((name, ast.unparse(node)))
    assert found == []


def private(name):
    return name.startswith("_") and not name.endswith("__")


def test_the_engine_of_numpy_stands_alone():
    """NumPy, the standard library, and itself; and nobody in the package uses it."""
    allowed = {"numpy", *sys.stdlib_module_names}
    for name, tree in modules().items():
        for target in house.imports(tree):
            inside = target.startswith("neat_optax.reference")
            if name.startswith("reference/"):
                assert inside or target.split(".")[0] in allowed, (name, target)
            else:
                assert not inside, (name, target)


EXTRAS = ("flax", "keras", "orbax", "matplotlib", "sklearn", "scipy.stats")
HELP = """
import sys
import neat_optax
loaded = [m for m in {extras} if m in sys.modules]
from neat_optax.experiments.commands.cli import main
try:
    main({arguments})
except SystemExit:
    pass
loaded += [m for m in {extras} if m in sys.modules]
assert not loaded, loaded
"""


def test_neither_the_package_nor_the_list_of_commands_imports_an_extra():
    program = HELP.format(extras=EXTRAS, arguments=["--help"])
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("train", 1),
        ("evolve", 1),
        ("compact", 0),
        ("report", 0),
        ("runs", 0),
        ("doctor", 0),
    ],
)
def test_help_imports_no_more_than_it_shows(command, needed):
    """The lists of train and evolve come from modules with networks of Flax."""
    program = HELP.format(extras=EXTRAS[needed:], arguments=[command, "--help"])
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_contracts_of_imports_are_kept():
    """Those of `pyproject.toml`: layers, and what never imports what."""
    pytest.importorskip("importlinter", reason="import-linter is of the extra `dev`")
    command = pathlib.Path(sys.executable).with_name("lint-imports")
    ran = subprocess.run([command], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


FIRST = """
    import importlib, importlib.machinery, sys, types

    def blank():
        for name in [n for n in sys.modules if n.partition(".")[0] == "neat_optax"]:
            del sys.modules[name]
        package = types.ModuleType("neat_optax")
        package.__path__ = [sys.argv[1]]
        sys.modules["neat_optax"] = package

    broken = []
    for module in sys.argv[2:]:
        blank()
        try:
            importlib.import_module(module)
        except ImportError as error:
            broken.append(f"{module}: {error}")
    sys.exit("; ".join(broken) or 0)
"""


@pytest.mark.parametrize(
    "name", ["__init__.py", pytest.param("*.py", marks=pytest.mark.slow)]
)
def test_every_module_can_be_imported_first(name):
    """Before any other of the package, even before its `__init__`."""
    dotted = [
        "neat_optax." + path.removesuffix(".py").replace("/", ".")
        for path in modules()
        if pathlib.PurePath(path).match(f"*/{name}") and "experiments/" not in path
    ]
    dotted = [path.removesuffix(".__init__") for path in dotted]
    command = [sys.executable, "-c", textwrap.dedent(FIRST), str(PACKAGE), *dotted]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
