"""Where voxels lie in the world: frames, axis order, RAS and LPS.

Arrays of this package are ordered ``(D, H, W)`` with the nibabel axis code ``('P', 'I', 'L')``:
D runs anterior to posterior, H superior to inferior, W right to left. World coordinates are
RAS millimetres; LPS appears only in :func:`ras_to_lps`, for ITK files.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import SupportsInt

import numpy as np
from nibabel import orientations
from numpy.typing import ArrayLike

from tf_lungreg.arrays import Array, as_array
from tf_lungreg.errors import InputError

AXIS_CODES = ("P", "I", "L")

# Unit steps along D, H, W in RAS world coordinates: posterior is -y, inferior -z, left -x.
DIRECTIONS = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])

NUDGE = 1e-6  # voxels, by which a position midway between two voxels belongs to the next one

_SHEAR_TOLERANCE = 1e-3  # cosine between two voxel axes; headers round to about 1e-6
_ROW_TOLERANCE = 1e-4  # of the last row, which rounding may have touched
_LARGEST_VOXEL = 100.0  # mm along an axis: what is larger is no image of a chest


@dataclass(frozen=True, eq=False)
class Frame:
    """A voxel grid in the world.

    Attributes:
        shape: number of voxels along the three array axes.
        affine: (4, 4) matrix from zero-based voxel coordinates, in array-axis order, to RAS mm.
    """

    shape: tuple[int, int, int]
    affine: Array

    def __init__(self, shape: Iterable[SupportsInt], affine: ArrayLike):
        """Takes three whole numbers of any type, and makes the affine an array of its own."""
        d, h, w = (int(n) for n in shape)
        object.__setattr__(self, "shape", (d, h, w))
        object.__setattr__(self, "affine", np.array(affine, dtype=np.float64))

    @property
    def spacing(self) -> Array:
        """Voxel size in mm along each array axis, shape (3,)."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    @property
    def center(self) -> Array:
        """World position of the volume's centre, RAS mm, shape (3,)."""
        return apply_affine(self.affine, (np.array(self.shape) - 1) / 2)

    @property
    def corners(self) -> Array:
        """The outer corners of the outermost voxels, RAS mm, shape (8, 3)."""
        ends = itertools.product(*((-0.5, n - 0.5) for n in self.shape))
        return apply_affine(self.affine, np.array(list(ends)))

    def voxel_to(self, other: Frame) -> Array:
        """The (4, 4) matrix from this frame's voxel coordinates to ``other``'s."""
        return np.linalg.solve(other.affine, self.affine)

    def same_grid(self, other: Frame, tolerance: float = 1e-3) -> bool:
        """Whether both frames put their corner voxels at the same places, to ``tolerance`` mm.

        Args:
            other: the frame to compare with.
            tolerance: mm.
        """
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[[0, n - 1] for n in self.shape])).reshape(3, -1).T
        difference = apply_affine(self.affine, corners) - apply_affine(other.affine, corners)
        return bool(np.abs(difference).max() <= tolerance)

    def __str__(self) -> str:
        """Shape, spacing and centre, for messages."""
        center, spacing = np.round(self.center, 3).tolist(), np.round(self.spacing, 3).tolist()
        return f"shape {self.shape}, spacing {spacing} mm, centre {center} mm"

    def reoriented(self, codes: tuple[str, str, str]) -> Frame:
        """The same voxels with the axes in another order or direction.

        Args:
            codes: nibabel axis codes, where each axis shall lead.
        """
        orientation = to_axis_codes(self.affine, codes)
        shape = np.empty(3, dtype=int)
        shape[orientation[:, 0].astype(int)] = self.shape
        turn = orientations.inv_ornt_aff(orientation, self.shape)
        return Frame(tuple(shape), self.affine @ turn)


def apply_affine(matrix: Array, points: Array) -> Array:
    """Applies a (4, 4) matrix to points of shape (..., 3).

    Example:
        The centre of voxel (1, 2, 3) of an image with voxels of 2 mm:

        >>> apply_affine(np.diag([2.0, 2.0, 2.0, 1.0]), [1, 2, 3]).tolist()
        [2.0, 4.0, 6.0]
    """
    return np.asarray(points) @ matrix[:3, :3].T + matrix[:3, 3]


def within(position: Array, length: float | Array) -> Array:
    """Whether positions along an axis lie within a volume: the one rule for its border.

    A volume ends half a voxel beyond the centres of its outermost voxels, as in SimpleITK. Where a
    position lies at the very edge, rounding errors would choose at random: it belongs to what comes
    next, so that the lower edge is inside and the upper one is not.

    Args:
        position: zero-based voxel coordinates.
        length: voxels along the axis.

    Returns:
        bool, of the shape of the two together.
    """
    nudged = position + NUDGE
    return (nudged >= -0.5) & (nudged < length - 0.5)


def rotation(degrees: Array | Sequence[float]) -> Array:
    """The rotation about the first axis, then the second, then the third: (3, 3).

    Args:
        degrees: (3,).
    """
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    return matrix


def ras_to_lps(points: Array) -> Array:
    """Turns points or vectors of shape (..., 3) from RAS to LPS, or from LPS to RAS.

    Example:
        >>> ras_to_lps([36.4, 37.0, -1204.5]).tolist()
        [-36.4, -37.0, -1204.5]
    """
    return np.asarray(points) * np.array([-1.0, -1.0, 1.0])


def check_affine(affine: ArrayLike, name: str) -> Array:
    """Refuses an affine that is no rotation (or reflection) with a positive voxel size.

    Args:
        affine: (4, 4) voxel to RAS mm.
        name: the file, for the message.

    Returns:
        The affine in float64.

    Raises:
        InputError: it is no (4, 4) matrix of numbers with the last row 0, 0, 0, 1; it is not
            finite, singular, has shear, or a voxel is larger than 100 mm.
    """
    affine = _matrix(affine, name)
    matrix = affine[:3, :3]
    sizes = np.linalg.norm(matrix, axis=0)
    if not np.isfinite(affine).all() or (sizes < 1e-6).any():
        raise InputError(
            f"{name}: the header affine is singular (voxel sizes {sizes.tolist()}); "
            "correct the file's orientation matrix."
        )
    if sizes.max() > _LARGEST_VOXEL:
        raise InputError(
            f"{name}: the header's voxels are {sizes.round(3).tolist()} mm large; at most "
            f"{_LARGEST_VOXEL} mm are possible, correct the file's units or orientation matrix."
        )
    if np.abs(affine[3] - (0, 0, 0, 1)).max() > _ROW_TOLERANCE:
        raise InputError(
            f"{name}: the last row of the affine is {affine[3].tolist()}; 0, 0, 0, 1 is needed, "
            "the last column holds the position of the first voxel (transposed?)."
        )
    cosines = np.abs((matrix / sizes).T @ (matrix / sizes) - np.eye(3)).max()
    if cosines > _SHEAR_TOLERANCE:
        raise InputError(
            f"{name}: the header affine is sheared (two voxel axes are not at right angles, "
            f"cosine {cosines:.3g}); resample the image on an orthogonal grid first."
        )
    return affine


def _matrix(affine: ArrayLike, name: str) -> Array:
    """A (4, 4) matrix of real numbers, float64."""
    matrix = as_array(affine)
    if matrix.shape != (4, 4) or matrix.dtype.kind not in "biuf":
        raise InputError(
            f"{name}: an affine of shape {matrix.shape} and type {matrix.dtype}; a (4, 4) matrix "
            "of numbers is needed, from voxel coordinates to RAS mm."
        )
    return matrix.astype(np.float64)


def to_axis_codes(affine: Array, codes: tuple[str, str, str] = AXIS_CODES) -> Array:
    """The nibabel orientation, (3, 2), that brings a file's array closest to the axis codes.

    Args:
        affine: (4, 4) voxel to RAS mm, the file's.
        codes: where each axis of the array shall lead.
    """
    return orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(codes)
    )
