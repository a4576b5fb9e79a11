"""Volumes in files: reading to ``(D, H, W)`` with the axis code ('P', 'I', 'L'), and writing NIfTI.

Reading only flips and transposes: every voxel keeps its value and its RAS world position. NIfTI
goes through nibabel, DICOM through pydicom and SimpleITK, MetaImage and NRRD through SimpleITK.
Whatever is wrong with a file is an :class:`~tf_lungreg.errors.InputError`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from tf_lungreg.errors import USER_ERRORS, InputError, MissingFileError
from tf_lungreg.files import check_name, replacing
from tf_lungreg.images import geometry
from tf_lungreg.images.dicom import is_dicom, open_dicom
from tf_lungreg.images.geometry import AXIS_CODES, Frame
from tf_lungreg.images.itk import open_itk
from tf_lungreg.images.memory import check_memory
from tf_lungreg.images.nifti import NIFTI_ENDINGS, NIFTI_FRAMES, open_nifti, write_nifti
from tf_lungreg.images.source import Source

_BYTES_TO_READ = 12  # a voxel: as stored, as float32, and what decoding and checking take
_GRID_TOLERANCE = 0.01  # voxels; headers that went through other programs are rounded


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D image or mask and where it lies.

    Attributes:
        data: (D, H, W), float32 for images, bool for masks, the file's own type for labels.
        frame: the voxel grid, RAS mm.
        path: the file it came from, for messages.
    """

    data: np.ndarray
    frame: Frame
    path: str


def load_volume(
    path: str | os.PathLike,
    axis_codes: tuple[str, str, str] | None = AXIS_CODES,
    exact: bool = False,
    nifti_frame: str = "sform",
) -> Volume:
    """Reads a 3D image as float32, with the file's intensity scaling applied.

    Args:
        path: a .nii or .nii.gz file, an .hdr/.img pair of NIfTI, a .mha, .mhd, .nrrd or .nhdr
            file, a folder with one DICOM series, or a multi-frame DICOM file. A fourth axis of
            length 1 is dropped.
        axis_codes: where the array's axes point; None keeps the file's own order.
        exact: keep integers, and float64, as they are stored: float32 has no whole numbers
            between 2**24 and 2**24 + 2, and labels may be larger.
        nifti_frame: which place of a NIfTI file counts where it states two, ``"sform"`` or
            ``"qform"``; warns where they differ.

    Raises:
        MissingFileError: there is no such file.
        InputError: the file is damaged or no scalar 3D image, an axis has fewer than two voxels,
            the header's affine is sheared or singular, or a voxel is NaN or infinite.
    """
    source = _open(Path(path), nifti_frame)
    with _as_input_error(path), np.errstate(all="ignore"):
        data = source.read(exact).reshape(source.shape)
        if axis_codes is not None:
            orientation = geometry.to_axis_codes(source.affine, axis_codes)
            data = orientations.apply_orientation(data, orientation)
        # Order and type change at once: a large image is there twice, not three times.
        data = np.array(data, dtype=_native(data.dtype) if exact else np.float32, order="C")
    bad = data.size - np.count_nonzero(np.isfinite(data))
    if bad:
        raise InputError(
            f"{path}: {bad} of {data.size} voxels are NaN or infinite; replace them with numbers."
        )
    return Volume(data, _frame(source, axis_codes), str(path))


def load_mask(
    path: str | os.PathLike, like: Volume | None = None, nifti_frame: str = "sform"
) -> Volume:
    """Reads a mask as bool: inside is where the value is above 0.5.

    Args:
        path: as in :func:`load_volume`.
        like: the image that the mask belongs to, whose grid it must have; the mask's array takes
            the order of the image's axes.
        nifti_frame: as in :func:`load_volume`.

    Raises:
        MissingFileError: there is no such file.
        InputError: as :func:`load_volume`; or the mask is empty, or on another grid than ``like``.
    """
    codes = AXIS_CODES if like is None else orientations.aff2axcodes(like.frame.affine)
    volume = load_volume(path, codes, nifti_frame=nifti_frame)
    data = volume.data > 0.5
    if not data.any():
        raise InputError(f"{path}: the mask is empty; at least one voxel above 0.5 is needed.")
    if like is not None:
        tolerance = max(_GRID_TOLERANCE * float(like.frame.spacing.min()), 1e-3)
        if not volume.frame.same_grid(like.frame, tolerance):
            raise InputError(
                f"{path}: the mask's grid ({_describe(volume.frame)}) is not that of {like.path} "
                f"({_describe(like.frame)}); resample the mask on the image's grid."
            )
    return Volume(data, volume.frame, volume.path)


def load_header(
    path: str | os.PathLike,
    axis_codes: tuple[str, str, str] | None = AXIS_CODES,
    nifti_frame: str = "sform",
) -> Frame:
    """The grid that :func:`load_volume` would return, without its voxels.

    Args:
        path: as for :func:`load_volume`.
        axis_codes: as for :func:`load_volume`.
        nifti_frame: as for :func:`load_volume`.

    Raises:
        MissingFileError: there is no such file.
        InputError: as :func:`load_volume`, as far as the header tells.
    """
    return _frame(_open(Path(path), nifti_frame), axis_codes)


def check_image_name(path: str | os.PathLike) -> None:
    """Refuses a name under which no image is written.

    Raises:
        InputError: another ending than .nii or .nii.gz.
    """
    if not _is_nifti(Path(path)):
        raise InputError(f"{path}: images are written as NIfTI; end the name in .nii or .nii.gz.")


def stem(path: str | os.PathLike) -> str:
    """The name of an image's file or folder without its ending, ``.nii.gz`` being one.

    Example:
        >>> stem("scans/sub-01_inhale.nii.gz")
        'sub-01_inhale'
    """
    name = Path(path).name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else Path(name).stem


def save_volume(
    path: str | os.PathLike, data: np.ndarray, frame: Frame, overwrite: bool = False
) -> None:
    """Writes a NIfTI file, whole or not at all, with the frame as sform and qform, in mm.

    Args:
        path: ends in .nii or .nii.gz; missing folders are made.
        data: (D, H, W); the type is kept, except bool (saved as uint8) and float16 (as float32).
        frame: the grid of ``data``.
        overwrite: whether an existing file may be replaced.

    Raises:
        InputError: another ending, a shape that is not the frame's, or the file exists.
    """
    data = np.asarray(data)
    check_image_name(path)
    if data.shape != frame.shape:
        raise InputError(f"{path}: data of shape {data.shape} on a grid of shape {frame.shape}.")
    stored = {"b1": np.uint8, "f2": np.float32}.get(data.dtype.str[1:], data.dtype)
    image = nib.Nifti1Image(data.astype(stored, copy=False), frame.affine, dtype=stored)
    image.set_sform(frame.affine, code=1)
    image.set_qform(frame.affine, code=1)
    image.header.set_xyzt_units("mm")
    with replacing(path, overwrite) as temporary:
        write_nifti(temporary, image)


@contextmanager
def _as_input_error(path) -> Iterator[None]:
    """Turns whatever a reader raises on a damaged file into one line that names the file."""
    try:
        yield
    except USER_ERRORS:
        raise
    except Exception as error:  # readers raise anything: zlib.error, EOFError, MemoryError, ...
        reason = (str(error).splitlines() or [type(error).__name__])[0].strip()
        raise InputError(
            f"{path}: not a readable image ({reason}); a whole, undamaged 3D image is needed."
        ) from error


def _open(path: Path, nifti_frame: str) -> Source:
    """Reads and checks the header."""
    if nifti_frame not in NIFTI_FRAMES:
        raise InputError(f"nifti_frame: 'sform' or 'qform' is needed, not {nifti_frame!r}.")
    check_name(path)
    if not path.exists():
        raise MissingFileError(f"{path}: no such file; an image is needed.")
    with _as_input_error(path):
        if not _is_nifti(path) and (path.is_dir() or is_dicom(path)):
            source = open_dicom(path)
        elif path.name.lower().endswith(NIFTI_ENDINGS):
            source = open_nifti(path, nifti_frame)
        else:
            source = open_itk(path)
    geometry.check_affine(source.affine, str(path))
    check_memory(
        f"{path}: an image of {' x '.join(map(str, source.shape))} voxels",
        math.prod(source.shape) * _BYTES_TO_READ,
        "crop the image, or sample it on larger voxels",
    )
    return source


def _is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz")) and not path.is_dir()


def _native(dtype: np.dtype) -> np.dtype:
    """The type in this machine's byte order, of at most 64 bits."""
    return np.dtype(np.float64) if dtype.itemsize > 8 else dtype.newbyteorder("=")


def _frame(source: Source, axis_codes) -> Frame:
    """The header's grid, its axes in the order of the codes."""
    if axis_codes is None:
        return Frame(source.shape, source.affine)
    orientation = geometry.to_axis_codes(source.affine, axis_codes)
    shape = np.empty(3, dtype=int)
    shape[orientation[:, 0].astype(int)] = source.shape
    return Frame(tuple(shape), source.affine @ orientations.inv_ornt_aff(orientation, source.shape))


def _describe(frame: Frame) -> str:
    center, spacing = np.round(frame.center, 3).tolist(), np.round(frame.spacing, 3).tolist()
    return f"shape {frame.shape}, spacing {spacing} mm, centre {center} mm"
