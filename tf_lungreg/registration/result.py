"""What a registration gives, and its files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_lungreg.data.io import Volume, load_volume, save_volume
from tf_lungreg.files import replacing_folder, write_json
from tf_lungreg.geometry import Frame
from tf_lungreg.registration.field import DisplacementField
from tf_lungreg.registration.inversion import invert_field
from tf_lungreg.registration.parallel import at_once
from tf_lungreg.registration.report import write_registration_report
from tf_lungreg.registration.transform import WorldTransform
from tf_lungreg.registration.transform_files import (
    DISPLACEMENT,
    write_affine,
    write_displacement,
    write_itk_transform,
)

FILES = (
    "warped.nii.gz",
    DISPLACEMENT,
    "affine.tfm",
    "deformation.nii.gz",
    "transform.h5",
    "jacobian.nii.gz",
    "report.html",
    "metrics.json",  # last: its presence says that the folder is complete
)


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
        transform: its parts: affine, and deformation with the initial translation.
        jacobian: local volume change, dT/dp's determinant: below 1 where the tissue is smaller in
            the moving image, at or below 0 where T folds.
        metrics: what ``metrics.json`` holds.
        lung: the fixed image's mask, if there is one.
    """

    fixed: Volume
    moving: Volume
    warped: Volume
    displacement: DisplacementField
    transform: WorldTransform
    jacobian: Volume
    metrics: dict
    lung: Volume | None = None

    @property
    def affine(self) -> np.ndarray:
        """The affine part, (4, 4), fixed → intermediate, RAS mm."""
        return self.transform.affine

    def apply(self, image: str | os.PathLike | Volume, interpolation: str = "linear") -> Volume:
        """Another image or label map of the moving space, on the fixed grid.

        Args:
            image: a file or a volume, on any grid.
            interpolation: ``"linear"``, ``"nearest"`` for labels (outside the map they are 0), or
                ``"cubic"``.

        Raises:
            MissingFileError, InputError: the file cannot be used, or an unknown interpolation.
        """
        exact = interpolation == "nearest"
        volume = image if isinstance(image, Volume) else load_volume(image, exact=exact)
        return self.displacement.apply(volume, interpolation)

    def map_points(self, points: np.ndarray) -> np.ndarray:
        """Landmarks of the fixed image, (..., 3) RAS mm, to the moving image."""
        return self.displacement.map_points(points)

    def inverse(self, frame: Frame | None = None) -> DisplacementField:
        """The transform moving → fixed; warns where there is none.

        Args:
            frame: its grid; by default the moving image's.
        """
        return invert_field(self.displacement, self.moving.frame if frame is None else frame)

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
        with replacing_folder(folder, overwrite, FILES) as out:
            deformation = self.transform.deformation_over(self.displacement.frame)
            at_once(
                lambda: write_displacement(out / DISPLACEMENT, self.displacement),
                lambda: _save(out / "warped.nii.gz", self.warped),
                lambda: _save(out / "jacobian.nii.gz", self.jacobian),
                lambda: write_displacement(out / "deformation.nii.gz", deformation),
                lambda: report and write_registration_report(out / "report.html", self),
            )
            write_affine(out / "affine.tfm", self.affine)
            if itk_transform:
                write_itk_transform(out / "transform.h5", self.displacement)
            write_json(out / "metrics.json", self.metrics)
        return Path(folder)


def _save(path: Path, volume: Volume) -> None:
    save_volume(path, volume.data, volume.frame)
