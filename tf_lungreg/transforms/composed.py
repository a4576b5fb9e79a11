"""From the network's outputs to a transform in the world: p → A → N → moving."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.sampling import over_slabs, world_points
from tf_lungreg.transforms.transform import Transform


@dataclass(frozen=True, eq=False)
class ComposedTransform:
    """``T(p) = N(A(p))``: first the affine part, then the deformation with the initial translation.

    Attributes:
        affine: A, (4, 4), from fixed to intermediate points, RAS mm.
        deformation: N, from intermediate points to the moving image, on the network's grid.
        translation: the initial translation, (3,) RAS mm, which is part of N.
    """

    affine: Array
    deformation: Transform
    translation: Array

    def on(self, frame: Frame) -> Transform:
        """The whole transform on a grid: ``d(p) = N(A(p)) - p``.

        Nothing but N is interpolated, so that the affine part and N, applied in turn, give the
        same.
        """
        out = np.empty((*frame.shape, 3), np.float32)

        def fill(slab: slice) -> None:
            points = world_points(frame, slab)
            out[slab] = self.deformation.map_points(apply_affine(self.affine, points)) - points

        over_slabs(frame.shape, fill)
        return Transform(out, frame)

    def deformation_over(self, frame: Frame) -> Transform:
        """N on a grid that holds ``A(frame)``, for programs for which d is 0 outside a field."""
        grid = self.deformation.frame
        corners = apply_affine(self.affine, frame.corners)
        voxels = apply_affine(np.linalg.inv(grid.affine), corners)
        before = np.maximum(0, np.ceil(-voxels.min(axis=0))).astype(int)
        after = np.ceil(voxels.max(axis=0)).astype(int) - (np.array(grid.shape) - 1)
        after = np.maximum(0, after)
        data = np.pad(self.deformation.data, [*zip(before, after), (0, 0)], mode="edge")
        affine = grid.affine.copy()
        affine[:3, 3] = apply_affine(grid.affine, -before)
        return Transform(data, Frame(data.shape[:3], affine))


def composed_transform(
    affine: Array, deformable_grid: Array, fixed: Frame, moving: Frame
) -> ComposedTransform:
    """The transform that the network found, ``G = G_N ∘ G_A`` in voxels, in the world.

    Args:
        affine: the network's A, (3, 4), on coordinates normalised to [-1, 1].
        deformable_grid: the network's G_N, (D, H, W, 3), in voxels.
        fixed: grid on which the network saw the fixed image.
        moving: the one of the moving image: the same but for a translation.
    """
    linear = fixed.affine[:3, :3]
    translation = moving.affine[:3, 3] - fixed.affine[:3, 3]
    voxels = np.stack(np.meshgrid(*map(np.arange, fixed.shape), indexing="ij"), axis=-1)
    displacement = (deformable_grid - voxels) @ linear.T + translation
    field = Transform(displacement.astype(np.float32), fixed)
    return ComposedTransform(world_affine(affine, fixed), field, translation)


def world_affine(affine: Array, frame: Frame) -> Array:
    """A matrix (3, 4) on a grid's normalised coordinates as one (4, 4) on RAS mm.

    Args:
        affine: see :func:`tf_lungreg.ops.affine_grid`.
        frame: the grid.
    """
    return frame.affine @ _voxel_affine(affine, frame.shape) @ np.linalg.inv(frame.affine)


def _voxel_affine(affine: Array, shape: tuple[int, int, int]) -> Array:
    """The network's A, (3, 4) on normalised coordinates, as (4, 4) on voxel coordinates."""
    half = (np.array(shape) - 1) / 2
    normalise = np.eye(4)
    normalise[:3, :3] = np.diag(1 / half)
    normalise[:3, 3] = -1
    whole = np.vstack([np.asarray(affine, np.float64), [0, 0, 0, 1]])
    return np.linalg.inv(normalise) @ whole @ normalise
