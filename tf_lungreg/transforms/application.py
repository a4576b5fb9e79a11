"""A saved transform on further files, without TensorFlow."""

from __future__ import annotations

import math
import os
import warnings

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.files import check_new_file, check_no_input
from tf_lungreg.images.geometry import Frame, apply_affine, ras_to_lps
from tf_lungreg.images.image import Image
from tf_lungreg.images.memory import check_memory
from tf_lungreg.images.opening import check_image_name
from tf_lungreg.images.sampling import is_inside
from tf_lungreg.tables.landmarks import read_landmark_rows, read_landmarks
from tf_lungreg.tables.table import write_table
from tf_lungreg.transforms.inversion import invert_points, warn_of_residual
from tf_lungreg.transforms.transform import Transform
from tf_lungreg.transforms.transform_files import displacement_file

_BYTES_OF_RESULT = 16  # a voxel: sampled, as the type that is stored, and as checks compare them
_LABELS = 64  # distinct values that a label map may have
_PROBES = 17  # points along an axis that are tried


def apply_to_image(
    transform: str | os.PathLike[str],
    image: str | os.PathLike[str],
    out: str | os.PathLike[str],
    reference: str | os.PathLike[str] | None = None,
    interpolation: str = "linear",
    inverse: bool = False,
    overwrite: bool = False,
    outside: float | None = None,
    nifti_frame: str = "sform",
) -> None:
    """Warps an image of the moving space, or with ``inverse`` one of the fixed space.

    Warns where the image looks like labels and would be interpolated between them.

    Args:
        transform: the displacement field's file, or the folder of a registration's results.
        image: any image or label map.
        out: a .nii or .nii.gz file. With ``"nearest"`` whole numbers are stored as such.
        reference: image whose grid the result has, in its file's order; by default the field's.
        interpolation: ``"linear"``, ``"nearest"`` or ``"cubic"``.
        inverse: use the transform moving → fixed; warns where there is none.
        overwrite: whether ``out`` may be replaced.
        outside: the value of voxels that come from outside the image; by default 0 with
            ``"nearest"``, otherwise the image's smallest value.
        nifti_frame: see :meth:`tf_lungreg.images.image.Image.read`; of image, reference
            and transform.

    Raises:
        MissingFileError, InputError: a file cannot be used, ``out`` exists or is one of the others,
            or the transform leads nowhere into the image.
    """
    check_image_name(out)
    check_new_file(out, overwrite)
    check_no_input(out, image, reference, displacement_file(transform))
    grid = None if reference is None else Image.read(reference, nifti_frame=nifti_frame).frame
    volume = Image.read(image, exact=interpolation == "nearest", nifti_frame=nifti_frame)
    field = Transform.read(transform, nifti_frame)
    size = field.frame.shape if grid is None else grid.shape
    check_memory(
        f"{transform if reference is None else reference}: a result of "
        f"{' x '.join(map(str, size))} voxels",
        _BYTES_OF_RESULT * math.prod(size),
        "choose a --reference of larger voxels",
    )
    if inverse:
        field = field.inverse(field.frame if grid is None else grid)
        grid = None
    _check_reach(field, volume.frame, field.frame if grid is None else grid, image)
    if interpolation != "nearest":
        _warn_of_labels(volume.data, image)
    warped = field.warp(volume, interpolation, grid, outside)
    data = _as_labels(warped.data) if interpolation == "nearest" else warped.data
    Image(data, warped.frame).save(out, overwrite=overwrite)


def apply_to_points(
    transform: str | os.PathLike[str],
    points: str | os.PathLike[str],
    out: str | os.PathLike[str],
    coordinates: str = "ras",
    inverse: bool = False,
    overwrite: bool = False,
) -> None:
    """Maps landmarks of the fixed image to the moving one, or with ``inverse`` back.

    Args:
        transform: the displacement field's file, or the folder of a registration's results.
        points: a table ``name,x,y,z`` in mm, whose further columns are kept; or points that 3D
            Slicer saved.
        out: the table of the mapped points.
        coordinates: ``"ras"`` or ``"lps"``, of both tables. Slicer's files state their own.
        inverse: use the transform moving → fixed; warns where there is none.
        overwrite: whether ``out`` may be replaced.

    Warns where points lie outside the transform's grid.

    Raises:
        MissingFileError, InputError: a file cannot be used, or ``out`` exists or is one of them.
    """
    check_new_file(out, overwrite)
    check_no_input(out, points, displacement_file(transform))
    landmarks = read_landmarks(points, coordinates).points  # RAS
    rows = read_landmark_rows(points)
    given = np.array([landmarks[row.get("observer", "")][row["name"]] for row in rows])
    turn = {"ras": np.asarray, "lps": ras_to_lps}[coordinates]
    field = Transform.read(transform)
    mapped = _map(field, given, inverse)
    _warn_of_outside(field.frame, mapped if inverse else given, points)
    for row, point in zip(rows, turn(mapped)):
        row.update(zip("xyz", (f"{value:.4f}" for value in point)))
    write_table(out, rows, overwrite=overwrite)


def _map(field: Transform, points: Array, inverse: bool) -> Array:
    if not inverse:
        return field.map_points(points)
    found, error = invert_points(field, points)
    warn_of_residual(error)
    return found


def _check_reach(field: Transform, image: Frame, grid: Frame, name: str | os.PathLike[str]) -> None:
    """Refuses an image that none of the grid's points, some voxels apart, is led into."""
    axes = [np.linspace(0, n - 1, min(n, _PROBES)) for n in grid.shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    if not is_inside(field.map_points(apply_affine(grid.affine, points)), image).any():
        raise InputError(
            f"{name}: the transform leads nowhere into this image, whose centre is at "
            f"{image.center.round(1).tolist()} mm; one of the space that it maps to is needed."
        )


def _warn_of_outside(frame: Frame, fixed_points: Array, name: str | os.PathLike[str]) -> None:
    outside = np.count_nonzero(~is_inside(fixed_points, frame))
    if outside:
        warnings.warn(
            f"{name}: {outside} of {len(fixed_points)} points lie outside the transform's grid; "
            "they move as its border does.",
            stacklevel=3,
        )


def _warn_of_labels(data: Array, name: str | os.PathLike[str]) -> None:
    """A few whole numbers are labels: between 2 and 5 there is no 3.5."""
    part = np.unique(data[::4, ::4, ::4])  # an image has more values than that in a small part
    if len(part) > _LABELS:
        return
    values = np.unique(data)
    if len(values) <= _LABELS and np.array_equal(values, np.round(values)):
        warnings.warn(
            f"{name}: looks like labels, {len(values)} whole numbers, and is interpolated between "
            "them; use --interpolation nearest to keep them.",
            stacklevel=3,
        )


def _as_labels(data: Array) -> Array:
    """Whole numbers as the smallest integer type that programs commonly read."""
    if not (np.isfinite(data).all() and np.array_equal(data, np.round(data))):
        return data
    low, high = int(data.min()), int(data.max())
    for dtype in (np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return data.astype(dtype)
    return data
