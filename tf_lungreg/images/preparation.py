"""From an image to what the network sees: intensity window to [0, 1], then resampling.

The window comes first: it cuts off metal and air before the interpolation can spread them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

import numpy as np
from scipy import ndimage

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import NUDGE, Frame, within
from tf_lungreg.images.image import Image

Window = Union[str, Sequence[float]]

HOUNSFIELD_WINDOW = (-1000.0, 300.0)
PAPER_WINDOW = (0.0, 1300.0)

_FWHM = 2 * np.sqrt(2 * np.log(2))  # of a Gaussian with sigma 1


def is_hounsfield(data: Array) -> bool:
    """Whether the data look like CT: at least 1 % of the voxels are below -200.

    Air and lung tissue are, in Hounsfield units, and so are the values that scanners pad with;
    MRI is not negative, or within some ten units of zero after normalisation.
    """
    return bool(np.count_nonzero(data < -200) >= 0.01 * data.size)


def window_limits(data: Array, window: Window = "auto", name: str = "image") -> tuple[float, float]:
    """The intensities that become 0 and 1.

    Args:
        data: the voxels of one image, any shape.
        window: ``"auto"``: (-1000, 300) when :func:`is_hounsfield`, otherwise the 0.5 and 99.5
            percentiles; ``"paper"``: (0, 1300) (Section 2.4); or a pair (low, high).
        name: the file, for messages.

    Raises:
        InputError: an unknown window, low is not below high, or the image is constant within it.
    """
    smallest, largest = float(data.min()), float(data.max())
    if isinstance(window, str) and window == "auto":
        low, high = HOUNSFIELD_WINDOW if is_hounsfield(data) else _percentiles(data)
        if not low < high:  # nearly all voxels have one value: a masked image, for example
            low, high = smallest, largest
    elif isinstance(window, str) and window == "paper":
        low, high = PAPER_WINDOW
    else:
        low, high = _pair(window)
    if not (smallest < largest and smallest < high and largest > low):
        raise InputError(
            f"{name}: nothing to register, the image is constant in the window [{low:g}, {high:g}] "
            f"(its values are {smallest:g} to {largest:g}); choose a window within the image's "
            "values, or another image."
        )
    return low, high


def apply_window(data: Array, limits: tuple[float, float]) -> Array:
    """Maps [low, high] linearly to [0, 1] and clips; float32 of the same shape.

    Args:
        data: intensities of any shape.
        limits: low and high.
    """
    low, high = limits
    out = np.subtract(data, np.float32(low), dtype=np.float32)
    out /= np.float32(high - low)
    return np.clip(out, 0, 1, out=out)


def resample(volume: Image, frame: Frame, order: int = 3, outside: str | float = "border") -> Array:
    """Samples an image at the voxels of another grid, at the same world positions.

    Before shrinking, the image is smoothed along each of its axes, so that a voxel of the target
    stands for its surroundings: with r the length, in source voxels along that axis, of a target
    voxel, the Gaussian's full width at half maximum is sqrt(r² - 1) voxels, the width that is
    missing between the two voxels' (Cardoso et al., MICCAI 2015); none for r ≤ 1. On a rotated
    grid r is the root sum square of the target's three steps along the axis.

    Args:
        volume: image or mask; a mask is always sampled with order 0 and False outside.
        frame: where to sample, with any rotation.
        order: of the spline. 0 (nearest voxel) does not smooth: for labels.
        outside: ``"border"`` continues the outermost voxels; or the value more than half a voxel
            beyond the centre of the last voxel, which is SimpleITK's rule.

    Returns:
        (D, H, W) of ``frame``; float32, bool for a mask.

    Raises:
        InputError: ``outside`` is neither a number nor "border".
    """
    if isinstance(outside, str) and outside != "border":
        raise InputError(f"outside: 'border' or a number is needed, not {outside!r}.")
    to_source = frame.voxel_to(volume.frame)  # target voxel → source voxel
    # Grids that share a spacing put target voxels midway between two source voxels, where rounding
    # errors would choose one at random, or at the very edge: always the next one, as in ITK.
    nudged = to_source.copy()
    nudged[:3, 3] += NUDGE
    if volume.data.dtype == bool:
        inside = _inside(to_source, frame.shape, volume.frame.shape)
        return inside & _sample(volume.data.view(np.uint8), nudged, frame.shape, 0).view(bool)
    data = volume.data.astype(np.float32, copy=False)
    if order > 0:
        data = _smooth(data, to_source)
    out = _sample(data, to_source if order else nudged, frame.shape, order)
    if outside != "border":
        out[~_inside(to_source, frame.shape, volume.frame.shape)] = outside
    return out


def to_network(volume: Image, frame: Frame, window: Window = "auto") -> Array:
    """The image that the network sees: windowed by its own intensities, resampled, in [0, 1].

    Args:
        volume: an image.
        frame: of the network, see :func:`tf_lungreg.images.network_frame.network_frame`.
        window: see :func:`window_limits`.

    Returns:
        (D, H, W) of ``frame``, float32.

    Raises:
        InputError: see :func:`window_limits`.
    """
    limits = window_limits(volume.data, window, volume.name)
    windowed = Image(apply_window(volume.data, limits), volume.frame, volume.name)
    out = resample(windowed, frame)
    return np.clip(out, 0, 1, out=out)  # cubic splines overshoot


def mask_to_network(mask: Image, frame: Frame) -> Array:
    """The mask on the network's grid by the nearest voxel: (D, H, W) of ``frame``, bool."""
    return resample(mask, frame, order=0)


def _percentiles(data: Array) -> tuple[float, float]:
    low, high = np.percentile(data, [0.5, 99.5])
    return float(low), float(high)


def _pair(window: Window) -> tuple[float, float]:
    try:
        low, high = (float(limit) for limit in window)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(
            f"window: 'auto', 'paper' or two numbers LOW < HIGH are needed, not {window!r}."
        )
    return low, high


def _smooth(data: Array, to_source: Array) -> Array:
    """Anti-aliasing along each source axis; the same array when nothing shrinks."""
    ratio = np.linalg.norm(to_source[:3, :3], axis=1)
    sigma = np.sqrt(np.maximum(ratio**2 - 1, 0)) / _FWHM
    sigma[ratio < 1.001] = 0  # spacings are rounded in headers
    if not sigma.any():
        return data
    return ndimage.gaussian_filter(data, sigma, mode="nearest", output=np.float32)


def _sample(data: Array, to_source: Array, shape: tuple[int, int, int], order: int) -> Array:
    """Spline interpolation of (D, H, W) data with the border continued outside."""
    if order > 1:
        # scipy would prefilter a padded copy in float64: for a large CT several GB.
        data = ndimage.spline_filter(data, order, output=np.float32, mode="nearest")
    return ndimage.affine_transform(
        data,
        to_source[:3, :3],
        offset=to_source[:3, 3],
        output_shape=shape,
        output=data.dtype,
        order=order,
        mode="nearest",
        prefilter=False,
    )


def _inside(
    to_source: Array, shape: tuple[int, int, int], source_shape: tuple[int, int, int]
) -> Array:
    """Which target voxels lie within half a voxel of the source's outermost centres, bool."""
    steps = np.ogrid[tuple(slice(0, n) for n in shape)]
    inside = np.ones(shape, dtype=bool)
    for row, length in zip(to_source[:3], source_shape):
        position = row[3]
        for weight, step in zip(row, steps):
            position = position + weight * step
        inside &= within(position, length)
    return inside
