"""Keras with the backend that an optax chain runs on.

Keras reads `KERAS_BACKEND` once, when it is first imported, so that this module comes
before every other import of Keras in the package.
"""

import os
import sys

if "keras" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", "jax")

try:
    import keras
except ModuleNotFoundError as error:
    raise ImportError(
        "neat_optax.keras needs Keras 3 and the packages of its backend, and "
        f"{error.name} is missing: pip install neat-optax[keras], with "
        "KERAS_BACKEND=jax in the environment."
    ) from error


def check_backend(backend: str) -> None:
    """Raises unless Keras computes with JAX."""
    if backend != "jax":
        raise ImportError(
            f"neat_optax.keras needs Keras's JAX backend, got {backend!r}: set "
            "KERAS_BACKEND=jax before Keras is first imported."
        )


check_backend(keras.config.backend())
