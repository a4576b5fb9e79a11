"""The inverse of a displacement field: the affine part exactly, the rest by damped iteration."""

from __future__ import annotations

import warnings
from typing import Protocol

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.sampling import slabs, thinned_points, world_points

WARNING = 0.1  # voxels of residual

_TOLERANCE = 0.01  # voxels
_ITERATIONS = 200
_SMALLEST_STEP = 1e-3


class PointMap(Protocol):
    """T, on a grid of the fixed image's world."""

    @property
    def frame(self) -> Frame:
        """The grid."""
        ...

    def map_points(self, points: Array) -> Array:
        """T at points (..., 3), RAS mm."""
        ...


def fit_affine(field: PointMap) -> Array:
    """The affine map, (4, 4) RAS mm, nearest to T over the field's grid (least squares).

    Raises:
        InputError: it has no inverse.
    """
    points = thinned_points(field.frame, 20_000)
    center = points.mean(axis=0)
    system = np.column_stack([points - center, np.ones(len(points))])
    solution = np.linalg.lstsq(system, field.map_points(points), rcond=None)[0].T  # (3, 4)
    affine = np.eye(4)
    affine[:3, :3] = solution[:, :3]
    affine[:3, 3] = solution[:, 3] - solution[:, :3] @ center
    if abs(np.linalg.det(affine)) < 1e-6:
        raise InputError("the transform maps the volume to a plane; it has no inverse.")
    return affine


def invert_points(
    field: PointMap, points: Array, affine: Array | None = None
) -> tuple[Array, Array]:
    """Solves ``T(p) = q`` for p.

    With L the linear part of the affine map nearest to T, ``p ← p + s L⁻¹ (q - T(p))`` from
    ``p = A⁻¹ q``: for an affine T exact at once. The step s of a point is halved whenever it
    would not bring it nearer, since T may stretch to more than twice its mean, where the plain
    iteration moves away.

    Args:
        field: T.
        points: q, (N, 3) RAS mm.
        affine: A, when :func:`fit_affine` was already called.

    Returns:
        p, (N, 3) RAS mm, and ``|q - T(p)|``, (N,) in voxels of the field (their smallest side).
    """
    affine = fit_affine(field) if affine is None else affine
    back, voxel = np.linalg.inv(affine), field.frame.spacing.min()

    def remainder(targets: Array, candidates: Array) -> Array:
        """What is missing, brought back by L⁻¹: how far p itself is off, to first order."""
        return (targets - field.map_points(candidates)) @ back[:3, :3].T

    found = apply_affine(back, points)
    missing = remainder(points, found)
    distance = np.linalg.norm(missing, axis=1)
    step = np.ones(len(points))
    for _ in range(_ITERATIONS):
        open_ = np.flatnonzero((distance > _TOLERANCE * voxel) & (step > _SMALLEST_STEP))
        if not open_.size:
            break
        trial = found[open_] + step[open_, None] * missing[open_]
        left = remainder(points[open_], trial)
        size = np.linalg.norm(left, axis=1)
        nearer = size < distance[open_]
        moved = open_[nearer]
        found[moved], missing[moved], distance[moved] = trial[nearer], left[nearer], size[nearer]
        step[moved] = np.minimum(1, 1.5 * step[moved])
        step[open_[~nearer]] /= 2
    error = np.linalg.norm(points - field.map_points(found), axis=1) / voxel
    return found, error


def inverse_displacement(field: PointMap, frame: Frame) -> Array:
    """``T⁻¹(q) - q`` on a grid of the moving image's world; warns where T is not one to one.

    Args:
        field: T, fixed → moving.
        frame: grid of the result.

    Returns:
        (D, H, W, 3) float32, RAS mm.
    """
    affine = fit_affine(field)
    out, errors = np.empty((*frame.shape, 3), np.float32), []
    for slab in slabs(frame.shape):
        points = world_points(frame, slab)
        found, error = invert_points(field, points.reshape(-1, 3), affine)
        out[slab] = found.reshape(points.shape) - points
        errors.append(error)
    warn_of_residual(np.concatenate(errors))
    return out


def warn_of_residual(error: Array) -> None:
    """Warns when points are not where their inverse says: ``error`` (N,), in voxels."""
    bad = np.count_nonzero(error > WARNING)
    if bad:
        warnings.warn(
            f"the inverse misses {bad} of {error.size} points by more than {WARNING} voxel, "
            f"at most by {error.max():.3g}: the transform folds there, or maps nothing to them.",
            stacklevel=3,
        )
