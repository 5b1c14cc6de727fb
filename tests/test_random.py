"""Random keys from whatever callers have."""

import jax
import numpy as np
import pytest

from neat_optax._random import as_key, check_key


@pytest.mark.parametrize("given", [7, jax.random.key(7), jax.random.PRNGKey(7)])
def test_seeds_typed_keys_and_raw_keys_are_the_same_key(given):
    check_key("key", given)
    wanted = jax.random.key_data(jax.random.key(7))
    np.testing.assert_array_equal(jax.random.key_data(as_key(given)), wanted)


@pytest.mark.parametrize("wrong", [-1, 0.5, "seed"])
def test_what_is_neither_a_key_nor_a_seed(wrong):
    with pytest.raises(ValueError, match=r"^`key` must be an integer"):
        check_key("key", wrong)
