"""``metrics.json``: the measures, quality, settings and provenance of a registration."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tf_lungreg.errors import USER_ERRORS, InputError, MissingFileError
from tf_lungreg.files import read_json, write_json
from tf_lungreg.registration.result import RegistrationResult

METRICS = "metrics.json"
VERSION = 2

# Version 1 had one level; its keys that are no measures, and where they are now.
_MOVED = {
    **{"quality": ("quality", "verdict"), "quality_reasons": ("quality", "reasons")},
    **{
        name: ("provenance", name)
        for name in ("inputs", "model", "model_sha256", "refinement", "seconds", "software")
    },
}
_MOVED_SETTINGS = ("initial_translation_ras", "network_shape", "network_spacing")


def write_metrics(path: str | Path, result: RegistrationResult) -> None:
    """Writes the numbers of a result, in sections.

    Args:
        path: of the file.
        result: of :func:`tf_lungreg.register`.
    """
    write_json(Path(path), sections(result))


def sections(result: RegistrationResult) -> dict[str, Any]:
    """What ``metrics.json`` holds of a result.

    Args:
        result: of :func:`tf_lungreg.register`.
    """
    return {
        "version": VERSION,
        "quality": asdict(result.quality),
        "measures": result.measures.given(),
        "settings": asdict(result.settings),
        "provenance": asdict(result.provenance),
    }


def read_metrics(folder: str | Path) -> dict[str, Any]:
    """The sections of a folder's ``metrics.json``, of version 1 too.

    Args:
        folder: of the results.

    Returns:
        ``quality``, ``measures``, ``settings`` and ``provenance``.

    Raises:
        MissingFileError: there is no such folder, or no ``metrics.json`` in it.
        InputError: the file is no record of a registration.
    """
    path = Path(folder) / METRICS
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; a folder of results is needed.")
    try:
        record = read_json(path)
        if "version" not in record:
            record = _from_version_1(record)
        _ = (
            record["quality"]["verdict"],
            record["provenance"]["model"],
            record["provenance"]["inputs"],
        )
        for section in ("quality", "measures", "settings", "provenance"):
            dict(**record[section])
        return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: no record of a registration ({type(error).__name__}); a file that register "
            "wrote is needed."
        ) from error


def find_metrics(folder: str | Path) -> dict[str, Any] | None:
    """As :func:`read_metrics`; None if the folder holds no record of a registration.

    Args:
        folder: of the results.
    """
    try:
        return read_metrics(folder)
    except USER_ERRORS:
        return None


def _from_version_1(flat: dict[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {"quality": {}, "measures": {}, "settings": {}, "provenance": {}}
    for name, value in flat.items():
        section, key = _MOVED.get(name, ("measures", name))
        if name == "settings":
            continue
        record[section][key] = value
    for name, value in flat["settings"].items():
        section = "provenance" if name in _MOVED_SETTINGS else "settings"
        record[section][name] = value
    return record
