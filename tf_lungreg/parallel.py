"""Several things at a time, in threads: numpy, scipy and zlib do not hold Python's lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tf_lungreg.environment import available_cores

Result = TypeVar("Result")

_THREADS = min(8, available_cores())  # each needs the memory of what it does


def at_once(*functions: Callable[[], Result]) -> list[Result]:
    """What the functions return, in their order; the first that raised is the one that is heard."""
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda function: function(), functions))
