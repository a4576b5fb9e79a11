"""The folder of an evaluation: its settings, and one file for each method and pair."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from tf_lungreg.cohorts.cohort import Cohort
from tf_lungreg.errors import InputError
from tf_lungreg.files import check_folder, checksum, read_json, record_changes, write_json
from tf_lungreg.reproduction.pair_measures import has_truth

SETTINGS, PAIRS = "settings.json", "pairs"
RESULTS = ("results.json", "results.md", "results.tex", "pairs.csv")


def open_folder(
    out: Path, settings: dict[str, Any], methods: dict[str, dict[str, Any]], overwrite: bool
) -> None:
    """Makes the folder, or takes up the one of an evaluation with the same settings.

    Args:
        out: the folder.
        settings: what decides every method's results.
        methods: name → what else decides that method's. Methods that the folder does not know
            are added.
        overwrite: begin anew. Only a folder that holds nothing but an evaluation is emptied.

    Raises:
        InputError: the folder holds something else, or an evaluation with other settings.
    """
    check_folder(out)
    found = sorted(p.name for p in out.iterdir()) if out.exists() else []
    if overwrite:
        _empty(out, found)
        found = []
    wanted = json.loads(json.dumps({**settings, "methods": methods}))
    if found:
        wanted["methods"] = _merged(out, wanted)
    write_json(out / SETTINGS, wanted)


def pair_file(out: Path, method: str, pair: str) -> Path:
    """Where the measures of a pair are.

    Args:
        out: the folder of an evaluation.
        method: its row.
        pair: its name, see :func:`tf_lungreg.reproduction.selection.pair_name`.
    """
    return out / PAIRS / method / f"{pair}.json"


def picture_file(out: Path, method: str, pair: str) -> Path:
    """Where the picture of a pair is, if one was made.

    Args:
        out: the folder of an evaluation.
        method: its row.
        pair: its name, see :func:`tf_lungreg.reproduction.selection.pair_name`.
    """
    return out / PAIRS / method / f"{pair}.png"


def cohort_record(cohort: Cohort) -> dict[str, Any]:
    """The cohort's folder, and what changes when its tables or images do."""
    digest = hashlib.sha256()
    for table in ("participants.tsv", "images.tsv"):
        digest.update((cohort.root / table).read_bytes())
    for scan in cohort.scans:
        truth = cohort.root / scan.columns["truth"] if has_truth(scan) else None
        for path in (scan.image, scan.mask, scan.landmarks, truth):
            digest.update(b"-" if path is None else checksum(path).encode())
    return {"cohort": str(cohort.root.resolve()), "cohort_files": digest.hexdigest()}


def _merged(out: Path, wanted: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The methods of the folder and those wanted; refuses other settings."""
    before, methods = _read_settings(out)
    settings = {name: value for name, value in wanted.items() if name != "methods"}
    files = settings.pop("cohort_files")
    changed = record_changes(before, settings)
    if before.get("cohort_files") != files:
        changed.append("other files of the cohort")
    for name, identity in wanted["methods"].items():
        if methods.get(name, identity) != identity:
            stored = ", ".join(f"{key} {value}" for key, value in methods[name].items())
            changed.append(f"another {name} ({stored})")
    if changed:
        raise InputError(
            f"{out}: holds an evaluation with {changed[0]}; choose another folder, or --overwrite."
        )
    return {**methods, **wanted["methods"]}


def _read_settings(out: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What a folder's evaluation was begun with, and its methods."""
    try:
        settings = read_json(out / SETTINGS)
        return settings, dict(settings.pop("methods"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{out}: holds something that is no evaluation; choose another folder."
        ) from None


def _empty(out: Path, found: list[str]) -> None:
    own = [n for n in found if n in (SETTINGS, PAIRS, *RESULTS) or n.startswith("figure2_")]
    other = [name for name in found if name not in own]
    if other:
        raise InputError(
            f"{out}: holds {other[0]}, which is no result of this command, and is not replaced; "
            "choose another folder."
        )
    if found:
        _read_settings(out)  # other programs have a settings.json, too
    for name in own:
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
