"""MetaImage and NRRD, read by SimpleITK. Other formats do not say where an image lies."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import Frame, ras_to_lps
from tf_lungreg.images.itk_headers import check_meta_header, check_nrrd_header
from tf_lungreg.images.source import Source, check_size, checked_shape

# Ending → ITK's reader, and the check of the header before it.
_FORMATS = {
    **dict.fromkeys((".mha", ".mhd"), ("MetaImageIO", check_meta_header)),
    **dict.fromkeys((".nrrd", ".nhdr"), ("NrrdImageIO", check_nrrd_header)),
}


def open_itk(path: Path) -> Source:
    """Reads and checks the header of a file.

    Raises:
        InputError: another format, no scalar 3D image, or fewer voxels in the file than the header
            asks for.
        MissingFileError: the file with the voxels is missing.
    """
    if path.suffix.lower() not in _FORMATS:
        raise InputError(
            f"{path}: not a readable image; NIfTI, MetaImage (.mha, .mhd), NRRD (.nrrd, .nhdr) or "
            "DICOM is needed. Other formats do not say where the image lies."
        )
    reader, check_header = _FORMATS[path.suffix.lower()]
    voxels = check_header(path)
    header = sitk.ImageFileReader()
    header.SetImageIO(reader)
    header.SetFileName(str(path))
    with _damage_as_error(path):
        header.ReadImageInformation()
    pixel = sitk.GetPixelIDValueAsString(header.GetPixelID())  # such as "16-bit signed integer"
    shape = checked_shape(path, header.GetSize(), _kind(pixel))
    needed = math.prod(shape) * int(pixel.split("-bit")[0]) // 8
    check_size(path, needed, voxels.ratio * voxels.path.stat().st_size)

    def read(exact: bool) -> Array:
        voxels.check_deflated(path, needed)
        with _damage_as_error(path):
            image = header.Execute()
        if voxels.rescale == (1, 0):
            return _array(image)
        slope, intercept = voxels.rescale
        return slope * _array(image).astype(np.float64) + intercept

    return Source(shape, _affine(header), read)


def source_of_sitk(image: sitk.Image, name: str) -> Source:
    """An image of SimpleITK as a source, its axes in the order x, y, z.

    Args:
        image: three-dimensional.
        name: of the image, for messages.

    Raises:
        InputError: no scalar 3D image.
    """
    # SimpleITK itself ends the process when it is asked for the voxels of a label map.
    if image.GetPixelIDTypeAsString().startswith("label"):
        raise InputError(
            f"{name}: a label map of SimpleITK; a scalar image is needed, convert it with "
            "SimpleITK.LabelMapToLabel."
        )
    shape = checked_shape(name, image.GetSize(), _kind(image.GetPixelIDTypeAsString()))
    return Source(shape, _affine(image), lambda exact: _array(image))


def itk_grid(frame: Frame) -> dict[str, tuple[float, ...]]:
    """``origin``, ``spacing`` and ``direction`` of a grid, as ITK has them, in LPS mm.

    Args:
        frame: the grid.
    """
    directions = ras_to_lps((frame.affine[:3, :3] / frame.spacing).T).T
    return {
        "origin": tuple(ras_to_lps(frame.affine[:3, 3]).tolist()),
        "spacing": tuple(frame.spacing.tolist()),
        "direction": tuple(directions.ravel().tolist()),
    }


def _affine(image: sitk.Image | sitk.ImageFileReader) -> Array:
    """(4, 4) from voxel coordinates x, y, z to RAS mm."""
    axes = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = ras_to_lps((axes * np.array(image.GetSpacing()[:3])).T).T
    affine[:3, 3] = ras_to_lps(np.array(image.GetOrigin()[:3]))
    return affine


def _array(image: sitk.Image) -> Array:
    """The voxels in the order x, y, z; SimpleITK's arrays are in the order z, y, x."""
    return sitk.GetArrayFromImage(image).T


def _kind(pixel: str) -> str | None:
    """What the voxels are, if they are no numbers."""
    return "complex" if "complex" in pixel else "RGB or vector" if "vector" in pixel else None


@contextlib.contextmanager
def _damage_as_error(path: Path) -> Generator[None]:
    """ITK's messages quote the header, which may be of a file that the user must not see."""
    try:
        with quiet():
            yield
    except RuntimeError as error:
        raise InputError(
            f"{path}: not a readable image; it is truncated or damaged, a whole file is needed."
        ) from error


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Keeps ITK from printing what the readers check and say in one line themselves."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
