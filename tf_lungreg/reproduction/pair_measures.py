"""What is measured of one registered pair, on the fixed image's own grid."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.cohorts.cohort import Scan
from tf_lungreg.images.geometry import AXIS_CODES, apply_affine
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.quality.scores import (
    dice,
    folded_fraction,
    hausdorff_distance,
    landmark_errors,
    log_jacobian_deviation,
    mean_surface_distance,
    surface_distances,
)
from tf_lungreg.reproduction.selection import is_one_patient
from tf_lungreg.tables.landmarks import match_landmarks, read_landmarks
from tf_lungreg.tables.table import NOT_AVAILABLE
from tf_lungreg.transforms.transform import Transform

LANDMARK_ERRORS = ("dx", "dy", "dz", "ds")
MEASURES = (
    *("dice", "hd95", "msd", "folds_lung", "folds_volume", "std_log_jacobian"),
    *LANDMARK_ERRORS,
    "tre_true",
)


@dataclass(frozen=True, eq=False)
class Case:
    """A scan that was read.

    Attributes:
        scan: which one.
        image: in the axis order of this package.
        mask: on the image's grid, or None.
        truth: file of the true displacement to the patient's other phase, or None.
    """

    scan: Scan
    image: Image
    mask: Image | None
    truth: Path | None


def read_case(scan: Scan, root: Path) -> Case:
    """Reads a scan's image and mask.

    Args:
        scan: which one.
        root: the cohort's folder, to which the column ``truth`` of images.tsv is relative.

    Raises:
        MissingFileError, InputError: a file cannot be used.
    """
    image = Image.read(scan.image, AXIS_CODES)
    mask = None if scan.mask is None else read_mask(scan.mask, like=image)
    return Case(scan, image, mask, root / scan.columns["truth"] if has_truth(scan) else None)


def measure_pair(field: Transform, fixed: Case, moving: Case) -> dict[str, float]:
    """The measures of ``MEASURES`` that the pair's files allow.

    Args:
        field: the transform, on the fixed image's grid.
        fixed: the fixed scan.
        moving: the moving scan.

    Returns:
        ``dice`` in percent, ``hd95`` and ``msd`` in mm, of the fixed mask and the warped moving
        one; ``folds_lung`` and ``folds_volume``, shares; ``std_log_jacobian`` within the fixed
        lung; within one patient the mean landmark errors ``dx``, ``dy``, ``dz``, ``ds`` in mm and
        their number ``landmarks``; ``tre_true``, in mm, where the true displacement is known. A
        measure that has no value, such as the surface distance to an empty mask, is left out.
    """
    jacobian = field.jacobian()
    row = {"folds_volume": folded_fraction(jacobian)}
    if fixed.mask is not None:
        row["folds_lung"] = folded_fraction(jacobian, fixed.mask.data)
        row["std_log_jacobian"] = log_jacobian_deviation(jacobian, fixed.mask.data)
        if moving.mask is not None:
            row.update(_overlap(fixed.mask, field.warp(moving.mask)))
    if is_one_patient(fixed.scan, moving.scan):
        row.update(_landmarks(field, fixed.scan, moving.scan))
        row.update(_true_error(field, fixed))
    return {name: value for name, value in row.items() if not np.isnan(value)}


def observer_difference(scan: Scan) -> Array | None:
    """Mean dx, dy, dz, ds between two observers of one image's landmarks, mm, (4,).

    With more observers the mean over all pairs of them; None where there is one only.
    """
    if scan.landmarks is None:
        return None
    observers = read_landmarks(scan.landmarks).points
    errors = []
    for first, second in itertools.combinations(observers.values(), 2):
        names = [name for name in first if name in second]
        if names:
            points = ([marked[name] for name in names] for marked in (first, second))
            errors.append(landmark_errors(*map(np.array, points)))
    return np.concatenate(errors).mean(axis=0) if errors else None


def has_truth(scan: Scan) -> bool:
    """Whether the cohort knows the displacement from this image to the patient's other phase."""
    return scan.columns.get("truth", NOT_AVAILABLE).lower() not in ("", NOT_AVAILABLE)


def has_landmarks(scans: Sequence[Scan]) -> bool:
    """Whether every one of the scans has a landmark table."""
    return all(scan.landmarks is not None for scan in scans)


def has_masks(scans: Sequence[Scan]) -> bool:
    """Whether every one of the scans has a mask."""
    return all(scan.mask is not None for scan in scans)


def _overlap(fixed: Image, warped: Image) -> dict[str, float]:
    row = {"dice": 100 * dice(fixed.data, warped.data)}
    if warped.data.any():
        distances = surface_distances(fixed.data, warped.data, fixed.frame.spacing)
        row["hd95"] = hausdorff_distance(distances, 95)
        row["msd"] = mean_surface_distance(distances)
    return row


def _landmarks(field: Transform, fixed: Scan, moving: Scan) -> dict[str, float]:
    if fixed.landmarks is None or moving.landmarks is None:
        return {}
    tables = read_landmarks(fixed.landmarks), read_landmarks(moving.landmarks)
    _, in_fixed, in_moving = match_landmarks(*tables)
    errors = landmark_errors(in_moving, field.map_points(in_fixed))
    means = dict(zip(LANDMARK_ERRORS, errors.mean(axis=0).tolist()))
    return {**means, "landmarks": len(errors)}


def _true_error(field: Transform, fixed: Case) -> dict[str, float]:
    """Mean distance in mm, over the voxels of the lung, to where the truth puts them."""
    if fixed.mask is None or fixed.truth is None:
        return {}
    truth = Transform.read(fixed.truth)
    lung = fixed.mask.data
    points = apply_affine(fixed.image.frame.affine, np.argwhere(lung))
    return {
        "tre_true": float(
            np.linalg.norm(field.data[lung] - truth.displacement(points), axis=-1).mean()
        )
    }
