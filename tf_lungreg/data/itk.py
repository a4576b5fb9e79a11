"""Reading what SimpleITK reads: MetaImage, NRRD and others, and a folder with one DICOM series."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tf_lungreg import geometry
from tf_lungreg.data.source import DEFLATE_LIMIT, Source, check_size, checked_shape

_SINGLE_FILE_FORMATS = (".mha", ".nrrd")  # the ITK formats with header and voxels in one file


def open_itk(path: Path) -> Source:
    """Reads and checks the header of a file."""
    header = sitk.ImageFileReader()
    header.SetFileName(str(path))
    with quiet():
        header.ReadImageInformation()
    pixel = sitk.GetPixelIDValueAsString(header.GetPixelID())  # such as "16-bit signed integer"
    kind = "complex" if "complex" in pixel else "RGB or vector" if "vector" in pixel else None
    shape = checked_shape(path, header.GetSize(), kind)
    if path.suffix.lower() in _SINGLE_FILE_FORMATS:
        needed = math.prod(shape) * int(pixel.split("-bit")[0]) // 8
        check_size(path, needed, DEFLATE_LIMIT * path.stat().st_size)
    axes = np.reshape(header.GetDirection(), (header.GetDimension(),) * 2)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = geometry.ras_to_lps((axes * np.array(header.GetSpacing()[:3])).T).T
    affine[:3, 3] = geometry.ras_to_lps(np.array(header.GetOrigin()[:3]))

    def read(exact: bool) -> np.ndarray:
        with quiet():
            image = header.Execute()
        # SimpleITK's arrays are in the order z, y, x; transposed they are in the file's.
        return sitk.GetArrayFromImage(image).T

    return Source(shape, affine, read)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps ITK from printing what the readers check and say in one line themselves."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
