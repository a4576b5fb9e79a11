"""Slices of a registration for looking at, in three planes through one point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from nibabel import orientations

from tf_lungreg.arrays import Array
from tf_lungreg.images.geometry import Frame, apply_affine, to_axis_codes
from tf_lungreg.images.image import Image
from tf_lungreg.images.preparation import Window, apply_window, window_limits
from tf_lungreg.images.sampling import Sampler, world_points
from tf_lungreg.transforms.transform import Transform

# Where the axes of a slice point: across it, down its rows, along its columns.
PLANES = {"Coronal": ("P", "I", "L"), "Axial": ("I", "P", "L"), "Sagittal": ("L", "I", "P")}

_LONGEST = 320  # pixels of a slice's longer side


@dataclass(frozen=True, eq=False)
class PlaneView:
    """One slice, upright; the arrays are (1, rows, columns).

    Attributes:
        name: of ``PLANES``.
        frame: the slice's grid in the fixed image, of square pixels.
        fixed: the fixed image in [0, 1].
        before: the moving image after the initial translation alone, in [0, 1].
        after: the warped image in [0, 1].
        grid: where ``after`` was sampled, in voxels of ``before``: (1, rows, columns, 3).
        jacobian: the determinant.
        lung: the mask, or None.
    """

    name: str
    frame: Frame
    fixed: Array
    before: Array
    after: Array
    grid: Array
    jacobian: Array
    lung: Array | None

    @property
    def sides(self) -> tuple[str, str]:
        """Which side of the patient is at the left and at the right: R and L, or A and P."""
        right = PLANES[self.name][2]
        return {"L": "R", "P": "A"}[right], right


def plane_views(
    fixed: Image,
    moving: Image,
    transform: Transform,
    jacobian: Image,
    translation: Array,
    window: Window = "auto",
    lung: Image | None = None,
) -> list[PlaneView]:
    """Slices along the fixed image's own axes, where there is most lung, or in the middle.

    Args:
        fixed: the fixed image.
        moving: the moving image.
        transform: from the one to the other.
        jacobian: its determinant, on the fixed image's grid.
        translation: (3,) RAS mm, under which the moving image is shown as it was before.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
        lung: mask on the fixed image's grid.
    """
    see_fixed, see_moving = (_seen(image, window) for image in (fixed, moving))
    middle = (np.array(fixed.shape) - 1) / 2 if lung is None else _fullest(lung.data)
    views = []
    for name, codes in PLANES.items():
        frame = _plane(fixed.frame, codes, middle)
        points = world_points(frame, slice(0, 1))
        mapped = transform.map_points(points)
        views.append(
            PlaneView(
                name=name,
                frame=frame,
                fixed=see_fixed(points),
                before=see_moving(points + translation),
                after=see_moving(mapped),
                grid=apply_affine(np.linalg.inv(frame.affine), mapped - translation),
                jacobian=_sample(jacobian, points),
                lung=None if lung is None else _sample(lung, points, "nearest"),
            )
        )
    return views


def _seen(image: Image, window: Window) -> Callable[[Array], Array]:
    """How the image looks at world points, in [0, 1]."""
    limits = window_limits(image.data, window, image.name)
    return lambda points: apply_window(_sample(image, points), limits)


def _fullest(lung: Array) -> Array:
    """The voxel coordinates whose three slices show the most lung, (3,)."""
    others = ((1, 2), (0, 2), (0, 1))
    return np.array([np.argmax(lung.sum(axis=axes)) for axes in others], dtype=float)


def _sample(volume: Image, points: Array, interpolation: str = "linear") -> Array:
    mask = volume.data.dtype == bool
    data = volume.data.view(np.uint8) if mask else volume.data
    sampler = Sampler(data, interpolation, outside=data.min())
    out = sampler(apply_affine(np.linalg.inv(volume.frame.affine), points))
    return out.astype(bool) if mask else out


def _plane(grid: Frame, axis_codes: tuple[str, str, str], middle: Array) -> Frame:
    """A slice through a voxel of a grid, with square pixels that cover the grid's extent."""
    orientation = to_axis_codes(grid.affine, axis_codes)
    shape = np.empty(3, dtype=int)
    shape[orientation[:, 0].astype(int)] = grid.shape
    turn = orientations.inv_ornt_aff(orientation, grid.shape)  # turned voxel → voxel
    spacing = np.linalg.norm((grid.affine @ turn)[:3, :3], axis=0)
    extent = shape * spacing
    side = max(spacing[1:].min(), extent[1:].max() / _LONGEST)
    pixels = np.maximum(1, np.round(extent / side)).astype(int)
    pixels[0] = 1
    scale = side / spacing
    scale[0] = 1
    start = (shape - 1) / 2 - scale * (pixels - 1) / 2
    start[0] = np.round(apply_affine(np.linalg.inv(turn), middle)[0])
    to_turned = np.diag([*scale, 1.0])
    to_turned[:3, 3] = start
    return Frame(pixels, grid.affine @ turn @ to_turned)
