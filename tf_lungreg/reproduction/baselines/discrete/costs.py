"""Similarity costs voxel by voxel, lower is better.

A cost is made for ``(fixed, warped)``, two volumes (D, H, W) in [0, 1], the second being the moving
image under the grid so far. It is a function: candidate volume (D, H, W) → cost (D, H, W).
"""

from __future__ import annotations

import functools
from typing import Callable

import numpy as np
import pywt
from scipy import ndimage

from tf_lungreg.arrays import Array
from tf_lungreg.reproduction.baselines.discrete import settings

Cost = Callable[[Array], Array]


def ncc(fixed: Array, warped: Array) -> Cost:
    """One less the correlation in a window about each voxel: 0 to 2, and 1 where all is flat."""
    mean = _local_mean(fixed)
    variance = _local_variance(fixed, mean)

    def cost(candidate: Array) -> Array:
        other = _local_mean(candidate)
        covariance = _local_mean(fixed * candidate) - mean * other
        return 1 - covariance / np.sqrt(variance * _local_variance(candidate, other))

    return cost


def mi(fixed: Array, warped: Array) -> Cost:
    """Each voxel's share of mutual information, ``-log p(a, b) / (p(a) p(b))``.

    The probabilities are those of the two images so far; their mean cost is the images' mutual
    information, negative.
    """
    rows = _bins(fixed) * settings.MI_BINS
    size = settings.MI_BINS**2
    counts = np.bincount((rows + _bins(warped)).ravel(), minlength=size)
    joint = counts.reshape(settings.MI_BINS, settings.MI_BINS) / counts.sum()
    joint = ndimage.gaussian_filter(joint, settings.MI_SIGMA, mode="nearest") + settings.MI_FLOOR
    joint /= joint.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    table = -np.log(joint / independent).astype(np.float32).ravel()

    def cost(candidate: Array) -> Array:
        return table[rows + _bins(candidate)]

    return cost


def dwm(fixed: Array, warped: Array) -> Cost:
    """Differences of the Haar coefficients in blocks of voxels; ``warped`` is not needed.

    The transform is linear: its coefficients of the images' difference are the differences.
    """

    def cost(candidate: Array) -> Array:
        return _haar_magnitude(candidate - fixed, settings.DWM_LEVELS)

    return cost


COSTS: dict[str, Callable[[Array, Array], Cost]] = {"ncc": ncc, "dwm": dwm, "mi": mi}


def weighted_cost(weights: dict[str, float], fixed: Array, warped: Array) -> Cost:
    """The weighted sum of some costs, name → weight.

    Args:
        weights: of the costs, by name in ``COSTS``.
        fixed: (D, H, W), float32 in [0, 1].
        warped: the moving image as it lies so far, of the same shape.
    """
    terms = [(weight, COSTS[name](fixed, warped)) for name, weight in weights.items()]

    def total(candidate: Array) -> Array:
        return functools.reduce(np.add, (weight * cost(candidate) for weight, cost in terms))

    return total


def _haar_magnitude(volume: Array, levels: int) -> Array:
    """The magnitudes of the orthonormal Haar coefficients, spread evenly over their blocks."""
    bands = pywt.dwtn(volume, "haar")  # an axis of odd length has its last voxel doubled
    coarse = bands.pop("aaa")
    total = sum(np.abs(band) for band in bands.values())
    total += np.abs(coarse) if levels == 1 else _haar_magnitude(coarse, levels - 1)
    total /= 8  # the voxels of a block
    for axis, length in enumerate(volume.shape):
        total = np.repeat(total, 2, axis=axis).take(range(length), axis=axis)
    return total


def _bins(volume: Array) -> Array:
    return np.clip(volume * settings.MI_BINS, 0, settings.MI_BINS - 1).astype(np.intp)


def _local_mean(volume: Array) -> Array:
    return ndimage.uniform_filter(volume, settings.NCC_WINDOW, mode="nearest")


def _local_variance(volume: Array, mean: Array) -> Array:
    return np.maximum(_local_mean(volume**2) - mean**2, 0) + settings.NCC_VARIANCE
