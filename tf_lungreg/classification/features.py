"""What the classifier sees of a deformation: ``Gδ = G − G_I`` on a small grid over the lungs.

The displacement is in mm, or in lung sizes, along D, H, W, and less its mean, so that neither the
images' voxels nor where the patient lies in the two images matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import DIRECTIONS, Frame, apply_affine
from tf_lungreg.images.image import Image
from tf_lungreg.transforms.transform import Transform

SHAPE = (12, 16, 16)  # along D, H, W; fine enough for a field that is smooth over centimetres
_LEAST = 1e-3  # mm; a displacement of nothing stays nothing, and rounding is nothing
UNITS = ("mm", "lung", "breath")


@dataclass(frozen=True, eq=False)
class Sampled:
    """A displacement on the grid over the lungs.

    Attributes:
        displacement: (D, H, W, 3) float32, mm along D, H, W.
        extent: of the box in mm along D, H, W, (3,).
    """

    displacement: Array
    extent: Array


def sample(
    field: Transform,
    frame: Frame,
    mask: Image | None = None,
    shape: tuple[int, int, int] = SHAPE,
) -> Sampled:
    """Samples a field at the centres of equal cells of the box around the fixed image's lungs.

    The box is parallel to the world's axes and reaches to the outer edges of the outermost voxels.

    Args:
        field: the displacement of a registration.
        frame: the fixed image's grid.
        mask: its lung mask, on ``frame`` up to the order of the axes; without it the box is that
            of the whole volume.
        shape: cells along D, H, W.
    """
    low, extent = bounding_box(frame, mask)
    axes = [(np.arange(n) + 0.5) / n for n in shape]
    cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = (low + cells * extent) @ DIRECTIONS.T  # from D, H, W in mm to RAS
    displacement = field.displacement(points) @ DIRECTIONS
    return Sampled(displacement.astype(np.float32), extent)


def make_features(sampled: Sampled, unit: str = "mm") -> Array:
    """The network's input, (D, H, W, 3) float32.

    Args:
        sampled: a displacement over the lungs.
        unit: ``"mm"``; ``"lung"`` for shares of the box's extent along each axis; ``"breath"`` for
            multiples of the patient's own root mean square, so that how deeply they breathed
            does not matter, only where.

    Raises:
        InputError: an unknown unit.
    """
    if unit not in UNITS:
        raise InputError(f"unit: one of {', '.join(UNITS)} is needed, not {unit!r}.")
    features = breath(sampled)
    if unit == "lung":
        features = features / sampled.extent
    if unit == "breath":
        features = features / max(_root_mean_square(features), _LEAST)
    return features.astype(np.float32)


def breath(sampled: Sampled) -> Array:
    """The displacement in mm less its mean, (D, H, W, 3) float64; what rounding leaves is 0.

    Args:
        sampled: a displacement over the lungs.
    """
    moved = sampled.displacement.astype(np.float64)
    moved -= moved.mean(axis=(0, 1, 2))
    return np.where(np.abs(moved) < _LEAST, 0.0, moved)


def sizes(sampled: Sampled) -> dict[str, float]:
    """How deep a breath is, ``breath``, and how large the box, ``lungs``; mm.

    Args:
        sampled: a displacement over the lungs.

    Returns:
        The root mean square of :func:`breath`, and the edge of a cube of the box's volume.
    """
    return {
        "breath": _root_mean_square(breath(sampled)),
        "lungs": float(np.prod(sampled.extent) ** (1 / 3)),
    }


def mirrored(features: Array) -> Array:
    """The same breath in a body whose right and left are exchanged.

    Args:
        features: (..., D, H, W, 3).
    """
    return features[..., ::-1, :] * np.array([1, 1, -1], features.dtype)


def bounding_box(frame: Frame, mask: Image | None = None) -> tuple[Array, Array]:
    """Lowest corner and extent, mm along D, H, W, of the box around the lungs or the volume.

    Args:
        frame: of the volume.
        mask: of the lungs; None for the box of the whole volume.
    """
    return _mask_box(mask) if mask is not None else _volume_box(frame)


def check_mask(mask: Image, frame: Frame) -> None:
    """Refuses a lung mask that is not on the fixed image's grid.

    Args:
        mask: of the lungs.
        frame: of the fixed image, or of the displacement.

    Raises:
        InputError: it has other voxels, or they lie elsewhere.
    """
    if not same_voxels(mask.frame, frame):
        raise InputError(
            f"{mask.name}: the lung mask has {_size(mask.frame)}, the fixed image or displacement "
            f"{_size(frame)} at another place or spacing; one grid is needed, the fixed image's."
        )


def same_voxels(one: Frame, other: Frame) -> bool:
    """Whether two grids have the same voxels, in whatever order of the axes.

    Args:
        one: a grid.
        other: another.
    """
    if sorted(one.shape) != sorted(other.shape):
        return False
    places = [apply_affine(frame.affine, _corners(frame)) for frame in (one, other)]
    apart = np.linalg.norm(places[0][:, None] - places[1][None], axis=-1)
    return bool(apart.min(axis=1).max() < 0.01 * one.spacing.min())


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _size(frame: Frame) -> str:
    return " x ".join(map(str, frame.shape)) + " voxels"


def _volume_box(frame: Frame) -> tuple[Array, Array]:
    return _box(_corners(frame), frame)


def _corners(frame: Frame) -> Array:
    """Voxel coordinates of the eight corner voxels, (8, 3)."""
    return np.array(np.meshgrid(*[[0, n - 1] for n in frame.shape])).reshape(3, -1).T


def _mask_box(mask: Image) -> tuple[Array, Array]:
    return _box(np.argwhere(mask.data), mask.frame)


def _box(voxels: Array, frame: Frame) -> tuple[Array, Array]:
    """Lowest corner and extent, mm along D, H, W, of the box that holds some voxels whole."""
    centers = apply_affine(frame.affine, voxels) @ DIRECTIONS
    half = np.abs(DIRECTIONS.T @ frame.affine[:3, :3]).sum(axis=1) / 2
    low, high = centers.min(axis=0) - half, centers.max(axis=0) + half
    return low, high - low
