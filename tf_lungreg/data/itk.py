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
from tf_lungreg.errors import InputError

_SINGLE_FILE_FORMATS = (".mha", ".nrrd")  # the ITK formats with header and voxels in one file
_SLICE_TOLERANCE = 0.1  # slice distances; positions in DICOM are rounded


def open_itk(path: Path) -> Source:
    """Reads and checks the header of a file, or a whole DICOM series."""
    if path.is_dir():
        with _no_warnings():
            header = _read_series(path)
    else:
        header = sitk.ImageFileReader()
        header.SetFileName(str(path))
        header.ReadImageInformation()
    pixel = sitk.GetPixelIDValueAsString(header.GetPixelID())  # such as "16-bit signed integer"
    kind = "complex" if "complex" in pixel else "RGB or vector" if "vector" in pixel else None
    shape = checked_shape(path, header.GetSize(), kind)
    if path.suffix.lower() in _SINGLE_FILE_FORMATS:
        check_size(path, math.prod(shape) * int(pixel.split("-bit")[0]) // 8, DEFLATE_LIMIT)
    axes = np.reshape(header.GetDirection(), (header.GetDimension(),) * 2)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = geometry.ras_to_lps((axes * np.array(header.GetSpacing()[:3])).T).T
    affine[:3, 3] = geometry.ras_to_lps(np.array(header.GetOrigin()[:3]))

    def read() -> np.ndarray:
        image = header if path.is_dir() else header.Execute()
        # SimpleITK's arrays are in the order z, y, x; transposed they are in the file's.
        return sitk.GetArrayFromImage(image).T

    return Source(shape, affine, read)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    """Keeps ITK from printing what :func:`_read_series` checks and says in one line itself."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def _read_series(folder: Path) -> sitk.Image:
    """Reads the one DICOM series of a folder."""
    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise InputError(
            f"{folder}: {len(series)} DICOM series found in the folder; exactly one is needed."
        )
    files = reader.GetGDCMSeriesFileNames(str(folder), series[0])
    reader.SetFileNames(files)
    image = reader.Execute()
    # SimpleITK takes an even, upright stack for granted: a gap or a tilted gantry goes unsaid.
    slices = sitk.ImageFileReader()
    offset = 0.0
    for k, file in enumerate(files):
        slices.SetFileName(file)
        slices.ReadImageInformation()
        expected = image.TransformIndexToPhysicalPoint((0, 0, k))
        offset = max(offset, math.dist(expected, slices.GetOrigin()[:3]))
    if offset > _SLICE_TOLERANCE * image.GetSpacing()[2]:
        raise InputError(
            f"{folder}: the DICOM slices are up to {offset:.3g} mm from where an even stack has "
            "them (one missing or doubled, or a tilted gantry); a complete, upright one is needed."
        )
    return image
