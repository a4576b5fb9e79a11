"""Which reader opens a file; whatever it raises becomes an error of one line."""

from __future__ import annotations

import math
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tf_lungreg.errors import USER_ERRORS, InputError, MissingFileError
from tf_lungreg.files import check_name
from tf_lungreg.images.dicom import is_dicom, open_dicom
from tf_lungreg.images.geometry import check_affine
from tf_lungreg.images.itk import open_itk
from tf_lungreg.images.memory import check_memory
from tf_lungreg.images.nifti import NIFTI_ENDINGS, NIFTI_FRAMES, open_nifti
from tf_lungreg.images.source import Source

_BYTES_TO_READ = 12  # a voxel: as stored, as float32, and what decoding and checking take


def open_source(path: Path, nifti_frame: str) -> Source:
    """Reads and checks the header of a file in any format.

    NIfTI goes through nibabel, DICOM through pydicom and SimpleITK, MetaImage and NRRD through
    SimpleITK.

    Args:
        path: see :meth:`tf_lungreg.images.image.Image.read`.
        nifti_frame: see there.

    Raises:
        MissingFileError, InputError: see there.
    """
    if nifti_frame not in NIFTI_FRAMES:
        raise InputError(f"nifti_frame: 'sform' or 'qform' is needed, not {nifti_frame!r}.")
    check_name(path)
    if not path.exists():
        raise MissingFileError(f"{path}: no such file; an image is needed.")
    with damage_as_error(path):
        if not _is_nifti(path) and (path.is_dir() or is_dicom(path)):
            source = open_dicom(path)
        elif path.name.lower().endswith(NIFTI_ENDINGS):
            source = open_nifti(path, nifti_frame)
        else:
            source = open_itk(path)
    check_affine(source.affine, str(path))
    check_memory(
        f"{path}: an image of {' x '.join(map(str, source.shape))} voxels",
        math.prod(source.shape) * _BYTES_TO_READ,
        "crop the image, or sample it on larger voxels",
    )
    return source


@contextmanager
def damage_as_error(path: str | os.PathLike[str]) -> Generator[None]:
    """Turns whatever a reader raises on a damaged file into one line that names the file.

    Args:
        path: the file.
    """
    try:
        yield
    except USER_ERRORS:
        raise
    except Exception as error:  # readers raise anything: zlib.error, EOFError, MemoryError, ...
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip()
        raise InputError(
            f"{path}: not a readable image ({reason}); a whole, undamaged 3D image is needed."
        ) from error


def check_image_name(path: str | os.PathLike[str]) -> None:
    """Refuses a name under which no image is written.

    Raises:
        InputError: another ending than .nii or .nii.gz.
    """
    if not _is_nifti(Path(path)):
        raise InputError(f"{path}: images are written as NIfTI; end the name in .nii or .nii.gz.")


def stem(path: str | os.PathLike[str]) -> str:
    """The name of an image's file or folder without its ending, ``.nii.gz`` being one.

    Example:
        >>> stem("scans/sub-01_inhale.nii.gz")
        'sub-01_inhale'
    """
    name = Path(path).name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else Path(name).stem


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz")) and not path.is_dir()
