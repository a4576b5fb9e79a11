"""The grid on which the network sees a pair of images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import DIRECTIONS, Frame

_GROWTH = 1.01  # by which the voxels grow until they are few enough


def network_frame(
    fixed: Frame,
    moving: Frame,
    spacing: Sequence[float],
    shape: Sequence[int] | None = None,
    init: str = "center",
    multiple: int = 8,
    margin: int = 0,
    voxels: int | None = None,
) -> tuple[Frame, Frame]:
    """The two grids, of one shape, on which the network sees a pair.

    Both have axes parallel to the world's in the order ('P', 'I', 'L'), so that the world position
    of one is that of the other plus a translation: the initial translation, which is part of the
    transform that a registration returns. Training, evaluation, registration and the serving
    client all take their grids from here.

    Args:
        fixed: grid of the fixed image.
        moving: grid of the moving image.
        spacing: voxel size in mm along D, H, W, that of the model.
        shape: size in voxels, cropping or padding about the centre. Without it the fixed
            image's whole extent and the margin, rounded up to a multiple of ``multiple``.
        init: ``"center"`` puts each grid about its own image's centre; ``"world"`` keeps world
            positions, both grids about the fixed image's centre.
        multiple: what every axis is divisible by when ``shape`` is not given.
        margin: voxels beyond the fixed image on every side when ``shape`` is not given.
        voxels: of the grid without its margin at most, when ``shape`` is not given; the spacing
            grows until it has no more.

    Returns:
        The frame in which to sample the fixed image and the one for the moving image.

    Raises:
        InputError: ``init`` is neither of the two.

    Example:
        >>> image = Frame((100, 200, 180), np.diag([2.0, 2.0, 2.0, 1.0]))  # axes along RAS
        >>> frame, _ = network_frame(image, image, spacing=(4.0, 4.0, 4.0))
        >>> frame.shape  # front to back, head to feet, right to left; multiples of 8
        (104, 96, 56)
    """
    if init not in ("center", "world"):
        raise InputError(f"init: 'center' or 'world' is needed, not {init!r}.")
    least = multiple * math.ceil((2 + 2 * margin) / multiple) - 2 * margin
    if voxels is not None and voxels < least**3:
        raise InputError(f"voxels: {voxels} are too few for a grid with its margin.")
    size = _shape_over(fixed, spacing, multiple, margin) if shape is None else shape
    while shape is None and voxels is not None and _inner(size, margin) > voxels:
        spacing = [_GROWTH * step for step in spacing]
        size = _shape_over(fixed, spacing, multiple, margin)
    origin = moving.center if init == "center" else fixed.center
    return _centred_frame(size, spacing, fixed.center), _centred_frame(size, spacing, origin)


def _inner(shape: Sequence[int], margin: int) -> int:
    """How many voxels lie within the margin."""
    return math.prod(n - 2 * margin for n in shape)


def _shape_over(
    frame: Frame, spacing: Sequence[float], multiple: int, margin: int
) -> tuple[int, ...]:
    """Size in voxels of a grid that holds an image and a margin around it."""
    return tuple(
        multiple * math.ceil((max(length / step, 2) + 2 * margin) / multiple - 1e-6)
        for length, step in zip(_world_extent(frame), spacing)
    )


def _world_extent(frame: Frame) -> Array:
    """Size in mm, along D, H, W, of the box parallel to the world's axes that holds the image."""
    edges = np.abs(frame.affine[:3, :3]) * np.array(frame.shape)  # world axis × array axis
    return np.abs(DIRECTIONS).T @ edges.sum(axis=1)


def _centred_frame(shape: Sequence[int], spacing: Sequence[float], center: Array) -> Frame:
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS * np.asarray(spacing, dtype=np.float64)
    affine[:3, 3] = center - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Frame(shape, affine)
