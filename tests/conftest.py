"""Settings that must be made before JAX starts."""

import os

_DEVICES = "--xla_force_host_platform_device_count=8"
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_DEVICES}".strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, max_examples=40, database=None
)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="module", autouse=True)
def forget_compiled():
    """Frees what a module has compiled.

    Each compiled function takes maps of memory, of which Linux allows a process 65530.
    All tests together compile more, and XLA then ends in a segmentation fault.
    """
    yield
    jax.clear_caches()
