"""The wording of the errors of arguments: argument, rule and value."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neat_optax import _checks

SEVEN = jax.device_put(np.float32(7))


def refuses(message):
    return pytest.raises(ValueError, match=message)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.25), np.int64(0)])
def test_numbers_in_the_interval_pass(value):
    _checks.check_number("decay", value, "[0, 1)")


@pytest.mark.parametrize("value", [lambda _: 7.0, SEVEN])
def test_schedules_and_arrays_pass(value):
    _checks.check_number("decay", value, "[0, 1)")
    _checks.check_count("steps", value)


@pytest.mark.parametrize(
    ("interval", "value"),
    [
        ("[0, 1)", 1.0),
        ("[0, 1)", -1e-9),
        ("(0, 1]", 0.0),
        ("[0, 1]", 1.1),
        ("(0, inf)", 0),
        ("[0, inf)", np.inf),
        ("[0, inf)", np.nan),
    ],
)
def test_numbers_outside_are_refused(interval, value):
    with pytest.raises(ValueError) as error:
        _checks.check_number("decay", value, interval)
    assert str(error.value) == f"`decay` must be in {interval}, got {value}."


@pytest.mark.parametrize("value", ["0.5", None, True, (0.5,)])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError) as error:
        _checks.check_number("decay", value, "[0, 1)")
    expected = f"`decay` must be a number in [0, 1) or a schedule, got {value!r}."
    assert str(error.value) == expected


@pytest.mark.parametrize("value", [-1, 1.0, True, "2", None])
def test_counts(value):
    _checks.check_count("steps", 0)
    _checks.check_count("steps", np.int32(3))
    with refuses(r"^`steps` must be an integer >= 0, got "):
        _checks.check_count("steps", value)
    with refuses(r"^`period` must be an integer >= 1, got 0\.$"):
        _checks.check_count("period", 0, minimum=1)


def test_counts_without_a_schedule():
    _checks.check_count("k", jax.device_put(np.int32(7)), minimum=1, schedule=False)
    with refuses(r"^`k` must be an integer, got <function .*>\.$"):
        _checks.check_count("k", lambda _: 7, minimum=1, schedule=False)
    with refuses(r"^`k` must be an integer >= 1, got 0\.$"):
        _checks.check_count("k", 0, minimum=1, schedule=False)


@pytest.mark.parametrize(
    "value", [1.0, True, "2", None, jax.device_put(np.int32(3)), len]
)
def test_integers(value):
    _checks.check_integer("axis", np.int32(-3))
    _checks.check_integer("axis", 2, minimum=2)
    with refuses(r"^`axis` must be an integer, got "):
        _checks.check_integer("axis", value)
    with refuses(r"^`axis` must be an integer, got "):
        _checks.check_integer("axis", value, minimum=1)
    with refuses(r"^`axis` must be an integer >= 2, got 1\.$"):
        _checks.check_integer("axis", 1, minimum=2)


def test_ranges():
    _checks.check_range("pair", (0.0, 0.0), "[0, inf)")
    _checks.check_range("pair", (lambda _: 3.0, 1.0), "[0, inf)")
    with refuses(r"^`pair` must be a \(minimum, maximum\) pair, got 3\.$"):
        _checks.check_range("pair", 3, "[0, inf)")
    with refuses(r"^`pair` must be in \[0, inf\), got -1\.$"):
        _checks.check_range("pair", (-1, 2), "[0, inf)")
    with refuses(r"^`pair` must be \(minimum, maximum\) in order, got \(2, 1\)\.$"):
        _checks.check_range("pair", (2, 1), "[0, inf)")


def test_choices_and_bools():
    _checks.check_choice("mode", "a", ("a", "b"))
    with refuses(r"^`mode` must be one of a, b, got c\.$"):
        _checks.check_choice("mode", "c", ("a", "b"))
    with refuses(r"^`mode` must be one of a, b, got 3\.$"):
        _checks.check_choice("mode", 3, ("a", "b"))
    _checks.check_bool("flag", np.bool_(True))
    with refuses(r"^`flag` must be True or False, got 1\.$"):
        _checks.check_bool("flag", 1)


@pytest.mark.parametrize(
    ("value", "meant"), [("smu", "sum"), ("SUM", "sum"), ("medain", "median")]
)
def test_a_choice_that_is_close_is_named(value, meant):
    got = rf"^`mode` must be one of sum, median, got {value}; did you mean {meant}\?$"
    with refuses(got):
        _checks.check_choice("mode", value, ("sum", "median"))


def test_kinds_and_functions():
    _checks.check_kind("count", 3, int)
    with refuses(r"^`count` must be of type int, got 'x'\.$"):
        _checks.check_kind("count", "x", int)
    with refuses(r"^`count` must be of type int, got <.*; did you forget to call"):
        _checks.check_kind("count", len, int)
    _checks.check_function("rule", len)
    with refuses(r"^`rule` must be a function, got 'x'\.$"):
        _checks.check_function("rule", "x")


def test_dtypes():
    for dtype in (None, "bfloat16", jnp.float32, np.complex64):
        _checks.check_dtype("dtype", dtype)
    for dtype in (jnp.int32, "none", 3):
        with refuses(r"^`dtype` must be a floating dtype or None, got "):
            _checks.check_dtype("dtype", dtype)


def test_fields_take_no_schedules():
    _checks.check_fields({"alpha": 0.5}, {"alpha": "[0, 1]"})
    with refuses(r"^`alpha` must be in \[0, 1\], got 2\.$"):
        _checks.check_fields({"alpha": 2}, {"alpha": "[0, 1]"})
    with refuses(r"^`alpha` must be a number in \[0, 1\], got <function"):
        _checks.check_fields({"alpha": lambda _: 0.5}, {"alpha": "[0, 1]"})
