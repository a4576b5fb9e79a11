"""Transforms in files that ITK, ANTs and 3D Slicer read, in LPS millimetres, pull-back."""

from __future__ import annotations

import math
import os
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk

from tf_lungreg.arrays import Array
from tf_lungreg.errors import USER_ERRORS, InputError, MissingFileError
from tf_lungreg.files import replacing
from tf_lungreg.images.geometry import Frame, check_affine, ras_to_lps
from tf_lungreg.images.itk import itk_grid
from tf_lungreg.images.memory import check_memory
from tf_lungreg.images.nifti import (
    check_voxels,
    header_code,
    nifti_affine,
    nifti_image,
    write_nifti,
)

# ITK takes the vectors of this one as they are, LPS. Those of 1006 (NIFTI_INTENT_DISPVECT) it
# would turn from RAS.
VECTOR_INTENT = 1007

# In a folder of results: the whole transform, and the part of it that follows the affine one.
DISPLACEMENT = "displacement.nii.gz"
DEFORMATION = "deformation.nii.gz"
_PART = "deformation"  # intent_name in the header of the second
_DESCRIPTION = "deformation without affine.tfm; displacement.nii.gz is the whole"  # of 80 bytes

_BYTES_TO_READ = 12  # a number of a field: as stored, as float32 and with other signs

_SIGNS = ras_to_lps(np.ones(3))


def write_displacement(
    path: str | os.PathLike[str], data: Array, frame: Frame, part: bool = False
) -> None:
    """Writes a field as NIfTI: (X, Y, Z, 1, 3) float32, LPS mm, intent 1007.

    Args:
        path: NIfTI, replaced where it exists.
        data: (X, Y, Z, 3), RAS mm.
        frame: its grid.
        part: whether it is the deformation without the affine part; the header then says so, and
            :func:`read_displacement` warns.
    """
    stored = np.empty((*frame.shape, 1, 3), np.float32, order="F")
    for axis, sign in enumerate(_SIGNS):
        np.multiply(data[..., axis], np.float32(sign), out=stored[..., 0, axis])
    image = nifti_image(stored, frame)
    image.header.set_intent(VECTOR_INTENT, name=_PART if part else "")
    if part:
        image.header["descrip"] = _DESCRIPTION
    with replacing(path) as temporary:
        write_nifti(temporary, image)


def displacement_file(path: str | os.PathLike[str]) -> Path:
    """The file with the displacements: the path itself, or in a folder of results."""
    path = Path(path)
    return path / DISPLACEMENT if path.is_dir() else path


def read_displacement(
    path: str | os.PathLike[str], nifti_frame: str = "sform"
) -> tuple[Array, Frame]:
    """Reads what :func:`write_displacement` wrote, and the fields that ANTs writes.

    Warns of a deformation without its affine part.

    Args:
        path: the file, or a registration's folder of results, which holds it.
        nifti_frame: see :meth:`tf_lungreg.images.image.Image.read`.

    Returns:
        (X, Y, Z, 3), RAS mm, and its grid.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is no displacement field of intent 1007, or damaged.
    """
    path = displacement_file(path)
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; a displacement field is needed.")
    try:
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Pair):
            raise ValueError(f"nibabel reads it as {type(image).__name__}")
        shape, intent = image.shape, header_code(image.header, "intent_code")
        if len(shape) != 5 or shape[3:] != (1, 3) or intent != VECTOR_INTENT:
            raise InputError(
                f"{path}: an image of shape {shape}, intent {intent}; a displacement field, "
                f"(X, Y, Z, 1, 3) and intent {VECTOR_INTENT}, is needed."
            )
        check_voxels(path, image)
        size = " x ".join(map(str, shape[:3]))
        check_memory(
            f"{path}: a displacement field of {size} voxels",
            math.prod(shape) * _BYTES_TO_READ,
            "sample the field on larger voxels",
        )
        data = image.get_fdata(dtype=np.float32)
    except USER_ERRORS:
        raise
    except Exception as error:  # nibabel and zlib raise anything on a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: not a readable displacement field ({reason}); displacement.nii.gz of a "
            "registration is needed."
        ) from error
    if image.header.get_intent()[2] == _PART:
        warnings.warn(
            f"{path}: only a part of the transform, the deformation without affine.tfm; "
            f"{DISPLACEMENT}, or the folder of the results, is the whole transform.",
            stacklevel=4,
        )
    affine = nifti_affine(image, path, nifti_frame)
    check_affine(affine, str(path))
    if not np.isfinite(data).all():
        raise InputError(
            f"{path}: displacements are NaN, infinite or exceed float32; numbers in mm are needed."
        )
    vectors = data[..., 0, :] * _SIGNS.astype(np.float32)
    return vectors, Frame(shape[:3], affine)


def write_affine(path: str | os.PathLike[str], affine: Array) -> None:
    """Writes an affine map, (4, 4) RAS mm, as an ITK transform file (LPS).

    Args:
        path: such as ``affine.tfm``, replaced where it exists.
        affine: from the fixed world to the moving one.
    """
    signs = np.diag(_SIGNS)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((signs @ affine[:3, :3] @ signs).ravel().tolist())
    transform.SetTranslation((signs @ affine[:3, 3]).tolist())
    _write_transform(path, transform)


def write_itk_transform(path: str | os.PathLike[str], data: Array, frame: Frame) -> None:
    """Writes a field as an ITK transform in an .h5 file, which 3D Slicer opens as a transform.

    Args:
        path: ends in .h5, replaced where it exists.
        data: (X, Y, Z, 3), RAS mm.
        frame: its grid.
    """
    vectors = (data * _SIGNS).transpose(2, 1, 0, 3)  # ITK's arrays are z, y, x
    image = sitk.GetImageFromArray(vectors, isVector=True)
    grid = itk_grid(frame)
    image.SetSpacing(grid["spacing"])
    image.SetDirection(grid["direction"])
    image.SetOrigin(grid["origin"])
    _write_transform(path, sitk.DisplacementFieldTransform(image))


def _write_transform(path: str | os.PathLike[str], transform: sitk.Transform) -> None:
    with replacing(path) as temporary:
        try:
            sitk.WriteTransform(transform, str(temporary))
            written = sitk.ReadTransform(str(temporary)).GetParameters()
        except RuntimeError as error:
            raise OSError(str(error).splitlines()[-1]) from error
        # A full disk breaks a text file off, and ITK raises nothing.
        if written != transform.GetParameters():
            raise OSError("not all of it was written")
