"""What a registration gives."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tf_lungreg
from tf_lungreg.arrays import Array
from tf_lungreg.images.geometry import Frame
from tf_lungreg.images.image import AnyImage, Image, as_image
from tf_lungreg.quality.measures import Measures
from tf_lungreg.quality.verdict import Quality
from tf_lungreg.registration.provenance import RegistrationProvenance
from tf_lungreg.registration.settings import RegistrationSettings
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
        measures: similarity, folding, Dice, landmark error.
        quality: the verdict that follows from them.
        settings: how it was registered.
        provenance: from what, with which model and software.
        lung: the fixed image's mask, if there is one.
    """

    fixed: Image
    moving: Image
    warped: Image
    displacement: Transform
    parts: ComposedTransform
    jacobian: Image
    measures: Measures
    quality: Quality
    settings: RegistrationSettings
    provenance: RegistrationProvenance
    lung: Image | None = None

    def __repr__(self) -> str:
        """The images' names and the verdict."""
        return f"RegistrationResult({self.moving.name} to {self.fixed.name}: {self.quality})"

    @property
    def metrics(self) -> dict[str, Any]:
        """Deprecated: measures, quality, settings and provenance in one dict, as in version 0.1."""
        warnings.warn(
            "result.metrics is deprecated: use result.measures, quality, settings and provenance.",
            DeprecationWarning,
            stacklevel=2,
        )
        made = asdict(self.provenance)
        of_the_network = ("initial_translation_ras", "network_shape", "network_spacing")
        settings = {**asdict(self.settings), **{n: made.pop(n) for n in of_the_network}}
        verdict = {"quality": self.quality.verdict, "quality_reasons": list(self.quality.reasons)}
        return {**verdict, **self.measures.given(), "settings": settings, **made}

    @property
    def affine(self) -> Array:
        """The affine part, (4, 4), fixed → intermediate, RAS mm."""
        return self.parts.affine

    def apply(self, image: AnyImage, interpolation: str = "linear") -> Image:
        """Another image or label map of the moving space, on the fixed grid.

        Args:
            image: on any grid; given in the same ways as to :func:`tf_lungreg.register`.
            interpolation: ``"linear"``, ``"nearest"`` for labels (outside the map they are 0), or
                ``"cubic"``.

        Raises:
            MissingFileError, InputError: the image cannot be used, or an unknown interpolation.
        """
        exact = interpolation == "nearest"
        volume = as_image(image, "image", self.settings.nifti_frame, exact)
        return self.displacement.warp(volume, interpolation)

    def map_points(self, points: Array) -> Array:
        """Landmarks of the fixed image, (..., 3) RAS mm, to the moving image.

        Raises:
            InputError: the last axis has another length than 3, or a coordinate is no finite
                number.
        """
        return self.displacement.map_points(points)

    def inverse(self, frame: Frame | None = None) -> Transform:
        """The transform moving → fixed; warns where there is none.

        Args:
            frame: its grid; by default the moving image's.
        """
        return self.displacement.inverse(self.moving.frame if frame is None else frame)

    def save(
        self,
        folder: str | os.PathLike[str],
        report: bool = False,
        itk_transform: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Deprecated: see :func:`tf_lungreg.save_result`.

        Args:
            folder: see there, as for the others.
            report: see there.
            itk_transform: see there.
            overwrite: see there.
        """
        warnings.warn(
            "result.save is deprecated: use tf_lungreg.save_result(result, folder).",
            DeprecationWarning,
            stacklevel=2,
        )
        return tf_lungreg.save_result(self, folder, report, itk_transform, overwrite)
