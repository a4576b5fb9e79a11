"""The files of one pair: checked by their headers first, then read."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.files import check_name
from tf_lungreg.images.geometry import Frame, apply_affine
from tf_lungreg.images.memory import check_memory
from tf_lungreg.images.reading import Volume, load_header, load_mask, load_volume
from tf_lungreg.images.sampling import is_inside
from tf_lungreg.quality.lung_mask import lung_mask
from tf_lungreg.tables.landmarks import match_landmarks, read_landmarks

# A voxel, measured: both images, of the fixed grid the field, the warped image, the Jacobian.
_BYTES_FIXED, _BYTES_MOVING = 40, 8


@dataclass(frozen=True)
class PairFiles:
    """What is registered, and what the result is measured with; only the images are needed.

    Attributes:
        fixed: image, or a folder with one DICOM series.
        moving: the same.
        fixed_mask: lungs, on the fixed image's grid.
        moving_mask: lungs, on the moving image's grid.
        fixed_landmarks: table ``name,x,y,z`` in mm, or points that 3D Slicer saved.
        moving_landmarks: the same names in the moving image.
    """

    fixed: str | os.PathLike
    moving: str | os.PathLike
    fixed_mask: str | os.PathLike | None = None
    moving_mask: str | os.PathLike | None = None
    fixed_landmarks: str | os.PathLike | None = None
    moving_landmarks: str | os.PathLike | None = None

    def given(self) -> dict[str, str | os.PathLike]:
        """The files that there are, by name."""
        return {name: path for name, path in asdict(self).items() if path is not None}

    def check(self, coordinates: str = "ras", nifti_frame: str = "sform") -> None:
        """Reads headers and tables, to find most mistakes before anything slow.

        Warns of landmarks outside their image.

        Args:
            coordinates: of the landmark tables, ``"ras"`` or ``"lps"``.
            nifti_frame: see :func:`tf_lungreg.images.reading.load_volume`.

        Raises:
            MissingFileError, InputError: a file cannot be used, landmarks are given for one image
                only, or the images do not overlap or are too large for the memory.
        """
        for name, path in self.given().items():
            if not os.fspath(path):
                raise InputError(f"{name}: the file's name is empty.")
            check_name(path)
            for entry in os.scandir(path) if os.path.isdir(path) else ():  # of a DICOM series
                check_name(entry.path)
        if (self.fixed_landmarks is None) != (self.moving_landmarks is None):
            raise InputError("landmarks: the tables of both images are needed, or none.")
        files = self.given()
        images = {name: path for name, path in files.items() if "landmarks" not in name}
        frames = {n: load_header(path, nifti_frame=nifti_frame) for n, path in images.items()}
        _check_overlap(self, frames["fixed"], frames["moving"])
        _check_room(self, frames["fixed"], frames["moving"])
        landmarks = self.read_landmarks(coordinates)
        if landmarks is not None:
            self._warn_of_outside(landmarks, frames, coordinates)

    def read_images(self, nifti_frame: str = "sform") -> tuple[Volume, Volume]:
        """The fixed and the moving image, in the order of the files' axes.

        Args:
            nifti_frame: see :func:`tf_lungreg.images.reading.load_volume`.
        """
        return tuple(
            load_volume(path, axis_codes=None, nifti_frame=nifti_frame)
            for path in (self.fixed, self.moving)
        )

    def read_masks(
        self, images: tuple[Volume, Volume], automatic: bool, nifti_frame: str = "sform"
    ) -> tuple[Volume | None, Volume | None]:
        """The masks of both images.

        Args:
            images: of :meth:`read_images`.
            automatic: make the masks that are not given.
            nifti_frame: see :func:`tf_lungreg.images.reading.load_volume`.
        """

        def read(path, image):
            if path is not None:
                return load_mask(path, like=image, nifti_frame=nifti_frame)
            return lung_mask(image) if automatic else None

        fixed, moving = images
        return read(self.fixed_mask, fixed), read(self.moving_mask, moving)

    def read_landmarks(self, coordinates: str = "ras") -> tuple[np.ndarray, np.ndarray] | None:
        """Corresponding points of the fixed and the moving image, (N, 3) each, RAS mm.

        Args:
            coordinates: of the tables, ``"ras"`` or ``"lps"``.
        """
        if self.fixed_landmarks is None:
            return None
        paths = self.fixed_landmarks, self.moving_landmarks
        return match_landmarks(*(read_landmarks(path, coordinates) for path in paths))[1:]

    def _warn_of_outside(self, landmarks, frames: dict[str, Frame], coordinates: str) -> None:
        for role, points in zip(("fixed", "moving"), landmarks):
            outside = count_outside(points, frames[role])
            if outside:
                warnings.warn(
                    f"{getattr(self, f'{role}_landmarks')}: {outside} of {len(points)} landmarks "
                    f"lie outside {getattr(self, role)}. Tables are read as {coordinates.upper()} "
                    "mm; --coordinates chooses ras or lps, and voxel indices must be converted.",
                    stacklevel=4,
                )

    def record(self) -> dict[str, dict[str, str]]:
        """Path and SHA-256 of each file; of a folder, that of its files in order."""
        return {
            name: {"path": os.fspath(path), "sha256": _checksum(Path(path))}
            for name, path in self.given().items()
        }


def _check_overlap(files: PairFiles, fixed: Frame, moving: Frame) -> None:
    """Refuses images whose boxes in the world have nothing in common."""
    (low, high), (other_low, other_high) = _world_box(fixed), _world_box(moving)
    if (np.minimum(high, other_high) <= np.maximum(low, other_low)).any():
        centers = " and ".join(str(frame.center.round(1).tolist()) for frame in (fixed, moving))
        raise InputError(
            f"{files.fixed} and {files.moving}: the images do not overlap in world space (their "
            f"centres are at {centers} mm); two images of one patient are needed, with right "
            "positions in their headers."
        )


def count_outside(points: np.ndarray, frame: Frame) -> int:
    """How many points lie outside an image's voxels.

    Args:
        points: (N, 3), RAS mm.
        frame: the image's grid.
    """
    voxels = apply_affine(np.linalg.inv(frame.affine), points)
    return int(np.count_nonzero(~is_inside(voxels.T, frame.shape)))


def _check_room(files: PairFiles, fixed: Frame, moving: Frame) -> None:
    """Refuses images whose results would not fit into the memory."""
    sizes = " and ".join(" x ".join(map(str, frame.shape)) for frame in (fixed, moving))
    check_memory(
        f"{files.fixed} and {files.moving}: images of {sizes} voxels",
        _BYTES_FIXED * math.prod(fixed.shape) + _BYTES_MOVING * math.prod(moving.shape),
        "crop the images, or sample them on larger voxels",
    )


def _world_box(frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    return frame.corners.min(axis=0), frame.corners.max(axis=0)


def _checksum(path: Path) -> str:
    if not path.exists():
        raise MissingFileError(f"{path}: no such file.")
    digest = hashlib.sha256()
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    for file in files:
        with file.open("rb") as stream:
            while part := stream.read(1 << 22):
                digest.update(part)
    return digest.hexdigest()
