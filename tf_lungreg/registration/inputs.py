"""The inputs of one registration: checked by their headers first, then read."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.files import check_name, checksum
from tf_lungreg.images.geometry import Frame
from tf_lungreg.images.image import AnyImage, Image, as_image, to_mask
from tf_lungreg.images.memory import check_memory
from tf_lungreg.images.sampling import is_inside
from tf_lungreg.quality.lung_mask import lung_mask
from tf_lungreg.tables.landmarks import match_landmarks, read_landmarks

# A voxel, measured: both images, of the fixed grid the field, the warped image, the Jacobian.
_BYTES_FIXED, _BYTES_MOVING = 40, 8


@dataclass(frozen=True)
class PairInputs:
    """What is registered, and what the result is measured with; only the images are needed.

    Attributes:
        fixed: a file, a folder with one DICOM series, or an image in memory.
        moving: the same.
        fixed_mask: lungs, on the fixed image's grid; given like an image.
        moving_mask: lungs, on the moving image's grid.
        fixed_landmarks: table ``name,x,y,z`` in mm, or points that 3D Slicer saved.
        moving_landmarks: the same names in the moving image.
    """

    fixed: AnyImage
    moving: AnyImage
    fixed_mask: AnyImage | None = None
    moving_mask: AnyImage | None = None
    fixed_landmarks: str | os.PathLike[str] | None = None
    moving_landmarks: str | os.PathLike[str] | None = None

    def given(self) -> dict[str, AnyImage]:
        """The inputs that are given, by name; both images always."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        images = ("fixed", "moving")
        return {n: value for n, value in values.items() if n in images or value is not None}

    def open(self, coordinates: str = "ras", nifti_frame: str = "sform") -> Pair:
        """Reads headers and tables, to find most mistakes before anything slow.

        Warns of landmarks outside their image.

        Args:
            coordinates: of the landmark tables, ``"ras"`` or ``"lps"``.
            nifti_frame: see :meth:`tf_lungreg.images.image.Image.read`.

        Raises:
            MissingFileError, InputError: an input cannot be used, landmarks are given for one image
                only, or the images do not overlap or are too large for the memory.
        """
        given = self.given()
        for name, value in given.items():
            _check_file_name(name, value)
        if (self.fixed_landmarks is None) != (self.moving_landmarks is None):
            raise InputError("landmarks: the tables of both images are needed, or none.")
        images = {n: value for n, value in given.items() if not n.endswith("landmarks")}
        opened = {n: as_image(value, n, nifti_frame) for n, value in images.items()}
        # For the record; of images in memory their headers would be warned of once more.
        object.__setattr__(self, "_opened", opened)
        landmarks = None
        if self.fixed_landmarks is not None and self.moving_landmarks is not None:
            tables = (self.fixed_landmarks, self.moving_landmarks)
            landmarks = match_landmarks(*(read_landmarks(each, coordinates) for each in tables))[1:]
        pair = Pair(**opened, landmarks=landmarks)
        _check_overlap(pair.fixed, pair.moving)
        _check_room(pair.fixed, pair.moving)
        self._warn_of_outside(pair, coordinates)
        return pair

    def _warn_of_outside(self, pair: Pair, coordinates: str) -> None:
        if pair.landmarks is None:
            return
        for role, outside in pair.landmarks_outside().items():
            if outside:
                warnings.warn(
                    f"{getattr(self, f'{role}_landmarks')}: {outside} of {len(pair.landmarks[0])} "
                    f"landmarks lie outside {getattr(pair, role).name}. Tables are read as "
                    f"{coordinates.upper()} mm; --coordinates chooses ras or lps, and voxel "
                    "indices must be converted.",
                    stacklevel=4,
                )

    def record(self) -> dict[str, dict[str, str]]:
        """Name and SHA-256 of each input: of a file, of a folder's files in order, or of voxels."""
        opened = getattr(self, "_opened", {})
        return {name: _record(name, value, opened) for name, value in self.given().items()}


@dataclass(frozen=True, eq=False)
class Pair:
    """The inputs of a registration, opened; images are read when their voxels are asked for.

    Attributes:
        fixed: the fixed image, in its own order of axes.
        moving: the moving image, in its own order of axes.
        fixed_mask: on the fixed image's grid, or None.
        moving_mask: on the moving image's grid, or None.
        landmarks: corresponding points of both images, (N, 3) each, RAS mm, or None.
    """

    fixed: Image
    moving: Image
    fixed_mask: Image | None = None
    moving_mask: Image | None = None
    landmarks: tuple[Array, Array] | None = None

    def read_masks(self, automatic: bool) -> tuple[Image | None, Image | None]:
        """The masks of both images, as bool, in the order of the images' axes.

        Args:
            automatic: make the masks that are not given.

        Raises:
            InputError: a mask is empty or on another grid than its image.
        """

        def read(mask: Image | None, image: Image) -> Image | None:
            if mask is not None:
                return to_mask(mask, like=image)
            return lung_mask(image) if automatic else None

        return read(self.fixed_mask, self.fixed), read(self.moving_mask, self.moving)

    def landmarks_outside(self) -> dict[str, int]:
        """How many landmarks lie outside each image's voxels, by role."""
        if self.landmarks is None:
            return {}
        return {
            "fixed": _count_outside(self.landmarks[0], self.fixed.frame),
            "moving": _count_outside(self.landmarks[1], self.moving.frame),
        }


def _check_file_name(name: str, value: AnyImage) -> None:
    """Refuses names that readers cannot open, those of a DICOM series' files among them."""
    if not isinstance(value, (str, os.PathLike)):
        return
    if not os.fspath(value):
        raise InputError(f"{name}: the file's name is empty.")
    check_name(value)
    for entry in os.scandir(value) if os.path.isdir(value) else ():
        check_name(entry.path)


def _record(name: str, value: AnyImage, opened: Mapping[str, Image]) -> dict[str, str]:
    if isinstance(value, (str, os.PathLike)):
        return {"path": os.fspath(value), "sha256": checksum(value)}
    image = opened[name] if name in opened else as_image(value, name)
    digest = hashlib.sha256(np.ascontiguousarray(image.data).data)
    digest.update(np.ascontiguousarray(image.affine).data)
    return {"path": image.name, "sha256": digest.hexdigest()}


def _check_overlap(fixed: Image, moving: Image) -> None:
    """Refuses images whose boxes in the world have nothing in common."""
    (low, high), (other_low, other_high) = _world_box(fixed.frame), _world_box(moving.frame)
    if (np.minimum(high, other_high) <= np.maximum(low, other_low)).any():
        centers = " and ".join(str(i.frame.center.round(1).tolist()) for i in (fixed, moving))
        raise InputError(
            f"{fixed.name} and {moving.name}: the images do not overlap in world space (their "
            f"centres are at {centers} mm); two images of one patient are needed, with right "
            "positions in their headers."
        )


def _check_room(fixed: Image, moving: Image) -> None:
    """Refuses images whose results would not fit into the memory."""
    sizes = " and ".join(" x ".join(map(str, image.shape)) for image in (fixed, moving))
    check_memory(
        f"{fixed.name} and {moving.name}: images of {sizes} voxels",
        _BYTES_FIXED * math.prod(fixed.shape) + _BYTES_MOVING * math.prod(moving.shape),
        "crop the images, or sample them on larger voxels",
    )


def _count_outside(points: Array, frame: Frame) -> int:
    return int(np.count_nonzero(~is_inside(points, frame)))


def _world_box(frame: Frame) -> tuple[Array, Array]:
    return frame.corners.min(axis=0), frame.corners.max(axis=0)
