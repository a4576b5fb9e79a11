"""Points that 3D Slicer saved: ``.fcsv`` and ``.mrk.json``, which state their coordinate system."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tf_lungreg.errors import InputError
from tf_lungreg.files import check_file, parse_json

ENDINGS = (".fcsv", ".json")  # Slicer itself ends the second in .mrk.json

_SYSTEMS = {"0": "ras", "1": "lps", "ras": "ras", "lps": "lps"}  # numbers until Slicer 4.10
_COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatednodeid".split(",")

MarkedPoint = tuple[dict[str, str], str]


def is_slicer(path: Path) -> bool:
    """Whether the name is that of a file of points from 3D Slicer."""
    return path.name.lower().endswith(ENDINGS)


def read_slicer(path: Path) -> list[MarkedPoint]:
    """Reads the points of a file.

    Args:
        path: ends in .fcsv or .json.

    Returns:
        For each point a row with ``name``, ``x``, ``y``, ``z`` as text, in mm, and its coordinate
        system, ``"ras"`` or ``"lps"``.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is damaged, holds no points, or has another coordinate system or unit.
    """
    check_file(path, "a table of landmarks")
    read = _read_fcsv if path.name.lower().endswith(".fcsv") else _read_json
    try:
        points = list(read(path, path.read_text(encoding="utf-8-sig")))
    except (ValueError, TypeError, AttributeError, LookupError, csv.Error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: not a readable file of points ({type(error).__name__}); one that 3D Slicer "
            "saved is needed."
        ) from error
    if not points:
        raise InputError(f"{path}: holds no points; at least one is needed.")
    return points


def _read_fcsv(path: Path, text: str) -> Iterator[MarkedPoint]:
    """Comma-separated rows below comments, two of which name the system and the columns."""
    stated, columns = "", _COLUMNS
    rows: list[str] = []
    for line in text.splitlines():
        key, equals, value = line.lstrip("# ").partition("=")
        if not line.startswith("#"):
            rows.append(line)
        elif equals and key.strip().lower() == "coordinatesystem":
            stated = value.strip()
        elif equals and key.strip().lower() == "columns":
            columns = [column.strip().lower() for column in value.split(",")]
    system = _system(path, stated)
    for cells in csv.reader(rows):
        if cells:
            row = dict(zip(columns, (cell.strip() for cell in cells)))
            yield _row(row["label"], [row[axis] for axis in "xyz"]), system


def _read_json(path: Path, text: str) -> Iterator[MarkedPoint]:
    """The control points of all lists in the file; those without a position are left out."""
    for markups in parse_json(text)["markups"]:
        system = _system(path, str(markups.get("coordinateSystem", "")))
        if _unit(markups) != "mm":
            raise InputError(f"{path}: coordinates in {_unit(markups)}; mm are needed.")
        for point in markups.get("controlPoints", []):
            if point.get("positionStatus", "defined") == "defined":
                yield _row(point["label"], point["position"]), system


def _unit(markups: Mapping[str, Any]) -> str:
    """Slicer writes ``mm``, or a code of a terminology, whose first entry is the unit."""
    unit = markups.get("coordinateUnits", "mm")
    return unit if isinstance(unit, str) else str(unit[0])


def _system(path: Path, stated: str) -> str:
    system = _SYSTEMS.get(stated.lower())
    if system is None:
        raise InputError(f"{path}: coordinate system {stated!r}; RAS or LPS is needed.")
    return system


def _row(name: str, position: Iterable[object]) -> dict[str, str]:
    x, y, z = (str(value) for value in position)
    return {"name": name, "x": x, "y": y, "z": z}
