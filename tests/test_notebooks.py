"""Notebooks: their form, and in the slow tier that they run and draw."""

import pathlib
import tomllib

import nbformat
import pytest
from nbclient import NotebookClient

PROJECT = pathlib.Path(__file__).parents[1]
FOLDER = PROJECT / "docs/notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SOURCE = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["urls"][
    "Source"
]
COLAB = SOURCE.replace("https://github.com", "https://colab.research.google.com/github")
INSTALL = f"""\
try:
    import neat_optax
except ImportError:  # as on Colab
    %pip install --quiet "neat-optax[train] @ git+{SOURCE}\""""


def each(test):
    return pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)(test)


def test_no_notebook_is_missing():
    assert [path.stem for path in NOTEBOOKS] == [
        "aggregators",
        "cartpole",
        "eight_devices",
        "existing_loop",
        "first_conflict",
        "games",
        "keep_learning",
        "label_noise",
        "multi_task",
        "pinn",
        "plasticity",
        "pruning",
    ]


@each
def test_a_notebook_is_committed_as_it_was_written(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        assert not cell.metadata
        assert not cell.get("outputs") and cell.get("execution_count") is None


@each
def test_a_notebook_opens_and_installs_on_colab(path):
    first, install, *_ = nbformat.read(path, as_version=4).cells
    title, badge, *_ = first.source.split("\n\n")
    assert title.startswith("# ")
    assert badge.endswith(f"({COLAB}/blob/main/docs/notebooks/{path.name})")
    assert install.source == INSTALL


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the kernel's own
@each
def test_a_notebook_runs_and_draws(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900).execute()
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    shown = [one["data"] for one in outputs if "data" in one]
    figures = [data for data in shown if " Axes>" in data["text/plain"]]
    assert figures
    assert all("image/png" in data for data in figures)
