"""What a registration gives, and its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_lungreg.images.geometry import AXIS_CODES, Frame
from tf_lungreg.images.image import Image
from tf_lungreg.transforms.composed import ComposedTransform
from tf_lungreg.transforms.transform import Transform


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """``warped(p) = moving(T(p))``, ``T(p) = p + displacement(p)``, on the fixed file's own grid.

    Arrays have the order of the fixed file's axes; points and vectors are RAS mm.

    Attributes:
        fixed: the fixed image.
        moving: the moving image.
        warped: the moving image in its own intensities on the fixed grid, float32; the moving
            image's smallest value where it ends.
        displacement: the whole transform.
        parts: of the transform: affine, and deformation with the initial translation.
        jacobian: local volume change, dT/dp's determinant: below 1 where the tissue is smaller in
            the moving image, at or below 0 where T folds.
        metrics: what ``metrics.json`` holds.
        lung: the fixed image's mask, if there is one.
    """

    fixed: Image
    moving: Image
    warped: Image
    displacement: Transform
    parts: ComposedTransform
    jacobian: Image
    metrics: dict
    lung: Image | None = None

    @property
    def affine(self) -> np.ndarray:
        """The affine part, (4, 4), fixed → intermediate, RAS mm."""
        return self.parts.affine

    def apply(self, image: str | os.PathLike | Image, interpolation: str = "linear") -> Image:
        """Another image or label map of the moving space, on the fixed grid.

        Args:
            image: a file or a volume, on any grid.
            interpolation: ``"linear"``, ``"nearest"`` for labels (outside the map they are 0), or
                ``"cubic"``.

        Raises:
            MissingFileError, InputError: the file cannot be used, or an unknown interpolation.
        """
        exact = interpolation == "nearest"
        volume = image if isinstance(image, Image) else Image.read(image, AXIS_CODES, exact=exact)
        return self.displacement.warp(volume, interpolation)

    def map_points(self, points: np.ndarray) -> np.ndarray:
        """Landmarks of the fixed image, (..., 3) RAS mm, to the moving image."""
        return self.displacement.map_points(points)

    def inverse(self, frame: Frame | None = None) -> Transform:
        """The transform moving → fixed; warns where there is none.

        Args:
            frame: its grid; by default the moving image's.
        """
        return self.displacement.inverse(self.moving.frame if frame is None else frame)

    def save(
        self,
        folder: str | os.PathLike,
        report: bool = False,
        itk_transform: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Writes the result's files to a folder, all or none.

        Args:
            folder: a new one.
            report: with ``report.html``.
            itk_transform: with ``transform.h5`` for 3D Slicer.
            overwrite: whether results that are there may be replaced.

        Raises:
            InputError: the folder exists, or holds other files.
        """
        import tf_lungreg

        return tf_lungreg.save_result(self, folder, report, itk_transform, overwrite)
