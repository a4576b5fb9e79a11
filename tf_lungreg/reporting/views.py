"""Slices of a registration for looking at, in three planes through one point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from nibabel import orientations

from tf_lungreg.images.geometry import Frame, apply_affine, to_axis_codes
from tf_lungreg.images.image import Image
from tf_lungreg.images.preparation import apply_window, window_limits
from tf_lungreg.images.sampling import Sampler, world_points

if TYPE_CHECKING:  # which imports the report, and the report this module
    from tf_lungreg.registration.result import RegistrationResult

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
    fixed: np.ndarray
    before: np.ndarray
    after: np.ndarray
    grid: np.ndarray
    jacobian: np.ndarray
    lung: np.ndarray | None

    @property
    def sides(self) -> tuple[str, str]:
        """Which side of the patient is at the left and at the right: R and L, or A and P."""
        right = PLANES[self.name][2]
        return {"L": "R", "P": "A"}[right], right


def plane_views(result: RegistrationResult) -> list[PlaneView]:
    """Slices along the fixed image's own axes, where there is most lung, or in the middle."""
    window = result.metrics["settings"]["window"]
    images = []  # how to see each image at world points
    for volume in (result.fixed, result.moving):
        limits = window_limits(volume.data, window, volume.name)
        images.append(lambda p, v=volume, w=limits: apply_window(_sample(v, p), w))
    fixed, moving = images
    middle = (np.array(result.fixed.data.shape) - 1) / 2
    if result.lung is not None:
        middle = _fullest(result.lung.data)
    views = []
    for name, codes in PLANES.items():
        frame = _plane(result.fixed.frame, codes, middle)
        points = world_points(frame, slice(0, 1))
        translation = result.parts.translation
        found = result.map_points(points)
        lung = result.lung and _sample(result.lung, points, "nearest")
        views.append(
            PlaneView(
                name=name,
                frame=frame,
                fixed=fixed(points),
                before=moving(points + translation),
                after=moving(found),
                grid=apply_affine(np.linalg.inv(frame.affine), found - translation),
                jacobian=_sample(result.jacobian, points),
                lung=lung,
            )
        )
    return views


def _fullest(lung: np.ndarray) -> np.ndarray:
    """The voxel coordinates whose three slices show the most lung, (3,)."""
    others = ((1, 2), (0, 2), (0, 1))
    return np.array([np.argmax(lung.sum(axis=axes)) for axes in others], dtype=float)


def _sample(volume: Image, points: np.ndarray, interpolation: str = "linear") -> np.ndarray:
    mask = volume.data.dtype == bool
    data = volume.data.view(np.uint8) if mask else volume.data
    sampler = Sampler(data, interpolation, outside=data.min())
    out = sampler(apply_affine(np.linalg.inv(volume.frame.affine), points))
    return out.astype(bool) if mask else out


def _plane(grid: Frame, axis_codes, middle: np.ndarray) -> Frame:
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
    return Frame(tuple(pixels), grid.affine @ turn @ to_turned)
