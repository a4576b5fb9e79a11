"""The folder of a registration's results: images, transforms, measures, report."""

from __future__ import annotations

import os
from pathlib import Path

from tf_lungreg.files import replacing_folder, write_json
from tf_lungreg.images.reading import Volume, save_volume
from tf_lungreg.parallel import at_once
from tf_lungreg.registration.result import RegistrationResult
from tf_lungreg.reporting.registration_page import write_registration_report
from tf_lungreg.transforms.transform_files import (
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


def save_result(
    result: RegistrationResult,
    folder: str | os.PathLike,
    report: bool = False,
    itk_transform: bool = False,
    overwrite: bool = False,
) -> Path:
    """Writes the files of a result to a folder, all or none.

    Args:
        result: of :func:`tf_lungreg.register`.
        folder: a new one.
        report: with ``report.html``.
        itk_transform: with ``transform.h5`` for 3D Slicer.
        overwrite: whether results that are there may be replaced.

    Returns:
        The folder.

    Raises:
        InputError: the folder exists, or holds other files.
    """
    with replacing_folder(folder, overwrite, FILES) as out:
        deformation = result.transform.deformation_over(result.displacement.frame)
        at_once(
            lambda: write_displacement(out / DISPLACEMENT, result.displacement),
            lambda: _save(out / "warped.nii.gz", result.warped),
            lambda: _save(out / "jacobian.nii.gz", result.jacobian),
            lambda: write_displacement(out / "deformation.nii.gz", deformation),
            lambda: report and write_registration_report(out / "report.html", result),
        )
        write_affine(out / "affine.tfm", result.affine)
        if itk_transform:
            write_itk_transform(out / "transform.h5", result.displacement)
        write_json(out / "metrics.json", result.metrics)
    return Path(folder)


def _save(path: Path, volume: Volume) -> None:
    save_volume(path, volume.data, volume.frame)
