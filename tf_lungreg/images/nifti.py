"""NIfTI files: their headers and voxels, and writing images quickly."""

from __future__ import annotations

import contextlib
import gzip
import io
import math
import warnings
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import nibabel as nib
import numpy as np
from nibabel import imageglobals
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import FileBasedImage
from nibabel.fileholders import FileHolder
from nibabel.spatialimages import HeaderDataError, SpatialImage

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import Frame
from tf_lungreg.images.source import DEFLATE_LIMIT, Source, check_size, checked_shape

if TYPE_CHECKING:  # there is no such module to import
    from _typeshed import ReadableBuffer

NIFTI_ENDINGS = (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz")
NIFTI_FRAMES = ("sform", "qform")

# The length units of xyzt_units in mm: metres and micrometres. Like ITK, every other code, 0 for
# unknown among them, counts as millimetres.
_UNITS = {1: 1000.0, 3: 0.001}
_FRAME_TOLERANCE = 0.1  # voxels between sform and qform: a quaternion in float32 is rounded

_GZIP = 16 + zlib.MAX_WBITS


def open_nifti(path: Path, frame: str = "sform") -> Source:
    """Reads and checks the header of a NIfTI file, or of an .hdr/.img pair.

    Args:
        path: the file; of a pair, either one.
        frame: see :func:`nifti_affine`.

    Raises:
        InputError: an Analyze image, no scalar 3D image, no voxel sizes, or fewer voxels in the
            file than the header asks for.
    """
    with _silent():
        image = nib.load(path)
    _refuse_analyze(image, path)
    if not isinstance(image, nib.Nifti1Pair):
        raise InputError(f"{path}: nibabel reads it as {type(image).__name__}; NIfTI is needed.")
    shape = checked_shape(path, image.shape, _kind(image))
    files = {role: _file_of(holder) for role, holder in image.file_map.items()}
    check_voxels(path, image)
    _check_place(path, image, files.get("header", files["image"]), frame)

    def read(exact: bool) -> Array:
        with contextlib.ExitStack() as stack, _silent():
            streams = {role: stack.enter_context(_open_file(f)) for role, f in files.items()}
            # Not mapped: the array must outlive the file.
            whole = type(image).from_file_map(type(image).make_file_map(streams), mmap=False)
            data = _voxels(whole, exact)
            while streams["image"].read(1 << 24):  # gzip tests its checksum only at the end
                pass
        return data

    return Source(shape, nifti_affine(image, path, frame), read)


def source_of_nibabel(image: SpatialImage, name: str, frame: str = "sform") -> Source:
    """An image of nibabel as a source.

    Args:
        image: three-dimensional.
        name: of the image, for messages.
        frame: see :func:`nifti_affine`.

    Raises:
        InputError: an Analyze image, no scalar 3D image, or it has no affine.
    """
    _refuse_analyze(image, name)
    shape = checked_shape(name, image.shape, _kind(image))
    affine = image.affine
    if affine is None:
        raise InputError(
            f"{name}: an image of nibabel without an affine; make it with the affine from voxel "
            "coordinates to RAS mm."
        )
    if isinstance(image, nib.Nifti1Pair):
        affine = nifti_affine(image, name, frame)
        _warn_without_place(image, name)
    return Source(shape, affine, lambda exact: _voxels(image, exact))


def nifti_image(data: Array, frame: Frame) -> nib.Nifti1Image:
    """An image with the frame as sform and qform, in mm.

    Args:
        data: (X, Y, Z, ...); the type is kept, except bool (uint8) and float16 (float32).
        frame: the grid of the first three axes.
    """
    stored = {"b1": np.uint8, "f2": np.float32}.get(data.dtype.str[1:], data.dtype)
    image = nib.Nifti1Image(data.astype(stored, copy=False), frame.affine, dtype=stored)
    image.set_sform(frame.affine, code=1)
    image.set_qform(frame.affine, code=1)
    image.header.set_xyzt_units("mm")
    return image


def _refuse_analyze(image: FileBasedImage, name: str | Path) -> None:
    if isinstance(image, nib.AnalyzeImage) and not isinstance(image, nib.Nifti1Pair):
        raise InputError(
            f"{name}: an Analyze image, whose header does not say which way its axes point; "
            "convert it to NIfTI with the right orientation."
        )


def _kind(image: SpatialImage) -> str | None:
    """What the voxels are, if they are no numbers."""
    return {"c": "complex", "V": "RGB"}.get(image.get_data_dtype().kind)


def _voxels(image: SpatialImage, exact: bool) -> Array:
    """The voxels; float32 if they are rescaled and need not be exact."""
    stored = image.dataobj
    scaled = isinstance(stored, ArrayProxy) and (stored.slope, stored.inter) != (1, 0)
    if scaled and not exact:
        return image.get_fdata(dtype=np.float32, caching="unchanged")
    return np.asanyarray(stored)


def check_voxels(path: Path, image: nib.Nifti1Pair) -> None:
    """Refuses a header that asks for more voxels than the file can hold.

    Args:
        path: the file, for messages.
        image: of that file, not yet read.

    Raises:
        InputError: the file is too small.
    """
    file = _file_of(image.file_map["image"])
    needed = math.prod(image.shape) * np.dtype(image.get_data_dtype()).itemsize
    check_size(path, needed, (DEFLATE_LIMIT if _is_gzip(file) else 1) * file.stat().st_size)


def _file_of(holder: FileHolder) -> Path:
    assert holder.filename is not None  # the image was read from it
    return Path(holder.filename)


def nifti_affine(image: nib.Nifti1Pair, name: str | Path, frame: str = "sform") -> Array:
    """The place of an image, (4, 4) from voxels to RAS mm, in the units that its header states.

    Warns where sform and qform differ: nibabel takes the sform, as this package does by default;
    ITK and ANTs take the sform of code 1 (scanner), otherwise the qform.

    Args:
        image: with its header.
        name: the file, for messages.
        frame: which of the two counts where the header has both, ``"sform"`` or ``"qform"``.
    """
    header = image.header
    unit = _UNITS.get(header_code(header, "xyzt_units") & 7, 1.0)
    scale = np.diag([unit, unit, unit, 1.0])
    if header_code(header, "sform_code") <= 0 or header_code(header, "qform_code") <= 0:
        return scale @ image.affine
    forms = {"sform": scale @ header.get_sform(), "qform": scale @ _qform(header)}
    if not _is_place(forms["qform"]):
        frame = "sform"
    other = "sform" if frame == "qform" else "qform"
    if not _is_place(forms[other]):
        warnings.warn(
            f"{name}: the header's {other} is invalid and counts as absent; the {frame} is used.",
            stacklevel=5,
        )
        return forms[frame]
    if not _is_place(forms[frame]):  # refused by its reader
        return forms[frame]
    places = [Frame(image.shape[:3], form) for form in forms.values()]
    distance = np.linalg.norm(places[0].corners - places[1].corners, axis=1).max()
    if not distance <= _FRAME_TOLERANCE * places[0].spacing.min():
        of_itk = "sform" if header_code(header, "sform_code") == 1 else "qform"
        warnings.warn(
            f"{name}: the header's sform and qform differ, by {distance:.3g} mm at the image's "
            f"corners. The {frame} is used here (--nifti-frame); ITK and ANTs use the {of_itk}.",
            stacklevel=5,
        )
    return forms[frame]


def header_code(header: nib.Nifti1Header, name: str) -> int:
    """A whole number of a header, such as its ``sform_code``.

    Args:
        header: of a NIfTI file.
        name: of the field.
    """
    return np.asarray(header[name], int).item()


def _is_place(form: Array) -> bool:
    """Whether a matrix is finite and has an inverse."""
    return bool(np.isfinite(form).all() and np.linalg.det(form[:3, :3]))


def _qform(header: nib.Nifti1Header) -> Array:
    """The qform's matrix; NaN where its quaternion is none."""
    try:
        return np.asarray(header.get_qform())
    except (ValueError, HeaderDataError):
        return np.full((4, 4), np.nan)


def _check_place(path: Path, image: nib.Nifti1Pair, header_file: Path, frame: str) -> None:
    """Refuses a header without voxel sizes, and warns of one without orientation."""
    header = image.header
    if header_code(header, "sform_code") > 0 and (
        frame == "sform" or header_code(header, "qform_code") <= 0
    ):
        return
    with _open_file(header_file) as stream, _silent():  # on loading nibabel puts 1 for 0
        stored = type(header).from_fileobj(stream, check=False)
    # Of negative ones nibabel drops the sign, and ITK takes them for 1 mm.
    sizes = np.asarray(stored["pixdim"], float)[1:4]
    if not (sizes > 0).all():
        raise InputError(
            f"{path}: the header has no voxel sizes (pixdim holds {sizes[~(sizes > 0)][0]:g}); "
            "write them into the file."
        )
    _warn_without_place(image, path)


def _warn_without_place(image: nib.Nifti1Pair, name: str | Path) -> None:
    if max(header_code(image.header, "sform_code"), header_code(image.header, "qform_code")) <= 0:
        warnings.warn(
            f"{name}: the header has no orientation (sform and qform codes are 0); "
            f"{''.join(nib.aff2axcodes(image.affine))} is assumed.",
            stacklevel=6,
        )


@contextlib.contextmanager
def _silent() -> Generator[None]:
    """Keeps nibabel from logging what it finds in headers: what matters of it is said here.

    Without its handlers, as nibabel's own suppressor leaves it, a logger prints all the same.
    """
    logger = imageglobals.logger
    disabled, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = disabled


def _is_gzip(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _open_file(path: Path) -> io.BufferedIOBase:
    return gzip.open(path, "rb") if _is_gzip(path) else path.open("rb")


def write_nifti(path: Path, image: nib.Nifti1Image) -> None:
    """Writes an image, compressed where the name ends in .gz.

    The last bits of floating-point numbers are noise, in which zlib's search for repetitions finds
    none: runs of one byte alone make files of the same size in a third of the time.

    Args:
        path: ends in .nii or .nii.gz; replaced where it exists.
        image: what is written.
    """
    if not path.name.lower().endswith(".gz"):
        nib.save(image, path)
        return
    floats = np.dtype(image.get_data_dtype()).kind == "f"
    with path.open("wb") as file, _Gzip(file, zlib.Z_RLE if floats else 0) as stream:
        image.to_stream(stream)


class _Gzip(io.RawIOBase):
    """What is written to it goes to a file as gzip; level 1, as nibabel's."""

    def __init__(self, file: IO[bytes], strategy: int):
        super().__init__()
        self._file, self._position = file, 0
        self._compressor = zlib.compressobj(1, zlib.DEFLATED, _GZIP, zlib.DEF_MEM_LEVEL, strategy)

    def write(self, data: ReadableBuffer) -> int:
        self._file.write(self._compressor.compress(data))
        size = memoryview(data).nbytes
        self._position += size
        return size

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Nowhere but where it is: nibabel asks before it writes."""
        if (offset, whence) != (self._position, io.SEEK_SET):
            raise io.UnsupportedOperation("seek")
        return self._position

    def close(self) -> None:
        if not self.closed:
            self._file.write(self._compressor.flush())
        super().close()
