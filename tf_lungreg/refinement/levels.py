"""The resolutions at which a pair is refined, coarse to fine, and the two images at each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.images.geometry import DIRECTIONS, Frame, apply_affine, to_axis_codes
from tf_lungreg.images.image import Image
from tf_lungreg.images.preparation import Window, apply_window, resample, window_limits
from tf_lungreg.parallel import at_once

VOXELS = 2_500_000  # of the finest level at most: what bounds memory and the time of a step
FACTORS = (4, 2, 1)  # size of the voxels of each level, as a multiple of the finest's
_SMALLEST = 12  # voxels along each axis below which a coarse level is left out
_GROWTH = 1.02  # by which the finest voxel grows until there are few enough


@dataclass(frozen=True, eq=False)
class LevelImages:
    """A pair between the affine part and the deformation, ``p → A → here → N → moving``.

    Attributes:
        frame: the grid, with the network's axes, over what A makes of the fixed image.
        fixed: the fixed image after A, ``fixed(A⁻¹(q))``, (D, H, W) in [0, 1].
        moving: the moving image on the same grid, larger or smaller and shifted by the initial
            translation; (D', H', W') in [0, 1].
        pad: how many voxels it begins before the fixed image, fewer than 0 where it begins after.
        moving_frame: the moving image's grid in the world.
    """

    frame: Frame
    fixed: Array
    moving: Array
    pad: Array
    moving_frame: Frame


def prepare(volume: Image, spacing: Array, window: Window) -> Image:
    """The image windowed to [0, 1], with no more voxels than the finest level can use.

    Args:
        volume: an image.
        spacing: of the finest level, mm along D, H, W.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
    """
    limits = window_limits(volume.data, window, volume.name)
    seen = Image(apply_window(volume.data, limits), volume.frame, volume.name)
    frame = _grid(volume.frame.affine, volume.frame.shape, spacing)
    if np.prod(frame.shape) > 0.8 * volume.data.size:  # nothing to gain
        return seen
    return Image(resample(seen, frame), frame, volume.name)


def level_spacings(fixed: Frame, moving: Frame) -> list[Array]:
    """Voxel sizes in mm along D, H, W, coarse to fine.

    The finest is that of the coarser image along each axis, or larger where the fixed image would
    have more than ``VOXELS``. Thick slices stay as they are until the other axes are as coarse.

    Args:
        fixed: grid of the fixed image.
        moving: grid of the moving image.
    """
    native = np.maximum(world_spacing(fixed), world_spacing(moving))
    extent = _extent(fixed.affine, fixed.shape)
    size = native.min()
    while np.prod(np.ceil(extent / np.maximum(native, size))) > VOXELS:
        size *= _GROWTH
    spacings = [np.maximum(native, factor * size) for factor in FACTORS]
    return [s for s in spacings[:-1] if (extent / s).min() >= _SMALLEST] + spacings[-1:]


def world_spacing(frame: Frame) -> Array:
    """Voxel size in mm along D, H, W: that of the array axis which is nearest to each."""
    spacing = np.empty(3)
    spacing[to_axis_codes(frame.affine)[:, 0].astype(int)] = frame.spacing
    return spacing


def level_images(
    fixed: Image,
    moving: Image,
    spacing: Array,
    affine: Array,
    translation: Array,
    margin: float,
) -> LevelImages:
    """Both images at one resolution.

    Args:
        fixed: windowed.
        moving: windowed.
        spacing: voxel size in mm along D, H, W.
        affine: A, (4, 4), RAS mm.
        translation: the initial translation, which comes after A.
        margin: how far beyond the grid, in mm, the moving image is of interest.
    """
    frame = _grid(affine @ fixed.frame.affine, fixed.frame.shape, spacing)
    low, high = _reach(frame, moving.frame, translation, np.ceil(margin / spacing).astype(int))
    around = frame.affine.copy()
    around[:3, 3] = apply_affine(frame.affine, low) + translation
    moving_frame = Frame(high - low + 1, around)
    before = Frame(frame.shape, np.linalg.solve(affine, frame.affine))
    seen_fixed, seen_moving = at_once(
        partial(_resample, fixed, before), partial(_resample, moving, moving_frame)
    )
    return LevelImages(frame, seen_fixed, seen_moving, -low, moving_frame)


def _reach(frame: Frame, moving: Frame, translation: Array, pad: Array):
    """First and last voxel of a grid, extended by ``pad``, between which the moving image lies.

    What is farther out continues its border. There are two voxels at least along each axis.
    """
    voxels = apply_affine(np.linalg.inv(frame.affine), moving.corners - translation)
    last = np.array(frame.shape) - 1 + pad
    low = np.clip(np.floor(voxels.min(axis=0)).astype(int), -pad, last - 1)
    high = np.clip(np.ceil(voxels.max(axis=0)).astype(int), low + 1, last)
    return low, high


def _resample(volume: Image, frame: Frame) -> Array:
    out = resample(volume, frame)
    return np.clip(out, 0, 1, out=out)  # cubic splines overshoot


def _grid(affine: Array, shape: Sequence[int], spacing: Array) -> Frame:
    """The grid parallel to the world's axes that holds an image of that affine and shape."""
    shape_here = [max(2, math.ceil(n - 1e-6)) for n in _extent(affine, shape) / spacing]
    here = np.eye(4)
    here[:3, :3] = DIRECTIONS * spacing
    center = apply_affine(affine, (np.array(shape) - 1) / 2)
    here[:3, 3] = center - here[:3, :3] @ ((np.array(shape_here) - 1) / 2)
    return Frame(shape_here, here)


def _extent(affine: Array, shape: Sequence[int]) -> Array:
    """Size in mm along D, H, W of the box that holds an image."""
    return np.abs(DIRECTIONS).T @ (np.abs(affine[:3, :3]) @ np.array(shape))
