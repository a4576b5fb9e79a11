"""Timing methods side by side, so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def alternate(methods: Mapping[str, Callable], runs: int = 5) -> dict[str, float]:
    """Median seconds of each method, called in turn, after a call of each that is not counted.

    Args:
        methods: name → function without arguments.
        runs: calls of each that are counted; every second round goes backwards.
    """
    for method in methods.values():
        method()
    seconds = {name: [] for name in methods}
    for number in range(runs):
        names = list(methods) if number % 2 == 0 else list(reversed(methods))
        for name in names:
            start = time.perf_counter()
            methods[name]()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in seconds.items()}
