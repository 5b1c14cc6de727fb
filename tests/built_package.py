"""Checks of a built package, as `.ci/package` makes it.

python tests/built_package.py files FOLDER   what wheel and sdist hold
python tests/built_package.py bare           that what is installed needs no extra
"""

import importlib.util
import pathlib
import re
import subprocess
import sys
import tarfile
import zipfile

PROJECT = pathlib.Path(__file__).parents[1]
NEEDED = {"neat_optax/py.typed", "neat_optax/references.bib"}
OF_EXTRAS = ("flax", "grain", "keras", "matplotlib", "orbax", "rich", "river", "tyro")


def main(check: str, *arguments: str) -> None:
    """Ends with a line that says what was found, or with what is wrong."""
    print({"files": check_files, "bare": check_bare}[check](*arguments))


def check_files(folder: str) -> str:
    """Each file is one that git knows, and none of the package is missing."""
    [wheel], [sdist] = (list(pathlib.Path(folder).glob(x)) for x in ("*.whl", "*.gz"))
    with zipfile.ZipFile(wheel) as opened:
        held = opened.namelist()
        [about] = (name for name in held if name.endswith(".dist-info/METADATA"))
        text = opened.read(about).decode()
    if lost := re.findall(r"\]\((?!https?:)\S+\)", text):
        raise ValueError(f"the README's links must lead to the repository, got {lost}.")
    with tarfile.open(sdist) as opened:
        names = [x.name.partition("/")[2] for x in opened.getmembers() if x.isfile()]
    ran = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True)
    check_names(held, names, ran.stdout.decode().strip("\0").split("\0"))
    return f"wheel of {len(held)} files, sdist of {len(names)}"


def check_names(wheel: list[str], sdist: list[str], tracked: list[str]) -> None:
    """Raises for what is missing or does not belong there."""
    package = {name for name in tracked if name.startswith("neat_optax/")}
    about = {name for name in wheel if ".dist-info/" in name}
    _check_same("the wheel", {*wheel} - about, package | NEEDED)
    _check_same("the sdist", {*sdist} - {"PKG-INFO"}, {*tracked})
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in about):
        raise ValueError(f"the wheel must hold the license, got {sorted(about)}.")


def _check_same(where: str, held: set[str], wanted: set[str]) -> None:
    if held != wanted:
        more, less = sorted(held - wanted), sorted(wanted - held)
        raise ValueError(f"{where} must hold what git does, got {more}, not {less}.")


def check_bare() -> str:
    """Imports rooms, takes a step and cites."""
    there = [name for name in OF_EXTRAS if importlib.util.find_spec(name)]
    if there:
        raise ValueError(f"no extra must be installed here, got {there}.")
    import jax
    import jax.numpy as jnp
    import numpy
    import optax
    import scipy

    import neat_optax as neo
    import neat_optax.compat
    import neat_optax.plot
    import neat_optax.reference

    tx = optax.chain(neo.neat_correction(), optax.sgd(0.1))
    params = jnp.ones(2)
    update, _ = jax.jit(tx.update)(params, tx.init(params), params)
    if not (update < 0).all() or "@" not in neo.cite(neo.aggregators.upgrad()):
        raise ValueError(f"a step must go down and be cited, got {update}.")
    versions = [
        f"{x.__name__} {x.__version__}" for x in (neo, jax, numpy, optax, scipy)
    ]
    return f"no extra needed: {', '.join(versions)}"


if __name__ == "__main__":
    main(*sys.argv[1:])
