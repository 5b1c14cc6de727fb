"""What keeps others from calculating with the factors of a gradient.

A transformation that knows nothing of factors would change each of them. So next to
them there is an array that JAX refuses to calculate with: its dtype is that of random
keys, of a generator that has no random numbers, and the name of it stands in the error.
"""

import functools
from typing import Any, NoReturn

import jax
import jax.numpy as jnp

_TAG = "factored gradients, which only aggregators read"


def make_seal(count: int) -> jax.Array:
    """[P, 1, 1]: nothing for each player, with axes as those of factors."""
    return jax.random.wrap_key_data(jnp.zeros((count, 1, 1, 1), "uint32"), impl=_impl())


@functools.cache
def _impl() -> Any:
    from jax.extend.random import define_prng_impl  # costs time to import

    return define_prng_impl(
        key_shape=(1,),
        seed=_refuse,
        split=_refuse,
        random_bits=_refuse,
        fold_in=_refuse,
        name=f"{__name__}.seal",
        tag=_TAG,
    )


def _refuse(*_: Any) -> NoReturn:
    raise TypeError(f"This is not a random key but a mark of {_TAG}.")
