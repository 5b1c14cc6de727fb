"""Settings of the site, which `sphinx-build docs docs/_build/html` makes.

`NEAT_OPTAX_NOTEBOOKS=off` shows the notebooks without running them.
"""

import os
import pathlib
import sys
import tomllib

os.environ.setdefault("KERAS_BACKEND", "jax")
HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE))

import link_names  # noqa: E402
import make_llms  # noqa: E402
import make_symbols  # noqa: E402
import show_sources  # noqa: E402

PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
SOURCE = PROJECT["urls"]["Source"]

project = PROJECT["name"].replace("-", "_")
author = PROJECT["authors"][0]["name"]
copyright = author
version = release = PROJECT["version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "evidence_head.md"]
default_role = "literal"  # docstrings write code as in Markdown; link_names links it

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = os.environ.get("NEAT_OPTAX_NOTEBOOKS", "cache")
nb_execution_timeout = 300
nb_execution_raise_on_error = True

toc_object_entries = False
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False

ELSE_NO_NAMES = (None, str(HERE / "_static" / "no_names.inv"))  # without a network
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", ELSE_NO_NAMES),
    "numpy": ("https://numpy.org/doc/stable", ELSE_NO_NAMES),
    "jax": ("https://docs.jax.dev/en/latest", ELSE_NO_NAMES),
    "optax": ("https://optax.readthedocs.io/en/latest", ELSE_NO_NAMES),
    "flax": ("https://flax.readthedocs.io/en/latest", ELSE_NO_NAMES),
}
intersphinx_timeout = 10
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!neat_optax\b).*")]

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "repository_url": SOURCE,
    "repository_branch": "main",
    "path_to_docs": "docs",
    "use_repository_button": True,
    "use_issues_button": True,
    "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    "navbar_persistent": [],
    "collapse_navbar": True,
    "show_toc_level": 2,
}
html_context = {"default_mode": "auto"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app) -> None:
    """Makes the pages of symbols before, links names in pages, and lists these."""
    app.connect("builder-inited", lambda _: make_symbols.main())
    app.connect("autodoc-process-signature", show_sources.signature)
    app.connect("autodoc-process-docstring", show_sources.before_napoleon, 400)
    app.connect("autodoc-process-docstring", show_sources.docstring, 600)
    app.connect("doctree-read", link_names.link)
    app.connect("build-finished", make_llms.finish)
