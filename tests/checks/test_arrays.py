"""The wording of the errors of trees: argument, rule and value."""

import jax
import numpy as np
import pytest
from flax import nnx

from neat_optax import _checks


def refuses(message):
    return pytest.raises(ValueError, match=message)


def test_structures():
    like = {"a": np.ones(2, "f4"), "b": None}
    _checks.check_same_structure("x", {"a": np.zeros(2, "f4"), "b": None}, "y", like)
    with refuses(r"^`x` must have the tree structure of `y`, got PyTreeDef.* for PyTr"):
        _checks.check_same_structure("x", {"a": np.ones(2, "f4")}, "y", like)
    with refuses(r"^`x` must have the tree structure of `y`, got no array at \['a'\]"):
        _checks.check_same_structure("x", {"c": np.ones(2, "f4"), "b": None}, "y", like)
    with refuses(r"^`x` must have .* of `y`, got another array at \['b'\]\['c'\]\.$"):
        _checks.check_same_structure("x", {"a": 1, "b": {"c": 1}}, "y", like)
    with refuses(r"^`x` must have the shapes of `y`, got \(3,\) for \(2,\) at \['a'\]"):
        _checks.check_same_structure("x", {"a": np.ones(3, "f4"), "b": None}, "y", like)
    with refuses(r"got \(3,\) for \(\) at the root\. A leading player axis must be re"):
        _checks.check_same_structure("x", np.ones(3, "f4"), "y", np.ones((), "f4"))


def test_the_parameters_of_a_module_are_asked_for():
    model = nnx.Linear(1, 1, rngs=nnx.Rngs(0))
    grads = nnx.state(model, nnx.Param)
    with refuses(r"array at \.bias\.value\. Of an NNX module pass its parameters: nn"):
        _checks.check_same_structure("updates", grads, "params", model)
    with refuses(r"got no array at \['bias'\]\.value\.$"):
        _checks.check_same_structure("updates", {}, "params", grads)


def test_dtypes():
    x, y = {"a": np.ones(2, "f4")}, {"a": np.ones(2, "f2")}
    _checks.check_same_structure("x", x, "y", y)
    with refuses(r"^`x` must have the dtypes of `y`, got float32 for float16 at \['a'"):
        _checks.check_same_structure("x", x, "y", y, dtypes=True)


def test_the_hint_at_players_is_given_only_for_a_leading_axis():
    with pytest.raises(ValueError) as error:
        _checks.check_same_structure("x", np.ones((2, 3), "f4"), "y", np.ones(2, "f4"))
    assert "player" not in str(error.value)


@pytest.mark.parametrize(
    "leaf", [jax.device_put(np.ones(2, "int32")), np.ones(1, bool), 3]
)
def test_integer_leaves(leaf):
    _checks.check_inexact("updates", {"a": 1.0, "b": np.ones(1, "complex64")})
    with refuses(r"^`updates` must have floating or complex leaves, got .* at \['k'\]"):
        _checks.check_inexact("updates", {"k": leaf})
    with refuses(r"; leave other leaves out with optax\.masked\.$"):
        _checks.check_inexact("updates", leaf)
    with refuses(r"^`params` must .*; pass other leaves as another argument of the l"):
        _checks.check_loss_params(leaf)


def test_losses():
    for losses in (1.0, jax.device_put(np.float32(1)), np.ones(3)):
        _checks.check_losses(losses)
    for losses, got in (
        (1, "a int"),
        (np.int32(1), r"int32 of shape \(\)"),
        (np.ones((1, 2), "f4"), r"float32 of shape \(1, 2\)"),
    ):
        with refuses(rf"^`loss` must return a real float of .* players, got {got}\.$"):
            _checks.check_losses(losses)


def test_values_of_a_leaf():
    for value in (1.0, np.ones(2, "f4")):
        _checks.check_leaf_value("sigma", value, np.ones(2, "f4"))
    with refuses(r"^`sigma` must be a number or .* shape, \(2,\), got shape \(1,\)\.$"):
        _checks.check_leaf_value("sigma", np.ones(1, "f4"), np.ones(2, "f4"))


def test_missing_params():
    _checks.check_params({}, "tx")
    with refuses(r"^`params` must be passed to update for tx, got None: call tx\.upd"):
        _checks.check_params(None, "tx")
