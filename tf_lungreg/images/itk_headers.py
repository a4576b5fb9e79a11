"""The text headers of MetaImage and NRRD, checked before SimpleITK reads the file.

A header may name any other file as the one with the voxels, or several: here only one that lies
beside the header. Each line has to look as both formats define it, so that SimpleITK cannot
understand the header in another way than this module does. Messages do not repeat what is in a
file: it may be one that the user must not see.
"""

from __future__ import annotations

import math
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.images.source import DEFLATE_LIMIT

_LONGEST = 1 << 20  # bytes of a header
_PART = 1 << 22  # bytes that are inflated at a time
_TEXT_RATIO = 8  # "0 0 0": two bytes for a voxel of at most eight, and some room
_META_LINE = re.compile(r"([^\s=:][^=:\x00-\x1f]{0,200})[=:](.*)", re.DOTALL)
_NRRD_LINE = re.compile(r"([^:]+):(=| )(.*)")
_PLAIN_NAME = re.compile(r"(?:\./)?(\w[^/\\:%*?\"<>|]*)")
_NRRD_RATIOS = {
    **dict.fromkeys(("raw", "hex"), 1),
    **dict.fromkeys(("txt", "text", "ascii"), _TEXT_RATIO),
    **dict.fromkeys(("gz", "gzip"), DEFLATE_LIMIT),
}
_NRRD_DIRECTIONS = ("right-anterior-superior", "left-anterior-superior", "left-posterior-superior")
_NRRD_SPACES = (
    *(*_NRRD_DIRECTIONS, "ras", "las", "lps"),
    *(f"{name}-time" for name in _NRRD_DIRECTIONS),
)


@dataclass(frozen=True)
class Deflated:
    """Where a compressed stream is in its file.

    Attributes:
        start: its first byte.
        length: in bytes; 0 for the rest of the file.
        members: whether several streams may follow each other, as in files of bgzip.
    """

    start: int
    length: int = 0
    members: bool = False

    def count(self, path: Path, most: int) -> int | None:
        """Counts the bytes that the stream in the file ``path`` holds.

        Args:
            path: of the file.
            most: bytes above which counting stops.

        Returns:
            None for a stream without an end.

        Raises:
            zlib.error: it is damaged.
        """
        stream, count = _inflater(), 0
        with path.open("rb") as file:
            file.seek(self.start)
            left = self.length or path.stat().st_size
            while not stream.eof and count <= most:
                part = stream.unconsumed_tail
                if not part:
                    part = file.read(min(left, _PART))
                    left -= len(part)
                if not part:
                    return None
                count += len(stream.decompress(part, _PART))
                if stream.eof and self.members and count < most:
                    rest, stream = stream.unused_data, _inflater()
                    count += len(stream.decompress(rest, _PART))
        return count


def _inflater():
    return zlib.decompressobj(wbits=47)  # zlib or gzip, by the first bytes


@dataclass(frozen=True)
class VoxelFile:
    """Where the voxels are.

    Attributes:
        path: the header itself, or a file beside it.
        ratio: the most bytes of voxels that a byte of the file can stand for.
        deflated: of compressed voxels, which have to be checked before they are read.
        rescale: slope and intercept, with which stored voxels become intensities.
    """

    path: Path
    ratio: int
    deflated: Deflated | None = None
    rescale: tuple[float, float] = (1.0, 0.0)

    def check_deflated(self, header: Path, needed: int) -> None:
        """Inflates compressed voxels once, to find damage.

        The readers in ITK do not: MetaIO gives what it has of a damaged or short stream, and
        does not end on one that asks for a dictionary; NrrdIO does not compare the checksum.

        Args:
            header: the header's file, for the message.
            needed: bytes of all voxels.

        Raises:
            InputError: the stream is damaged, or has more or fewer bytes.
        """
        if self.deflated is None:
            return
        try:
            count = self.deflated.count(self.path, needed)
        except zlib.error:
            count = None
        if count != needed:
            raise InputError(
                f"{header}: the compressed voxels are truncated or damaged; a whole file is needed."
            )


def check_meta_header(path: Path) -> VoxelFile:
    """Checks the header of a .mha or .mhd file.

    Raises:
        InputError: no MetaImage header, a field with other numbers than it needs, no voxel sizes,
            another unit than mm, or voxels in several files or elsewhere than beside the header.
        MissingFileError: the file with the voxels is missing.
    """
    fields: dict[str, str] = {}
    for number, (line, end) in enumerate(_lines(path, rb"\n"), 1):
        if not line.strip():
            continue
        match = _META_LINE.fullmatch(line)
        key = match[1].strip() if match else ""
        if not match or key in fields:
            raise _no_header(path, number, "Key = value, each key once")
        fields[key] = match[2].strip()
        if key == "ElementDataFile":
            start = end
            break
    else:
        raise InputError(f"{path}: not a readable image (no ElementDataFile in its header).")
    _check_meta_numbers(path, fields)
    rescale = _rescale(path, fields)
    _check_sizes(path, not fields.keys() & {"ElementSpacing", "ElementSize"}, "ElementSpacing")
    _check_units(path, fields.get("DistanceUnits", "mm"))
    missing = [
        name
        for name, others in (
            ("TransformMatrix", {"Rotation", "Orientation"}),
            ("Offset", {"Origin", "Position"}),
        )
        if not fields.keys() & {name, *others}
    ]
    _warn_of_missing(path, missing)
    compressed = fields.get("CompressedData", "False")[:1] in ("T", "t", "1")
    text = fields.get("BinaryData", "True")[:1] not in ("T", "t", "1")
    ratio = DEFLATE_LIMIT if compressed else _TEXT_RATIO if text else 1
    name = fields["ElementDataFile"]
    local = name.upper() == "LOCAL"
    voxels = path if local else _beside(path, name)
    if not compressed:
        return VoxelFile(voxels, ratio, rescale=rescale)
    size = fields.get("CompressedDataSize", "0")
    if not size.isdecimal() or (local and int(size) == 0):
        raise InputError(f"{path}: the header has no CompressedDataSize; save the image anew.")
    return VoxelFile(voxels, ratio, Deflated(start if local else 0, int(size)), rescale)


def _check_meta_numbers(path: Path, fields: dict[str, str]) -> None:
    """Refuses fields that do not hold as many numbers as MetaIO reads.

    Of a field with too few, it takes the rest from the next line, or from nowhere.
    """
    if not re.fullmatch(r"[1-9]", fields.get("NDims", "")):
        raise InputError(f"{path}: not a readable image (no NDims in its header).")
    axes = int(fields["NDims"])
    counts = {
        **dict.fromkeys(("DimSize", "ElementSpacing", "ElementSize"), axes),
        **dict.fromkeys(("Offset", "Origin", "Position", "CenterOfRotation"), axes),
        **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), axes**2),
    }
    for name, count in counts.items():
        numbers = _numbers(fields.get(name, "" if name == "DimSize" else "1 " * count))
        sizes = name in ("DimSize", "ElementSpacing", "ElementSize")
        if len(numbers) != count or (sizes and min(numbers) <= 0):
            kind = "numbers above 0" if sizes else "numbers"
            raise InputError(f"{path}: {name} in the header has to be {count} {kind}; correct it.")


def _rescale(path: Path, fields: dict[str, str]) -> tuple[float, float]:
    """The slope and intercept that MetaIO defines; ITK ignores them."""
    names = ("ElementToIntensityFunctionSlope", "ElementToIntensityFunctionOffset")
    slope = _numbers(fields.get(names[0], "1"))
    intercept = _numbers(fields.get(names[1], "0"))
    if len(slope) != 1 or slope[0] == 0 or len(intercept) != 1:
        raise InputError(
            f"{path}: {' and '.join(names)} in the header have to be numbers, the slope not 0; "
            "correct them."
        )
    return slope[0], intercept[0]


def check_nrrd_header(path: Path) -> VoxelFile:
    """Checks the header of a .nrrd or .nhdr file.

    Raises:
        InputError: no NRRD header, no voxel sizes, another unit than mm, a compression without a
            limit, or voxels in several files or elsewhere than beside the header.
        MissingFileError: the file with the voxels is missing.
    """
    lines = _lines(path, rb"\r\n|\n")
    if not re.fullmatch(r"NRRD000\d", lines[0][0]):
        raise _no_header(path, 1, "NRRD0004")
    fields: dict[str, str] = {}
    start = 0
    for number, (line, end) in enumerate(lines[1:], 2):
        if not line:
            start = end
            break
        if line.startswith("#"):
            continue
        match = _NRRD_LINE.fullmatch(line)
        key = match[1].strip().lower().replace(" ", "") if match else ""
        if not match or "\r" in line or (match[2] == " " and key in fields):
            raise _no_header(path, number, "field: value, each field once")
        if match[2] == " ":  # otherwise it is a note of the user's, key:=value
            fields[key] = match[3].strip()
    encoding = fields.get("encoding", "").lower()
    if encoding not in _NRRD_RATIOS:
        raise InputError(f"{path}: its encoding is not read; NRRD of raw or gzip is needed.")
    directions, spacings = fields.get("spacedirections"), fields.get("spacings")
    if directions is not None:  # an axis without one is "none", as only values of a voxel may be
        vectors = re.findall(r"\(([^()]*)\)", directions)
        sized = len(vectors) >= 3 and all(_numbers(vector, ",") for vector in vectors)
    else:
        sizes = _numbers(spacings or "")
        sized = len(sizes) >= 3 and min(sizes) > 0
    _check_sizes(path, not sized, "space directions")
    for units in (fields.get("spaceunits", ""), fields.get("units", "")):
        for unit in re.findall(r'"([^"]*)"', units):
            _check_units(path, unit or "mm")
    missing = [] if "spacedirections" in fields else ["space directions"]
    origin = _numbers(fields.get("spaceorigin", "").strip("()"), ",")
    missing += [] if len(origin) >= 3 else ["space origin"]
    if fields.get("space", "").lower() not in _NRRD_SPACES:
        missing.append("anatomical space")
    _warn_of_missing(path, missing)
    name = fields.get("datafile")
    voxels, ratio = path if name is None else _beside(path, name), _NRRD_RATIOS[encoding]
    if ratio != DEFLATE_LIMIT:
        return VoxelFile(voxels, ratio)
    if any(fields.get(skip, "0") != "0" for skip in ("lineskip", "byteskip")):
        raise InputError(f"{path}: gzip voxels with a skip are not read; save the image anew.")
    return VoxelFile(voxels, ratio, Deflated(start if name is None else 0, members=True))


def _lines(path: Path, end: bytes) -> list[tuple[str, int]]:
    """The lines of a header and whatever follows it, each with the place of the next one."""
    with path.open("rb") as stream:
        start = stream.read(_LONGEST)
    places = [match.end() for match in re.finditer(end, start)]
    lines = [line.decode("utf-8", "surrogateescape") for line in re.split(end, start)]
    return list(zip(lines, [*places, len(start)]))


def _no_header(path: Path, number: int, form: str) -> InputError:
    return InputError(
        f"{path}: not a readable image (line {number} of its header is not of the form {form})."
    )


def _beside(path: Path, name: str) -> Path:
    """The file of that plain name in the header's folder."""
    match = _PLAIN_NAME.fullmatch(name)
    if not match or name.upper().startswith("LIST"):
        raise InputError(
            f"{path}: the header names several files with voxels, or one elsewhere; "
            "one file in the header's own folder is needed."
        )
    voxels = path.parent / match[1]
    if not voxels.is_file():
        raise MissingFileError(
            f"{path}: the file with the voxels, which its header names, is not beside it."
        )
    return voxels


def _numbers(text: str, separator: str | None = None) -> list[float]:
    """The numbers of a field; none at all if one of them is not finite."""
    try:
        numbers = [float(word) for word in text.split(separator)]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _check_sizes(path: Path, missing: bool, name: str) -> None:
    if missing:
        raise InputError(
            f"{path}: the header has no voxel sizes ({name}); write them into the file."
        )


def _check_units(path: Path, unit: str) -> None:
    """ITK ignores the unit and takes the numbers for mm."""
    if unit.lower() not in ("mm", "millimeter", "millimeters", "millimetre", "?"):
        raise InputError(
            f"{path}: the header's lengths are not in mm; convert them to mm, and state that."
        )


def _warn_of_missing(path: Path, missing: list[str]) -> None:
    if missing:
        warnings.warn(
            f"{path}: the header does not say where the image lies (no {', no '.join(missing)}); "
            "an image parallel to the LPS axes, at the origin, is assumed as far as it is missing.",
            stacklevel=6,
        )
