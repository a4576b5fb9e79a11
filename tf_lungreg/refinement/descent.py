"""Descends a loss by Adam at a constant rate until nothing is gained, then comes to rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf_lungreg.arrays import Array

PATIENCE = 20  # steps without any gain, before the first one
TAKEOFF = 5  # steps at the beginning in which the rate rises
LANDING = 6  # steps at the end in which the rate falls to zero

_FIRST, _SECOND = 0.9, 0.99  # decay of the moments; the second's for tens of steps, not thousands
_LAST = 0.05  # share of the rate that is left at the end
_FLOOR = 0.3  # share of the root mean square gradient below which a gradient is taken for noise
_TINY = 1e-10

Loss = Callable[[Array], tuple[float, Array]]


@dataclass(frozen=True)
class Ending:
    """When a descent has settled: when some steps gained too little.

    Attributes:
        steps: how many are judged.
        share: of what all steps gained, below which their gain is too little.
    """

    steps: int
    share: float

    def reached(self, losses: list[float]) -> bool:
        """Whether it is time to land.

        The first steps of Adam are as large everywhere, so that the loss may rise before it falls.

        Args:
            losses: of each step.
        """
        least = min(losses)
        if len(losses) <= (self.steps if least < losses[0] else PATIENCE):
            return False
        return min(losses[: -self.steps]) - least <= self.share * (losses[0] - least)


@dataclass(frozen=True, eq=False)
class Minimum:
    """The lowest loss of a descent.

    Attributes:
        values: that have this loss.
        loss: the lowest.
        steps: how often the loss was evaluated.
        settled: whether the descent ended because nothing was gained, not for lack of steps.
    """

    values: Array
    loss: float
    steps: int
    settled: bool


class Adam:
    """Kingma and Ba, "Adam: a method for stochastic optimization", 2015, on arrays.

    Its ε, relative to the gradients, keeps still what has hardly a gradient: where an image has no
    texture, plain Adam would follow the noise at the full rate.
    """

    def __init__(self):
        self._step = 0
        self._first: Array | float = 0.0
        self._second: Array | float = 0.0

    def update(self, values: Array, gradient: Array, rate: float) -> Array:
        """The values after one more step, in their own type.

        Args:
            values: what is optimised.
            gradient: of the loss, in the shape of the values.
            rate: of this step.
        """
        self._step += 1
        self._first = _FIRST * self._first + (1 - _FIRST) * gradient
        self._second = _SECOND * self._second + (1 - _SECOND) * gradient**2
        mean = self._first / (1 - _FIRST**self._step)
        square = self._second / (1 - _SECOND**self._step)
        scale = np.sqrt(square) + _FLOOR * np.sqrt(np.mean(square)) + _TINY
        return (values - rate * mean / scale).astype(values.dtype)


def minimise(
    function: Loss,
    values: Array,
    rate: float,
    most: int,
    ending: Ending,
    watch: Callable[[float], None] = lambda loss: None,
) -> Minimum:
    """Descends a loss, and returns the best values on the way.

    The rate rises for ``TAKEOFF`` steps and is then constant until the descent has settled or
    ``LANDING`` steps are left. In these it falls along a cosine.

    Args:
        function: the loss of the values and its gradient.
        values: where to begin.
        rate: of Adam.
        most: evaluations of the loss, at least 1.
        ending: when the descent has settled.
        watch: called with the loss of each step.
    """
    adam, best, least, losses, ends = Adam(), values, np.inf, [], most
    for step in range(1, most + 1):
        loss, gradient = function(values)
        watch(loss)
        losses.append(loss)
        if loss < least:
            least, best = loss, values
        if ends == most and ending.reached(losses):
            ends = min(most, step + LANDING)
        if step == ends:
            break
        left = min(1.0, step / TAKEOFF, (ends - step) / LANDING)
        share = _LAST + (1 - _LAST) * (1 - np.cos(np.pi * left)) / 2
        values = adam.update(values, gradient, rate * share)
    return Minimum(best, float(least), len(losses), ends < most)
