"""The results as tables of plain text, which Markdown and LaTeX then set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tf_lungreg.reproduction import paper
from tf_lungreg.reproduction.pair_measures import LANDMARK_ERRORS
from tf_lungreg.reproduction.results import OBSERVERS, PARTS

MISSING = "–"

TITLES = {
    "unregistered": "Unregistered",
    "discrete-ncc": "Deformable with NCC",
    "discrete-dwm": "Deformable with DWM",
    "discrete-mi": "Deformable with MI",
    "discrete-all": "Deformable with NCC, DWM, MI",
    "syn": "SyN",
    "linear-only": "Linear only",
    "proposed-no-affine": "Proposed w/o affine",
    "proposed": "Proposed",
    OBSERVERS: "Inter-observer",
}

_PART_TITLES: dict[str, str] = dict(zip(PARTS, ("Inhale–exhale", "All combinations")))
_MEASURE_TITLES = {"dice": "Dice (%)", "ds": "Landmarks, ds (mm)"}


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        title: above it.
        header: of the columns.
        rows: of the same length.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def make_tables(results: dict[str, Any]) -> list[Table]:
    """Tables 1 and 2 with the paper's figures, further measures, comparisons; as far as known."""
    table1 = results["table1"]
    tables = []
    if any("mean" in row.get(part, ()) for row in table1.values() for part in PARTS):
        tables.append(_table_1(table1))
    tables += [
        _further(table1, part)
        for part in PARTS
        if any("folds_volume" in row.get(part, ()) for row in table1.values())
    ]
    if results["table2"]:
        tables.append(_table_2(results["table2"]))
    if results["comparisons"]:
        tables.append(_comparison_table(results["comparisons"]))
    return tables


def title(method: str) -> str:
    """A method's name in the tables."""
    return TITLES.get(method, method)


def _table_1(table1: dict[str, Any]) -> Table:
    header = ["Method", *_columns("{}", "pairs"), "Seconds", "On"]
    header += ["Paper: inhale–exhale", "Paper: all combinations", "Paper: seconds"]
    rows = []
    for method, row in table1.items():
        parts = [row.get(part, {}) for part in PARTS]
        printed = paper.TABLE_1.get(method, {})
        cells = [text for part in parts for text in (_spread(part), _count(part))]
        cells += [_seconds(parts[0]["seconds"]), parts[0]["device"]]
        cells += [_printed(printed.get(part)) for part in PARTS]
        rows.append([title(method), *cells, printed.get("seconds", MISSING)])
    return Table("Table 1: Dice of the lung masks (%)", header, rows)


def _columns(name: str, count: str) -> list[str]:
    return [text for part in _PART_TITLES.values() for text in (name.format(part), count)]


def _further(table1: dict[str, Any], part: str) -> Table:
    """The measures beside Dice that any method has."""
    found = {method: row[part] for method, row in table1.items() if part in row}
    known = [name for name in _FURTHER if any(name in row for row in found.values())]
    rows = [
        [title(method), *(_FURTHER[name][1](row.get(name, {})) for name in known)]
        for method, row in found.items()
    ]
    header = ["Method", *(_FURTHER[name][0] for name in known)]
    return Table(f"Further measures, {_PART_TITLES[part].lower()}", header, rows)


def _table_2(table2: dict[str, Any]) -> Table:
    header = ["Method", *LANDMARK_ERRORS, "n", *(f"Paper: {name}" for name in LANDMARK_ERRORS)]
    rows = []
    for method, row in table2.items():
        printed = paper.TABLE_2.get(method, {})
        unit = "image" if method == OBSERVERS else "pair"
        cells = [f"{row[name]:.3f}" for name in LANDMARK_ERRORS]
        cells.append(f"{row['n']} {unit}{'s' * (row['n'] != 1)}")
        cells += [f"{printed[n]:.3f}" if printed else MISSING for n in LANDMARK_ERRORS]
        rows.append([title(method), *cells])
    return Table("Table 2: landmark errors, inhale–exhale (mm)", header, rows)


def _comparison_table(comparisons: Sequence[dict[str, Any]]) -> Table:
    header = ["Measure", "Pairs", "Compared", "n", "Mean difference", "95 % interval", "p"]
    rows = [
        [
            _MEASURE_TITLES[c["measure"]],
            _PART_TITLES[c["part"]],
            f"{title(c['reference'])} − {title(c['method'])}",
            str(c["n"]),
            f"{c['difference']:+.2f}",
            f"{c['low']:+.2f} to {c['high']:+.2f}",
            f"{c['p']:.2g}",
        ]
        for c in comparisons
    ]
    return Table("Comparisons, pair by pair", header, rows)


def _spread(summary: dict[str, Any]) -> str:
    if "mean" not in summary:
        return MISSING
    mean = f"{summary['mean']:.2f}"
    return mean if summary["std"] is None else f"{mean} ± {summary['std']:.2f}"


def _printed(values: tuple[float, float] | None) -> str:
    return MISSING if values is None else f"{values[0]:.2f} ± {values[1]:.2f}"


def _count(part: dict[str, Any]) -> str:
    return str(part["n"]) if "n" in part else MISSING


def _share(summary: dict[str, Any]) -> str:
    return f"{100 * summary['mean']:.3f}" if summary else MISSING


def _seconds(seconds: float) -> str:
    return MISSING if seconds == 0 else f"{seconds:.2f}"


# Measure → its column's title and how a summary is written.
_FURTHER = {
    "hd95": ("95 % Hausdorff (mm)", _spread),
    "msd": ("Mean surface distance (mm)", _spread),
    "folds_lung": ("Folded, lung (%)", _share),
    "folds_volume": ("Folded, volume (%)", _share),
    "std_log_jacobian": ("SD of log Jacobian", _spread),
    "tre_true": ("Error against the truth (mm)", _spread),
}
