"""The type of arrays in annotations; docstrings tell shapes, units and what the numbers are."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

# numpy's own annotations lose the type of the numbers in most operations, so that a more exact
# name would promise what no checker can hold.
Array = NDArray[Any]
