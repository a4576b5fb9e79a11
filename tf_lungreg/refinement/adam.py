"""Adam with a falling rate, on arrays."""

from __future__ import annotations

import numpy as np

_FIRST, _SECOND = 0.9, 0.99  # decay of the moments; the second's for tens of steps, not thousands
_LAST = 0.05  # share of the rate that is left at the end
_TINY = 1e-10


class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization", 2015, with a cosine decay.

    Args:
        rate: the first one.
        steps: how many there will be.
    """

    def __init__(self, rate: float, steps: int):
        self._rate, self._steps, self._step = rate, steps, 0
        self._first = self._second = 0.0

    def update(self, values: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """The values after one more step, in their own type.

        Args:
            values: what is optimised.
            gradient: of the loss, in the shape of the values.
        """
        falling = (1 + np.cos(np.pi * self._step / self._steps)) / 2
        rate = self._rate * (_LAST + (1 - _LAST) * falling)
        self._step += 1
        self._first = _FIRST * self._first + (1 - _FIRST) * gradient
        self._second = _SECOND * self._second + (1 - _SECOND) * gradient**2
        mean = self._first / (1 - _FIRST**self._step)
        scale = np.sqrt(self._second / (1 - _SECOND**self._step)) + _TINY
        return (values - rate * mean / scale).astype(values.dtype)
