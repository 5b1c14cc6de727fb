"""What a factory is given: numbers, choices and functions."""

import difflib
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_Number = (int, float, np.integer, np.floating)


def check_number(name: str, value: Any, interval: str) -> None:
    """Raises unless `value` lies in `interval`, written as in `"[0, 1)"`.

    Schedules (callables) and JAX arrays pass: their values are known only in the step.
    """
    if callable(value) or isinstance(value, jax.Array):
        return
    if isinstance(value, bool) or not isinstance(value, _Number):
        raise ValueError(
            f"`{name}` must be a number in {interval} or a schedule, got {value!r}."
        )
    if not _contains(interval, float(value)):
        raise ValueError(f"`{name}` must be in {interval}, got {value}.")


def check_count(
    name: str, value: Any, minimum: int = 0, *, schedule: bool = True
) -> None:
    """Raises unless `value` is an integer of at least `minimum`.

    JAX arrays pass, and schedules unless there can be none.
    """
    if callable(value) and not schedule:
        check_integer(name, value)
    if callable(value) or isinstance(value, jax.Array):
        return
    if not _is_integer(value) or value < minimum:
        raise ValueError(f"`{name}` must be an integer >= {minimum}, got {value!r}.")


def check_integer(name: str, value: Any, minimum: int | None = None) -> None:
    """Raises unless `value` is a plain integer, of at least `minimum` if given."""
    if not _is_integer(value):
        raise ValueError(f"`{name}` must be an integer, got {value!r}.")
    if minimum is not None:
        check_count(name, value, minimum)


def check_interval(begin: Any, every: Any, end: Any) -> None:
    """Raises unless the steps `begin`, `begin + every`, ... up to `end` are some."""
    check_count("begin", begin, schedule=False)
    check_count("every", every, minimum=1, schedule=False)
    if end is None:
        return
    check_count("end", end, schedule=False)
    if all(isinstance(x, (int, np.integer)) for x in (begin, end)) and end < begin:
        raise ValueError(f"`end` must be at least `begin`, {begin}, got {end}.")


def check_range(name: str, value: Any, interval: str) -> None:
    """Raises unless `value` is a pair (minimum, maximum) of ordered numbers."""
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"`{name}` must be a (minimum, maximum) pair, got {value!r}.")
    for end in value:
        check_number(name, end, interval)
    if all(isinstance(end, _Number) for end in value) and value[0] > value[1]:
        raise ValueError(f"`{name}` must be (minimum, maximum) in order, got {value}.")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raises unless `value` is one of `choices`, and names the one that is close."""
    if value in choices:
        return
    text = value.lower() if isinstance(value, str) else ""
    close = difflib.get_close_matches(text, choices, n=1)
    hint = f"; did you mean {close[0]}?" if close else "."
    raise ValueError(f"`{name}` must be one of {', '.join(choices)}, got {value}{hint}")


def check_bool(name: str, value: Any) -> None:
    """Raises unless `value` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"`{name}` must be True or False, got {value!r}.")


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raises unless `value` is of a kind, such as an `Opponent`."""
    if isinstance(value, kind):
        return
    hint = "; did you forget to call it?" if callable(value) else "."
    raise ValueError(f"`{name}` must be of type {kind.__name__}, got {value!r}{hint}")


def check_function(name: str, value: Any) -> None:
    """Raises unless `value` can be called."""
    if not callable(value):
        raise ValueError(f"`{name}` must be a function, got {value!r}.")


def check_dtype(name: str, value: Any) -> None:
    """Raises unless `value` is None or names a floating or complex dtype."""
    try:
        inexact = value is None or jnp.issubdtype(jnp.dtype(value), jnp.inexact)
    except TypeError:
        inexact = False
    if not inexact:
        raise ValueError(f"`{name}` must be a floating dtype or None, got {value!r}.")


def check_fields(values: Mapping[str, Any], intervals: Mapping[str, str]) -> None:
    """Checks plain numbers, no schedules, against a table of intervals."""
    for name, interval in intervals.items():
        if callable(values[name]):
            raise ValueError(
                f"`{name}` must be a number in {interval}, got {values[name]!r}."
            )
        check_number(name, values[name], interval)


def check_fewer(name: str, value: int, what: str, count: int) -> None:
    """Raises unless a number is below the number of things that there are."""
    if value >= count:
        raise ValueError(
            f"`{name}` must be less than the number of {what}, {count}, got {value}."
        )


def check_total(name: str, what: str, count: int) -> None:
    """Raises if there are more things than an int32 counts."""
    if count > np.iinfo(np.int32).max:
        raise ValueError(
            f"`{name}` must hold at most 2,147,483,647 {what}, got {count:,}."
        )


def check_holds(name: str, what: str, found: Any) -> None:
    """Raises unless something was found in a value."""
    if not found:
        raise ValueError(f"`{name}` must contain a {what}, got none.")


def check_numbers(name: str, value: Any) -> None:
    """Raises unless `value` is finite numbers, one for each player."""
    if isinstance(value, jax.Array):
        return
    entries = np.asarray(value)
    numeric = np.issubdtype(entries.dtype, np.number) and entries.ndim == 1
    if not numeric or not np.all(np.isfinite(entries)):
        raise ValueError(
            f"`{name}` must be finite numbers, one for each player, got {value!r}."
        )


def check_preference(name: str, value: Any) -> None:
    """Raises unless `value` is None or nonnegative numbers, one for each player."""
    if value is None or isinstance(value, jax.Array):
        return
    entries = np.asarray(value)
    numeric = np.issubdtype(entries.dtype, np.number) and entries.ndim == 1
    if not numeric or not np.all(entries >= 0) or not np.sum(entries) > 0:
        raise ValueError(
            f"`{name}` must be nonnegative numbers with a positive sum, one for each "
            f"player, got {value!r}."
        )


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _contains(interval: str, value: float) -> bool:
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value > low if interval[0] == "(" else value >= low
    below = value < high if interval[-1] == ")" else value <= high
    return above and below and not math.isnan(value)
