"""Sampling an image at voxel coordinates, and going through a large grid in slabs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import ndimage

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import NUDGE, Frame, apply_affine, within
from tf_lungreg.parallel import at_once

ORDERS = {"linear": 1, "nearest": 0, "cubic": 3}  # interpolation → order of the spline

_SLAB = 250_000  # voxels: some ten MB of coordinates and their like, for each slab at work


class Sampler:
    """An image ready to be sampled at any voxel coordinates: ``sampler(x) = data(x)``.

    Outside is what lies more than half a voxel beyond the centre of the last voxel, which is
    SimpleITK's rule; within that half voxel the border continues. Where a sample lies exactly
    midway between two voxels, or at the very edge, rounding errors would choose at random: it
    belongs to the next voxel, as in ITK.

    Args:
        data: (D, H, W), any real type or bool.
        interpolation: a name in ``ORDERS``; ``"nearest"`` for masks and labels.
        outside: the value outside; without it the border continues.

    Raises:
        InputError: an unknown interpolation.
    """

    def __init__(self, data: Array, interpolation: str = "linear", outside: float | None = None):
        if interpolation not in ORDERS:
            known = ", ".join(ORDERS)
            raise InputError(f"interpolation: one of {known} is needed, not {interpolation!r}.")
        self._order = ORDERS[interpolation]
        self._shape = np.array(data.shape).reshape(3, 1)
        self._outside = outside
        # A cubic spline through the voxels, mirrored at the borders, as ITK's B-spline is.
        self._mode = "mirror" if self._order > 1 else "nearest"
        if self._order > 1:
            data = ndimage.spline_filter(data, self._order, output=np.float32, mode=self._mode)
        self._data = data

    def __call__(self, coordinates: Array) -> Array:
        """The samples.

        Args:
            coordinates: (..., 3), zero-based voxel coordinates in array-axis order.

        Returns:
            (...), of the data's type; float32 for a cubic spline.
        """
        flat = np.moveaxis(coordinates, -1, 0).reshape(3, -1)
        if self._order == 0:
            out = self._nearest(flat)
        else:
            out = ndimage.map_coordinates(
                self._data, flat, order=self._order, mode=self._mode, prefilter=False
            )
        if self._outside is not None:
            out[~within(flat, self._shape).all(axis=0)] = self._outside
        return out.reshape(coordinates.shape[:-1])

    def _nearest(self, flat: Array) -> Array:
        """The nearest voxels; scipy's samples go through float64, too short for large labels."""
        index = np.floor(flat + (0.5 + NUDGE))
        return self._data[tuple(np.clip(index, 0, self._shape - 1).astype(np.intp))]


def sample_linear(data: Array, voxels: Array, dtype: type[np.floating[Any]] | None = None) -> Array:
    """Linear interpolation of each component of an array, its border continued.

    Args:
        data: (D, H, W, ...).
        voxels: (..., 3), zero-based voxel coordinates in array-axis order.
        dtype: of the result; by default the data's.

    Returns:
        The points' shape less the last axis, then the data's less the first three.
    """
    flat = np.moveaxis(voxels, -1, 0).reshape(3, -1)
    number_type = np.dtype(data.dtype if dtype is None else dtype)
    parts = data.reshape(*data.shape[:3], -1)
    out = np.empty((flat.shape[1], parts.shape[-1]), number_type)
    for number in range(parts.shape[-1]):
        out[:, number] = ndimage.map_coordinates(
            parts[..., number], flat, number_type, order=1, mode="nearest"
        )
    return out.reshape(*voxels.shape[:-1], *data.shape[3:])


def is_inside(points: Array, frame: Frame) -> Array:
    """Which points lie within a grid's voxels.

    Args:
        points: (..., 3), RAS mm.
        frame: the grid.

    Returns:
        (...), bool.
    """
    voxels = apply_affine(np.linalg.inv(frame.affine), points)
    return np.all(within(voxels, np.array(frame.shape)), axis=-1)


def slabs(shape: tuple[int, int, int]) -> Iterator[slice]:
    """Cuts a grid along its first axis into parts of a limited size."""
    thickness = max(1, _SLAB // (shape[1] * shape[2]))
    for start in range(0, shape[0], thickness):
        yield slice(start, min(start + thickness, shape[0]))


def over_slabs(shape: tuple[int, int, int], work: Callable[[slice], None]) -> None:
    """Calls ``work`` with every slab of a grid, as many at a time as there are processors.

    Args:
        shape: of the grid.
        work: on a range of the first axis.
    """
    at_once(*(functools.partial(work, slab) for slab in slabs(shape)))


def world_points(frame: Frame, slab: slice) -> Array:
    """RAS mm of the voxels of a slab: (d, H, W, 3), float64.

    Args:
        frame: the grid.
        slab: a range of its first axis.
    """
    axes = [np.arange(slab.start, slab.stop), *(np.arange(n) for n in frame.shape[1:])]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return apply_affine(frame.affine, voxels)


def thinned_points(frame: Frame, count: int) -> Array:
    """RAS mm of about ``count`` voxels, evenly spread and with the outermost: (N, 3).

    Args:
        frame: the grid.
        count: how many, at most about.
    """
    step = max(1.0, (np.prod(frame.shape, dtype=float) / count) ** (1 / 3))
    axes = [np.linspace(0, n - 1, max(2, round(n / step))) for n in frame.shape]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return apply_affine(frame.affine, voxels)
