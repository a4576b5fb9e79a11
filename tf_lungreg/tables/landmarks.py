"""Named points of an image: landmark tables, and the points that 3D Slicer saves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import ras_to_lps
from tf_lungreg.tables.slicer import MarkedPoint, is_slicer, read_slicer
from tf_lungreg.tables.table import read_table

SYSTEMS = ("ras", "lps")  # in which coordinates of points may be given


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The named points of one image.

    Attributes:
        points: observer → name → (3,) RAS mm. A file without observers has the one observer ``""``.
        path: the file, for messages.
    """

    points: dict[str, dict[str, Array]]
    path: str

    @property
    def names(self) -> list[str]:
        """Every name once, in the file's order."""
        return list(dict.fromkeys(name for points in self.points.values() for name in points))

    def mean(self) -> dict[str, Array]:
        """Name → (3,) RAS mm, the mean over the observers who marked it."""
        return {
            name: np.mean([p[name] for p in self.points.values() if name in p], axis=0)
            for name in self.names
        }


def read_landmarks(path: str | os.PathLike[str], coordinates: str = "ras") -> Landmarks:
    """Reads a table ``name,x,y,z[,observer]`` in mm, or points that 3D Slicer saved.

    Args:
        path: a table, or a file of 3D Slicer's, which ends in .fcsv or .json.
        coordinates: ``"ras"`` or ``"lps"``, the system of a table. Slicer's files state their own.

    Returns:
        The points in RAS mm.

    Raises:
        MissingFileError: there is no such file.
        InputError: as :func:`read_table`; or a coordinate is no finite number, a name is empty or
            appears twice for one observer, or ``coordinates`` is unknown.
    """
    if coordinates not in SYSTEMS:
        raise InputError(f"coordinates: 'ras' or 'lps' is needed, not {coordinates!r}.")
    points: dict[str, dict[str, Array]] = {}
    for row, system in _marked_points(path, coordinates):
        name, observer = row["name"], row.get("observer", "")
        if not name:
            raise InputError(f"{path}: a landmark without a name ({row}); every point needs one.")
        if name in points.setdefault(observer, {}):
            by = f" for the observer {observer!r}" if observer else ""
            raise InputError(f"{path}: the landmark {name!r} appears twice{by}; once is needed.")
        point = _coordinates(path, row)
        points[observer][name] = ras_to_lps(point) if system == "lps" else point
    return Landmarks(points, str(path))


def read_landmark_rows(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """The rows behind :func:`read_landmarks`, in the file's order and coordinate system.

    Raises:
        MissingFileError, InputError: as :func:`read_landmarks`.
    """
    return [row for row, _ in _marked_points(path, "ras")]


def _marked_points(path: str | os.PathLike[str], coordinates: str) -> list[MarkedPoint]:
    """Each row of a file of points with its coordinate system."""
    if is_slicer(Path(path)):
        return read_slicer(Path(path))
    return [(row, coordinates) for row in read_table(path, ("name", "x", "y", "z"))]


def match_landmarks(fixed: Landmarks, moving: Landmarks) -> tuple[list[str], Array, Array]:
    """Joins two images' landmarks by name, each point the mean over its image's observers.

    Returns:
        The names that both have, in the order of ``fixed``, and the points in the fixed and in
        the moving image, (N, 3) each, RAS mm.

    Raises:
        InputError: no name is in both files.
    """
    in_fixed, in_moving = fixed.mean(), moving.mean()
    names = [name for name in in_fixed if name in in_moving]
    if not names:
        raise InputError(
            f"{fixed.path} and {moving.path}: no landmark in common (found "
            f"{', '.join(fixed.names[:3])} and {', '.join(moving.names[:3])}); "
            "corresponding points need the same name."
        )
    return names, np.array([in_fixed[n] for n in names]), np.array([in_moving[n] for n in names])


def _coordinates(path: str | os.PathLike[str], row: Mapping[str, str]) -> Array:
    try:
        point = np.array([float(row[axis]) for axis in "xyz"])
    except ValueError:
        point = np.array([np.nan])
    if not np.isfinite(point).all():
        found = ", ".join(row[axis] for axis in "xyz")
        raise InputError(
            f"{path}: the landmark {row['name']!r} lies at ({found}); three finite numbers in mm "
            "are needed."
        )
    return point
