"""The table of many registered pairs: measures of those that are done, reasons of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_lungreg.errors import USER_ERRORS
from tf_lungreg.files import locked
from tf_lungreg.registration.metrics_file import METRICS, find_metrics
from tf_lungreg.tables.spreadsheets import for_spreadsheets
from tf_lungreg.tables.table import read_table, write_table

SUMMARY = "summary.csv"

_MEASURES = (
    *("quality", "dice_before", "dice_after", "tre_before", "tre_after"),
    *("folds_lung", "folds_volume"),
)


def write_summary(out: Path, names: Sequence[str], failed: Mapping[str, str]) -> None:
    """Writes ``summary.csv`` from the folders of all pairs that are done, and those that failed.

    Two commands may write to one folder at a time: rows of pairs that this one does not know are
    kept, and a pair that the other one registered is described by its folder although it failed
    here.

    Args:
        out: the folder of all results.
        names: of this command's pairs, in their order.
        failed: the names of those that failed → why.
    """
    with locked(out, wait=True):
        rows = {**{name: _failed_row(name, why) for name, why in failed.items()}, **_done(out)}
        order = [*(n for n in names if n in rows), *(n for n in sorted(rows) if n not in names)]
        table = for_spreadsheets(rows[name] for name in order)
        known = {row["name"] for row in for_spreadsheets({"name": n} for n in [*order, *names])}
        table += [row for row in _failed_earlier(out) if row["name"] not in known]
        if table:
            write_table(out / SUMMARY, table, overwrite=True)


def _done(out: Path) -> dict[str, dict[str, Any]]:
    """The rows of all folders with results."""
    folders = [path.parent for path in out.glob(f"*/{METRICS}")]
    read = {folder.name: find_metrics(folder) for folder in folders}
    return {
        name: _row(name, record)
        for name, record in read.items()
        if record is not None and not name.startswith(".")  # which are unfinished
    }


def _row(name: str, record: Mapping[str, Any]) -> dict[str, Any]:
    quality, measures = record["quality"], record["measures"]
    values = {"quality": quality["verdict"], **{key: measures.get(key) for key in _MEASURES[1:]}}
    reasons = "; ".join(quality.get("reasons", []))
    return {"name": name, "status": "registered", **values, "reasons": reasons}


def _failed_row(name: str, reason: str) -> dict[str, Any]:
    return {"name": name, "status": "failed", **dict.fromkeys(_MEASURES), "reasons": reason}


def _failed_earlier(out: Path) -> list[dict[str, Any]]:
    """The failed rows of the table before this one; none if it cannot be read."""
    try:
        rows = read_table(out / SUMMARY, ("name", "status"))
    except USER_ERRORS:
        return []
    return [row for row in rows if row["status"] == "failed"]
