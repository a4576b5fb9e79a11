"""DICOM: the slices of one series, in a folder or in multi-frame files, as one even stack.

pydicom reads the headers, GDCM (in SimpleITK) decodes the pixels. GDCM alone takes the geometry and
the rescaling of a multi-frame file from its first frame, and an even, upright stack for granted.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import struct
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images import gdcm, geometry
from tf_lungreg.images.itk import quiet
from tf_lungreg.images.source import DEFLATE_LIMIT, Source, check_size, checked_shape

_TOLERANCE = 0.1  # of the slice distance: positions in DICOM are rounded
_SAME_DIRECTION = 1e-3  # of a unit vector
_SAME_SPACING = 1e-3  # relative
_UNDEFINED = 0xFFFFFFFF  # length of an element that ends with a mark of its own
_SKIPPED = 1 << 16  # bytes: longer elements are read from the file when they are needed
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # tags
_ITEM = 0xE000FFFE  # tag of a part of compressed pixels
_ENDINGS = (".dcm", ".dicom", ".ima")
_DEFLATED = "1.2.840.10008.1.2.1.99"
_UNCOMPRESSED = (None, "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_FIRST_TAGS = {bytes([8, 0, element, 0]) for element in (0, 1, 5, 8, 16)}  # without preamble
_INVERTED = "MONOCHROME1"  # shown with dark and bright exchanged; the values are as stored
_SHOWN = 5  # folders that a message names
_DEPTH = 6  # of folders in folders; a disc has patient, study and series
_LOOKED_AT = 20_000  # files and folders, when series are searched for
_MAPPING = "RealWorldValueMappingSequence"
_MULTI_FRAME_CAPTURE = UID("1.2.840.10008.5.1.4.1.1.7.3")

# What describes the pixels alone: how they are stored, not what they mean or where they lie.
_PIXEL_MODULE = {
    *("SOPInstanceUID", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData"),
}


@dataclass(frozen=True, eq=False)
class _Slice:
    """A frame of a file: where it lies, LPS mm, and ``value = slope * stored + intercept``.

    ``unclear`` are values that only a table, or one of several mappings, would give.
    """

    position: Array
    directions: Array  # (2, 3), of rising column and of rising row
    spacing: Array  # (2,), between columns and between rows
    slope: float
    intercept: float
    unclear: bool


@dataclass(frozen=True, eq=False)
class _File:
    """A file with pixels and its slices, in the order of its frames."""

    path: Path
    header: Dataset
    slices: list[_Slice]

    @property
    def multi_frame(self) -> bool:
        return "PerFrameFunctionalGroupsSequence" in self.header

    @property
    def by_gdcm(self) -> bool:
        """Whether GDCM gives the values.

        It does of one slice, unless it inverts that for display, or ignores what maps its values.
        """
        ignored = self.header.get("PhotometricInterpretation") == _INVERTED
        return not (self.multi_frame or ignored or _MAPPING in self.header)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return self.header.Columns, self.header.Rows

    @property
    def bytes(self) -> int:
        """What the decoded pixels take."""
        return math.prod(self.size) * len(self.slices) * self.header.BitsAllocated // 8


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM files do; old ones have no preamble."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.read(132)
    return start[128:] == b"DICM" or start[:4] in _FIRST_TAGS


def open_dicom(path: Path) -> Source:
    """Reads and checks the headers of a DICOM series, without its pixels.

    Args:
        path: a folder with one series, or a multi-frame file.

    Raises:
        InputError: not exactly one series, not an even, upright stack of slices, no grey values,
            or files that are too small for the pixels that they announce.
    """
    files = [_read_file(path, header) for path, header in _one_series(path)]
    _check_sizes(path, files)
    slices = [piece for file in files for piece in file.slices]
    if len(slices) == 1:
        raise InputError(
            f"{path}: a single DICOM slice; a 3D image is needed, "
            "a folder with all slices of the series."
        )
    if any(piece.unclear for piece in slices):
        warnings.warn(
            f"{path}: no rescale slope and intercept, but several real world value mappings or "
            "one by a table; the stored values are used as they are.",
            stacklevel=5,
        )
    shape = checked_shape(path, (*files[0].size, len(slices)), None)
    affine, order = _stack(path, slices)

    def read(exact: bool) -> Array:
        return _read_pixels(files, shape, order, np.float64 if exact else np.float32)

    return Source(shape, affine, read)


def _one_series(path: Path) -> list[tuple[Path, Dataset]]:
    """The files, with their headers, of the one series in a folder."""
    if not path.is_dir():
        header = _read_header(path)
        if "DirectoryRecordSequence" in header:
            raise InputError(
                f"{path}: a DICOMDIR, which lists files and holds no image "
                f"({_look_below(path.parent)}); the folder of one series is needed."
            )
        return [(path, header)]
    series = _find_series(path)
    if len(series) == 1:
        return next(iter(series.values()))
    found = "; ".join(_describe_series(files) for files in series.values()) or _look_below(path)
    raise InputError(
        f"{path}: {len(series)} DICOM series found in the folder ({found}); "
        "a folder with exactly one is needed."
    )


def _find_series(folder: Path) -> dict[str, list[tuple[Path, Dataset]]]:
    """The images of a folder by series."""
    series: dict[str, list[tuple[Path, Dataset]]] = {}
    for path in sorted(folder.iterdir()):
        if _is_part(path):
            header = _read_header(path)
            if _is_image(path, header):
                uid = str(header.get("SeriesInstanceUID", ""))
                series.setdefault(uid, []).append((path, header))
    return series


def _is_part(path: Path) -> bool:
    """Whether a file belongs to a series; a slice that was cut off may not go unnoticed."""
    if path.name.startswith(".") or not path.is_file():
        return False
    part = is_dicom(path)
    if not part and (path.suffix.lower() in _ENDINGS or not path.stat().st_size):
        raise InputError(f"{path}: empty or no DICOM file; restore the slice, or remove the file.")
    return part


def _is_image(path: Path, header: Dataset) -> bool:
    """Whether a file has pixels: reports and structures have none and are left out."""
    if "Rows" in header:
        return True
    kind = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
    if kind is None or "Image Storage" in UID(kind).name:
        raise InputError(f"{path}: the DICOM header is cut off; a whole file is needed.")
    return False


def _describe_series(files: list[tuple[Path, Dataset]]) -> str:
    path, header = files[0]
    name = " ".join(str(header.get("SeriesDescription", "")).split())[:60] or "no description"
    return f"{name!r}, {len(files)} files such as {path.name}"


def _look_below(folder: Path) -> str:
    """Names the folders further down that hold DICOM files: a study or a disc was given."""
    below = list(itertools.islice(_folders_with_dicom(folder), _SHOWN + 1))
    if not below:
        return "no DICOM images, in its subfolders neither"
    names = [os.fsencode(name).decode("utf-8", "backslashreplace") for name in below[:_SHOWN]]
    more = ", ..." if len(below) > _SHOWN else ""
    return f"but DICOM files in its subfolders {', '.join(names)}{more}"


def _folders_with_dicom(folder: Path) -> Iterator[str]:
    """The subfolders, as paths from the folder, that hold DICOM files other than a DICOMDIR."""
    left = _LOOKED_AT
    for place, folders, names in os.walk(folder):
        inside = os.path.relpath(place, folder)
        folders[:] = sorted(folders) if inside.count(os.sep) < _DEPTH - 1 else []
        if inside == os.curdir:
            continue
        files = [Path(place, name) for name in sorted(names)[:left] if name.upper() != "DICOMDIR"]
        if any(map(_starts_as_dicom, files)):
            yield inside
        left -= len(files) + 1
        if left <= 0:
            return


def _starts_as_dicom(path: Path) -> bool:
    try:
        return is_dicom(path)
    except OSError:  # may not be read
        return False


def _read_header(path: Path) -> Dataset:
    """Everything of a file but its pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _transfer_syntax(path) == _DEFLATED:  # pydicom inflates it whole, however large
                raise InputError(f"{path}: deflated DICOM is not read; store it uncompressed.")
            # What follows the pixels is read as well: GDCM would die of it as of a header.
            header = pydicom.dcmread(path, force=True, defer_size=_SKIPPED)
            _check_elements(header, path.stat().st_size)
    except InputError:
        raise
    except Exception as error:  # pydicom raises anything on a damaged file
        raise InputError(
            f"{path}: the DICOM file is truncated or damaged ({type(error).__name__}); a whole "
            "file is needed."
        ) from error
    return header


def _read_file(path: Path, header: Dataset) -> _File:
    samples, bits = header.get("SamplesPerPixel", 1), header.get("BitsAllocated")
    colours = header.get("PhotometricInterpretation", "MONOCHROME2")
    if samples != 1 or colours not in (_INVERTED, "MONOCHROME2"):
        raise InputError(f"{path}: the pixels are RGB or palette colours; grey values are needed.")
    if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
        raise InputError(
            f"{path}: the pixels are floating-point numbers, which are not read from DICOM; whole "
            "numbers with a rescale slope and intercept are needed, or another format."
        )
    if bits not in (8, 16, 32) or not header.get("Rows") or not header.get("Columns"):
        raise InputError(
            f"{path}: {header.get('Rows')} rows and {header.get('Columns')} columns of {bits} "
            "bits; a DICOM image of 8, 16 or 32 bits is needed."
        )
    stored, high = header.get("BitsStored", bits), header.get("HighBit")
    if high is not None and high != stored - 1:
        raise InputError(
            f"{path}: {stored} bits a pixel that end at bit {high}; bits that begin at the lowest "
            "are needed, save the image anew."
        )
    if "ModalityLUTSequence" in header:
        raise InputError(
            f"{path}: the values come from a table (Modality LUT); a rescale slope and intercept "
            "are needed."
        )
    count = int(header.get("NumberOfFrames") or 1)
    groups = header.get("PerFrameFunctionalGroupsSequence")
    if groups is None and count == 1:
        return _File(path, header, [_slice(path, header, header, header, header, header)])
    if groups is None or len(groups) != count:
        raise InputError(
            f"{path}: {count} frames, positions of {len(groups or ())}; a multi-frame file with "
            "the position of each frame (enhanced CT or MR) is needed."
        )
    return _File(path, header, [_frame_slice(path, header, frame) for frame in groups])


def _frame_slice(path: Path, header: Dataset, frame: Dataset) -> _Slice:
    """The slice of an enhanced file's frame, from its own functional groups or the shared ones."""
    shared = header.get("SharedFunctionalGroupsSequence") or [Dataset()]

    def group(name: str, default: Dataset) -> Dataset:
        return next((g[name].value[0] for g in (frame, shared[0]) if g.get(name)), default)

    return _slice(
        path,
        group("PlanePositionSequence", Dataset()),
        group("PlaneOrientationSequence", Dataset()),
        group("PixelMeasuresSequence", Dataset()),
        # Some files state one rescaling for all frames where a file of one slice has it.
        group("PixelValueTransformationSequence", header),
        next((g for g in (frame, shared[0]) if g.get(_MAPPING)), header),
    )


def _slice(
    path: Path,
    position: Dataset,
    orientation: Dataset,
    measures: Dataset,
    rescale: Dataset,
    mapped: Dataset,
) -> _Slice:
    directions = _numbers(path, orientation, "ImageOrientationPatient", 6).reshape(2, 3)
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    if np.abs(lengths - 1).max() > 0.01:
        raise InputError(
            f"{path}: ImageOrientationPatient holds no unit vectors (lengths "
            f"{lengths.ravel().round(3).tolist()}); correct the orientation."
        )
    spacing = _numbers(path, measures, "PixelSpacing", 2)[::-1]  # stored as rows, columns
    if spacing.min() <= 0:
        raise InputError(
            f"{path}: PixelSpacing is {spacing[::-1].tolist()} in the header; distances above 0 "
            "mm are needed, correct it."
        )
    slope, intercept, unclear = _rescaling(path, rescale, mapped.get(_MAPPING) or [])
    if slope == 0:
        raise InputError(f"{path}: the rescale slope is 0; any other number is needed.")
    return _Slice(
        position=_numbers(path, position, "ImagePositionPatient", 3),
        directions=directions / lengths,
        spacing=spacing,
        slope=slope,
        intercept=intercept,
        unclear=unclear,
    )


def _rescaling(
    path: Path, rescale: Dataset, mappings: Sequence[Dataset]
) -> tuple[float, float, bool]:
    """The slope and intercept of the values, and whether they are unclear.

    The Modality LUT, in HU for CT, comes first. Without one, the values are those of the only
    real world value mapping if that is linear; of several, each may have another unit.
    """
    names, given = ("RescaleSlope", "RescaleIntercept"), rescale
    rescaled = any(rescale.get(name) is not None for name in names)
    unclear = bool(mappings) and not rescaled
    if unclear and len(mappings) == 1 and "RealWorldValueSlope" in mappings[0]:
        names, given = ("RealWorldValueSlope", "RealWorldValueIntercept"), mappings[0]
        unclear = False
    slope = _numbers(path, given, names[0], 1, default=1)[0]
    return slope, _numbers(path, given, names[1], 1, default=0)[0], unclear


def _numbers(
    path: Path, dataset: Dataset, name: str, count: int, default: float | None = None
) -> Array:
    """The finite numbers of an element, (count,)."""
    value = dataset.get(name)
    if value is None and default is not None:
        value = default
    try:
        numbers = np.array(value, dtype=np.float64).reshape(count)
    except (TypeError, ValueError):
        numbers = np.array([np.nan])
    if not np.isfinite(numbers).all():
        raise InputError(
            f"{path}: {name} is {'missing' if value is None else repr(str(value)[:40])} in the "
            f"header; decimal numbers are needed, {count} of them, to know where the image lies or "
            "what its values are."
        )
    return numbers


def _check_sizes(path: Path, files: list[_File]) -> None:
    """Refuses pixels that the files cannot hold, before they are allocated."""
    if len({file.size for file in files}) > 1:
        first, other = next((files[0], f) for f in files if f.size != files[0].size)
        raise InputError(
            f"{path}: slices of different size ({first.path.name}: {first.size}, "
            f"{other.path.name}: {other.size}); a series of one image is needed."
        )
    for file in files:
        if not _is_compressed(file):
            check_size(file.path, file.bytes, file.path.stat().st_size)
    # A slice of air alone may compress better than zlib could, a whole series does not.
    stored = sum(file.path.stat().st_size for file in files)
    check_size(path, sum(file.bytes for file in files), DEFLATE_LIMIT * stored)


def _check_elements(dataset: Dataset, size: int) -> None:
    """Raises whatever it may if GDCM would die, or take all memory, of a file's elements.

    It does of sequences that are nested too deeply, here a RecursionError, and of elements that
    are longer than their file, which has ``size`` bytes.
    """
    for raw in list(dataset.values()):
        if isinstance(raw, RawDataElement) and raw.length < _UNDEFINED:
            skipped = raw.value is None and raw.length > _SKIPPED
            there = size - raw.value_tell if skipped else len(raw.value or b"")
            if there < raw.length:
                raise ValueError(f"{raw.length} bytes in {raw.tag}")
        if raw.tag in _PIXELS and raw.VR != "SQ":
            continue
        element = dataset[raw.tag]
        for item in element.value if element.VR == "SQ" else ():
            _check_elements(item, size)


def _transfer_syntax(path: Path) -> str | None:
    """How the file is encoded; None of files without preamble, which are never compressed."""
    try:
        return read_file_meta_info(path).get("TransferSyntaxUID")
    except InvalidDicomError:
        return None


def _stack(path: Path, slices: list[_Slice]) -> tuple[Array, Array]:
    """The affine (4, 4), voxel to RAS mm, of an even stack, and the order of the slices in it."""
    first = slices[0]
    _check_alike(path, "ImageOrientationPatient", (s.directions for s in slices), _SAME_DIRECTION)
    tolerance = _SAME_SPACING * first.spacing.max()
    _check_alike(path, "PixelSpacing", (s.spacing for s in slices), tolerance)
    normal = np.cross(*first.directions)
    normal /= np.linalg.norm(normal) or 1.0
    positions = np.array([s.position for s in slices])
    depths = positions @ normal
    order = np.argsort(depths, kind="stable")
    depths, positions = depths[order], positions[order]
    step = (depths[-1] - depths[0]) / (len(slices) - 1)
    even = positions[0] + np.outer(np.arange(len(slices)), step * normal)
    offset = float(np.linalg.norm(positions - even, axis=1).max())
    doubled = np.count_nonzero(np.diff(depths) < _TOLERANCE * step)
    if step <= 0 or doubled:
        raise InputError(
            f"{path}: {doubled or len(slices) - 1} of {len(slices)} DICOM slices lie where another "
            "one does (several phases or repetitions in one series); an even stack of one image "
            "is needed."
        )
    if offset > _TOLERANCE * step:
        raise InputError(
            f"{path}: the DICOM slices are up to {offset:.3g} mm from where an even stack has "
            "them (one missing, or a tilted gantry); a complete, upright one is needed."
        )
    axes = np.array([*(first.directions * first.spacing[:, None]), step * normal])
    affine = np.eye(4)
    affine[:3, :3] = geometry.ras_to_lps(axes).T
    affine[:3, 3] = geometry.ras_to_lps(positions[0])
    return affine, order


def _check_alike(path: Path, name: str, values: Iterable[Array], tolerance: float) -> None:
    values = np.array(list(values))
    if np.abs(values - values[0]).max() > tolerance:
        raise InputError(
            f"{path}: the DICOM slices differ in {name} (a scout among them?); "
            "a series of parallel slices with one pixel size is needed."
        )


def _read_pixels(files: list[_File], shape: tuple[int, ...], order: Array, dtype: type) -> Array:
    """All slices in the order of the stack, (columns, rows, slices) of a floating type."""
    out = np.empty(shape[::-1], dtype)
    places = iter(np.argsort(order))  # where in the stack each slice belongs
    with _decoder(files) as decode:
        for file in files:
            frames = _decode(file, decode).reshape(len(file.slices), *out.shape[1:])
            for frame, piece in zip(frames, file.slices):
                place = next(places)
                out[place] = frame if file.by_gdcm else piece.slope * frame + piece.intercept
    return out.T


@contextlib.contextmanager
def _decoder(files: list[_File]) -> Generator[Callable[[Path], Array]]:
    """What decodes the files; compressed pixels in another process, which may die of them."""
    if any(map(_is_compressed, files)):
        with gdcm.Decoder() as decoder:
            yield decoder.decode
    else:
        with quiet():
            yield gdcm.decode


def _decode(file: _File, decode: Callable[[Path], Array]) -> Array:
    """The values of a file, rescaled if it is of one slice."""
    try:
        return (_decode_slice if file.by_gdcm else _decode_frames)(file, decode)
    except RuntimeError as error:
        raise InputError(
            f"{file.path}: the pixels cannot be decoded; the file is truncated or damaged, or its "
            "compression is unknown."
        ) from error


def _decode_slice(file: _File, decode: Callable[[Path], Array]) -> Array:
    """The values of a file that is one slice, rescaled by GDCM."""
    if _is_compressed(file):
        _check_fragments(file.path, pydicom.dcmread(file.path, force=True))
    return decode(file.path)


def _is_compressed(file: _File) -> bool:
    return file.header.file_meta.get("TransferSyntaxUID") not in _UNCOMPRESSED


def _check_fragments(path: Path, dataset: Dataset) -> None:
    """Refuses compressed pixels with a part longer than all: GDCM would take its memory."""
    pixels, place = dataset.get("PixelData") or b"", 0
    while place + 8 <= len(pixels):
        tag, length = struct.unpack_from("<II", pixels, place)
        if tag != _ITEM:
            break
        place += 8 + length
    if not 0 < place <= len(pixels):
        raise InputError(
            f"{path}: the compressed pixels are truncated or damaged; a whole file is needed."
        )


def _decode_frames(file: _File, decode: Callable[[Path], Array]) -> Array:
    """The stored values, without the rescaling of the first frame and not inverted for display.

    GDCM cannot be told not to, so it gets a copy of the file with nothing but pixels.
    """
    dataset = pydicom.dcmread(file.path, force=True)
    if _is_compressed(file):
        _check_fragments(file.path, dataset)
    for tag in [e.tag for e in dataset if e.keyword not in _PIXEL_MODULE]:
        del dataset[tag]
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.NumberOfFrames = len(file.slices)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = _MULTI_FRAME_CAPTURE
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "pixels.dcm")
        dataset.save_as(copy)
        return decode(copy)
