"""Settings that must be made before JAX starts; the slow tier; what tests compile."""

import collections
import contextlib
import gc
import importlib.metadata
import os
import pathlib
import sys
import time

DEVICES = "--xla_force_host_platform_device_count=8"
QUICK = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    " --xla_cpu_parallel_codegen_split_count=1"
)
"""Compiling takes a fifth of the time; the slow tier compiles in earnest."""
if importlib.metadata.version("jaxlib").startswith("0.10."):
    QUICK += " --xla_cpu_use_fusion_emitters=false"  # later ones end at the name

if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit what is set here
    in_earnest = any(argument.endswith("slow") for argument in sys.argv)
    flags = DEVICES if in_earnest else f"{DEVICES} {QUICK}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

gc.set_threshold(
    50_000, 20, 100
)  # traces are trees of small objects: a tenth of the time

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

import running  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, max_examples=40, database=None
)
hypothesis.settings.load_profile("repeatable")

PROJECT = pathlib.Path(__file__).parents[1]
EXAMPLES = {PROJECT / "docs", PROJECT / "neat_optax"}
KERAS = {PROJECT / "tests/keras", PROJECT / "neat_optax/keras"}
"""What imports Keras, which takes four seconds, and adds arrays of other ranks."""
COMPILED = "/jax/core/compile/backend_compile_duration"
MOST_MAPS = 40_000
"""Compiled functions take maps of memory, of which Linux allows a process 65,530; XLA
ends in a segmentation fault where there are no more."""

spent: dict[str, list[float]] = collections.defaultdict(lambda: [0, 0.0])
"""Compiles and CPU seconds by test file."""
current = {"file": ""}


def _count(event: str, duration: float, **_) -> None:
    del duration
    if event == COMPILED:
        spent[current["file"]][0] += 1


jax.monitoring.register_event_duration_secs_listener(_count)


def _maps() -> int:
    maps = pathlib.Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tier too")
    parser.addoption("--only-slow", action="store_true", help="run only the slow tier")
    parser.addoption(
        "--dearest", type=int, default=10, help="files to show the cost of"
    )


def pytest_configure(config):
    slow = config.getoption("slow") or config.getoption("only_slow")
    if config.args_source == config.ArgsSource.TESTPATHS and not slow:
        modules = [path for folder in KERAS for path in folder.glob("*.py")]
        fast = PROJECT / "tests/keras/test_packing.py"
        left_out = [str(path) for path in modules if path != fast]
        config.option.ignore = [*(config.option.ignore or ()), *left_out]


def pytest_collection_modifyitems(config, items):
    whole = config.args_source == config.ArgsSource.TESTPATHS
    for item in items if whole or config.getoption("--only-slow") else ():
        if not EXAMPLES.isdisjoint(item.path.parents):
            item.add_marker("slow")  # they run eagerly, as a reader's code does
    slow = [item for item in items if item.get_closest_marker("slow")]
    fast = [item for item in items if not item.get_closest_marker("slow")]
    if config.getoption("--only-slow"):
        items[:], left_out = slow, fast
    elif config.getoption("--slow"):
        left_out = []
    else:
        items[:], left_out = fast, slow
    config.hook.pytest_deselected(items=left_out)


def pytest_collection_finish():
    gc.collect()
    gc.freeze()  # modules stay: no collection goes through them again


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    file = item.nodeid.partition("::")[0]
    if file != current["file"] and _maps() > MOST_MAPS:
        jax.clear_caches()
        gc.collect()
    current["file"] = file
    before = time.process_time()
    is_example = not EXAMPLES.isdisjoint(item.path.parents)
    of_keras = not KERAS.isdisjoint(item.path.parents) or "keras" in item.path.stem
    with contextlib.ExitStack() as stack:
        if is_example:
            stack.enter_context(running.quickly())
        if of_keras:
            stack.enter_context(jax.numpy_rank_promotion("allow"))
        result = yield
    spent[file][1] += time.process_time() - before
    return result


def pytest_sessionfinish(session):
    gc.freeze()  # pytest collects five times at the end, over millions of objects
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["spent"] = dict(spent)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    for file, (compiles, seconds) in (
        getattr(node, "workeroutput", {}).get("spent", {}).items()
    ):
        spent[file][0] += compiles
        spent[file][1] += seconds


def pytest_terminal_summary(terminalreporter, config):
    shown = config.getoption("--dearest")
    dearest = sorted(spent.items(), key=lambda pair: -pair[1][1])
    total = [sum(column) for column in zip(*spent.values(), strict=True)] or [0, 0.0]
    terminalreporter.section("what the dearest files cost")
    for name, (compiles, seconds) in [("all files", total), *dearest[:shown]]:
        terminalreporter.line(f"{compiles:6.0f} compiles {seconds:7.1f} CPU s  {name}")
