"""The type of arrays in annotations; docstrings tell shapes, units and what the numbers are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# numpy's own annotations lose the type of the numbers in most operations, so that a more exact
# name would promise what no checker can hold.
Array = NDArray[Any]


def as_array(values: ArrayLike) -> Array:
    """The values as an array, whose shape and type tell whether they can be used.

    Args:
        values: of a caller who may give anything. Rows of different lengths are one object, of
            shape () and type object.

    >>> as_array([[1, 2], [3, 4]]).shape, as_array([[1, 2], [3]]).shape
    ((2, 2), ())
    """
    try:
        return np.asarray(values)
    except ValueError:
        return np.array(None)
