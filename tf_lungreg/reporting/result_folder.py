"""The folder of a registration's results: images, transforms, measures, report."""

from __future__ import annotations

import os
from pathlib import Path

from tf_lungreg.files import check_no_input, replacing_folder
from tf_lungreg.parallel import at_once
from tf_lungreg.registration.metrics_file import METRICS, write_metrics
from tf_lungreg.registration.result import RegistrationResult
from tf_lungreg.reporting.registration_page import write_report
from tf_lungreg.transforms.transform_files import (
    DEFORMATION,
    DISPLACEMENT,
    write_affine,
    write_displacement,
)

FILES = (
    "warped.nii.gz",
    DISPLACEMENT,
    "affine.tfm",
    DEFORMATION,
    "transform.h5",
    "jacobian.nii.gz",
    "report.html",
    METRICS,  # last: its presence says that the folder is complete
)


def save_result(
    result: RegistrationResult,
    folder: str | os.PathLike[str],
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
        InputError: the folder exists, or holds other files, or one that was registered.
    """
    check_no_input(folder, *(each["path"] for each in result.provenance.inputs.values()))
    with replacing_folder(folder, overwrite, FILES) as out:
        deformation = result.parts.deformation_over(result.displacement.frame)
        at_once(
            lambda: result.displacement.save(out / DISPLACEMENT),
            lambda: result.warped.save(out / "warped.nii.gz"),
            lambda: result.jacobian.save(out / "jacobian.nii.gz"),
            lambda: write_displacement(
                out / DEFORMATION, deformation.data, deformation.frame, part=True
            ),
            lambda: report and write_report(out / "report.html", result),
        )
        write_affine(out / "affine.tfm", result.affine)
        if itk_transform:
            result.displacement.save(out / "transform.h5")
        write_metrics(out / METRICS, result)
    return Path(folder)
