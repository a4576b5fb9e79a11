"""Measures of a registration: similarity, folding, volume change, Dice, landmark error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.images.image import Image
from tf_lungreg.images.sampling import is_inside, thinned_points
from tf_lungreg.quality.scores import dice, folded_fraction, landmark_errors
from tf_lungreg.transforms.transform import Transform

QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)
SATURATED = 0.05  # distance of Φ from its limits 0 and 2


@dataclass(frozen=True)
class Measures:
    """Measures of one registration. ``before`` is after the initial translation alone.

    Attributes:
        mse_before: mean squared difference of the images that the network saw, in [0, 1].
        mse_after: the same, registered.
        ncc_before: their correlation.
        ncc_after: the same, registered.
        ncc_shifted: see :func:`measure_mirroring`.
        ncc_mirrored: see there.
        overlap: share of the fixed volume that the transform puts within the moving image.
        saturated: share of Φ near its limits 0 and 2.
        folds_volume: share of folded voxels.
        folds_lung: the same within the lung; None without a mask.
        jacobian_region: ``"lung"`` or ``"volume"``, where the quantiles are from.
        jacobian_quantiles: quantile → Jacobian determinant.
        dice_world: Dice of the masks as the files lie; None without both masks.
        dice_before: the same after the initial translation.
        dice_after: the same, registered.
        landmarks: number of corresponding landmarks; None without any, as all that follow.
        landmarks_outside: role → how many of them lie outside that image.
        tre_world: mean landmark error in mm as the files lie.
        tre_world_median: its median.
        tre_world_max: its largest.
        tre_before: mean landmark error in mm after the initial translation.
        tre_before_median: its median.
        tre_before_max: its largest.
        tre_after: mean landmark error in mm, registered.
        tre_after_median: its median.
        tre_after_max: its largest.
    """

    mse_before: float
    mse_after: float
    ncc_before: float
    ncc_after: float
    ncc_shifted: float
    ncc_mirrored: float
    overlap: float
    saturated: float
    folds_volume: float
    jacobian_region: str
    jacobian_quantiles: Mapping[str, float]
    folds_lung: float | None = None
    dice_world: float | None = None
    dice_before: float | None = None
    dice_after: float | None = None
    landmarks: int | None = None
    landmarks_outside: Mapping[str, int] | None = None
    tre_world: float | None = None
    tre_world_median: float | None = None
    tre_world_max: float | None = None
    tre_before: float | None = None
    tre_before_median: float | None = None
    tre_before_max: float | None = None
    tre_after: float | None = None
    tre_after_median: float | None = None
    tre_after_max: float | None = None

    def given(self) -> dict[str, Any]:
        """Name → value of the measures that there are."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def measure_similarity(fixed: Array, before: Array, after: Array) -> dict[str, float]:
    """Mean squared difference and correlation of three images of one shape, in [0, 1].

    Args:
        fixed: (D, H, W), float32 in [0, 1].
        before: the moving image as it lay.
        after: the moving image, registered.
    """
    return {
        "mse_before": float(np.mean((before - fixed) ** 2)),
        "mse_after": float(np.mean((after - fixed) ** 2)),
        "ncc_before": _correlation(fixed, before),
        "ncc_after": _correlation(fixed, after),
    }


def measure_mirroring(fixed: Array, moving: Array) -> dict[str, float]:
    """How well two images agree as they are, and with left and right exchanged in one of them.

    The lungs and the heart are not symmetrical, so that two images of one patient agree better as
    they are. Each is the best correlation over all shifts from left to right, so that a patient
    who lies off the centre counts neither way.

    Args:
        fixed: (D, H, W) in the order (P, I, L).
        moving: of the same shape, before registration.

    Returns:
        ``ncc_shifted`` and ``ncc_mirrored``, without their signs.
    """
    fixed, moving = fixed - fixed.mean(), moving - moving.mean()
    return {
        "ncc_shifted": _best_correlation(fixed, moving),
        "ncc_mirrored": _best_correlation(fixed, moving[..., ::-1]),
    }


def measure_folds(jacobian: Array, lung: Array | None) -> dict[str, Any]:
    """Folding and quantiles of the Jacobian determinant.

    Args:
        jacobian: on the fixed image's grid.
        lung: mask on that grid; where it is given, the quantiles are those of the lung.
    """
    values = np.quantile(jacobian if lung is None else jacobian[lung], QUANTILES)
    return {
        "folds_volume": folded_fraction(jacobian),
        "folds_lung": None if lung is None else folded_fraction(jacobian, lung),
        "jacobian_region": "volume" if lung is None else "lung",
        "jacobian_quantiles": {f"{q:g}": float(v) for q, v in zip(QUANTILES, values)},
    }


def measure_saturation(spatial_gradients: Array) -> float:
    """How much of Φ, (D, H, W, 3), is near its limits 0 and 2."""
    return float(np.mean(np.abs(spatial_gradients - 1) > 1 - SATURATED))


def measure_overlap(field: Transform, moving: Image) -> float:
    """Share of the fixed volume that the transform puts within the moving image.

    Args:
        field: on the fixed image's grid.
        moving: the moving image.
    """
    mapped = field.map_points(thinned_points(field.frame, 100_000))
    return float(np.mean(is_inside(mapped, moving.frame)))


def measure_dice(fixed: Image, moving: Image, stages: dict[str, Transform]) -> dict[str, float]:
    """Dice on the fixed image's grid under each transform: ``dice_<stage>``.

    Args:
        fixed: mask of the fixed image.
        moving: mask of the moving image.
        stages: name → transform.
    """
    return {
        f"dice_{name}": dice(fixed.data, field.warp(moving, reference=fixed.frame).data)
        for name, field in stages.items()
    }


def measure_landmarks(fixed: Array, moving: Array, stages: dict[str, Transform]) -> dict[str, Any]:
    """Distances in mm of corresponding points (N, 3) under each transform.

    Args:
        fixed: (N, 3), RAS mm.
        moving: (N, 3), RAS mm, of the same landmarks.
        stages: name → transform.

    Returns:
        ``landmarks``, their number; for each stage the mean ``tre_<stage>``,
        ``tre_<stage>_median`` and ``tre_<stage>_max``.
    """
    out: dict[str, Any] = {"landmarks": len(fixed)}
    for name, field in stages.items():
        distances = landmark_errors(moving, field.map_points(fixed))[:, 3]
        out[f"tre_{name}"] = float(distances.mean())
        out[f"tre_{name}_median"] = float(np.median(distances))
        out[f"tre_{name}_max"] = float(distances.max())
    return out


def _correlation(first: Array, second: Array) -> float:
    """Pearson's; 0 when one of the two is constant."""
    first, second = first - first.mean(), second - second.mean()
    scale = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.sum(first * second) / scale) if scale > 0 else 0.0


def _best_correlation(first: Array, second: Array) -> float:
    """The largest over all shifts along the last axis, of images with mean 0; 0 for constants."""
    length = 2 * first.shape[-1]  # no end meets the other
    products = np.zeros(length // 2 + 1, complex)
    for planes in zip(first, second):  # the spectra of whole volumes would be gigabytes
        spectra = (np.fft.rfft(plane, length, axis=-1) for plane in planes)
        products += (np.conj(next(spectra)) * next(spectra)).sum(axis=0)
    sums = np.fft.irfft(products, length)
    scale = np.sqrt(np.sum(first**2) * np.sum(second**2))
    return float(np.abs(sums).max() / scale) if scale > 0 else 0.0
