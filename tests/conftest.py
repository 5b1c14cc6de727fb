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

import pytest  # noqa: E402

PROJECT = pathlib.Path(__file__).parents[1]
EXAMPLES = {PROJECT / "docs", PROJECT / "neat_optax", PROJECT / "README.md"}
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


def _prepare() -> None:
    """Imports and sets what tests need, in a process that runs tests."""
    import hypothesis
    import jax

    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.monitoring.register_event_duration_secs_listener(_count)
    hypothesis.settings.register_profile(
        "repeatable", deadline=None, derandomize=True, max_examples=40, database=None
    )
    hypothesis.settings.load_profile("repeatable")


def _maps() -> int:
    maps = pathlib.Path("/proc/self/maps")
    return maps.read_bytes().count(b"\n") if maps.exists() else 0


def _is_example(item) -> bool:
    return not EXAMPLES.isdisjoint((item.path, *item.path.parents))


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the slow tier too")
    parser.addoption("--only-slow", action="store_true", help="run only the slow tier")
    parser.addoption(
        "--dearest", type=int, default=10, help="files to show the cost of"
    )


def pytest_configure(config):
    if hasattr(config, "workerinput") or not config.getoption("numprocesses"):
        _prepare()
    slow = config.getoption("slow") or config.getoption("only_slow")
    if config.args_source == config.ArgsSource.TESTPATHS and not slow:
        keras = (PROJECT / "tests/keras").glob("test_*.py")
        left_out = {*keras, *EXAMPLES} - {PROJECT / "tests/keras/test_packing.py"}
        config.option.ignore = [*(config.option.ignore or ()), *map(str, left_out)]
        config.option.doctestmodules = False


def pytest_collection_modifyitems(config, items):
    whole = config.args_source == config.ArgsSource.TESTPATHS
    for item in items if whole or config.getoption("--only-slow") else ():
        if _is_example(item):
            item.add_marker("slow")  # they run eagerly, as a reader's code does
    _mark_the_rest_slow(items, whole)
    slow = [item for item in items if item.get_closest_marker("slow")]
    fast = [item for item in items if not item.get_closest_marker("slow")]
    if config.getoption("--only-slow"):
        items[:], left_out = slow, fast
    elif config.getoption("--slow"):
        left_out = []
    else:
        items[:], left_out = fast, slow
    config.hook.pytest_deselected(items=left_out)


def _mark_the_rest_slow(items, whole: bool) -> None:
    """Of a test that names some of its cases as fast, the others are slow."""
    named, found = set(), set()
    for item in items:
        if marker := item.get_closest_marker("fast"):
            test = f"{item.path}::{item.originalname}"
            named |= {f"{test}[{case}]" for case in marker.args}
            found.add(f"{test}[{item.callspec.id}]")
            if item.callspec.id not in marker.args:
                item.add_marker("slow")
    if whole and named - found:
        raise pytest.UsageError(f"no such cases to be fast: {sorted(named - found)}")


def pytest_collection_finish():
    gc.freeze()  # modules stay: no collection goes through them again


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    file = item.nodeid.partition("::")[0]
    if file != current["file"] and _maps() > MOST_MAPS:
        import jax

        jax.clear_caches()
        gc.collect()
    current["file"] = file
    before = time.process_time()
    with contextlib.ExitStack() as stack:
        if _is_example(item):
            import running

            stack.enter_context(running.quickly())
            if keras := sys.modules.get("keras"):
                keras.utils.clear_session()  # which counts layers in their names
        if not KERAS.isdisjoint(item.path.parents) or "keras" in item.path.stem:
            import jax

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
