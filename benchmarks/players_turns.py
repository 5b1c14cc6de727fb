"""Calls that take turns, so that a machine that slows slows all of them alike."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

SECONDS_OF_A_TURN = 0.02


def run(call: Callable[[], Any], count: int = 1) -> float:
    """Seconds of one of so many calls."""
    begun = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begun) / count


def counts(calls: dict[str, Callable[[], Any]]) -> dict[str, int]:
    """How often each is called in a turn; the first call, which warms up, is apart."""
    for call in calls.values():
        call()
    return {name: 1 + int(SECONDS_OF_A_TURN / run(calls[name])) for name in calls}


def take(
    calls: dict[str, Callable[[], Any]], times_each: dict[str, int]
) -> dict[str, float]:
    """Seconds of one call of each, from one turn of each."""
    return {name: run(call, times_each[name]) for name, call in calls.items()}


def ratio(rounds: list[dict[str, float]], name: str, to: str) -> float:
    """The median of the ratios within rounds."""
    return float(np.median([times[name] / times[to] for times in rounds]))
