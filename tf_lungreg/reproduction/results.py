"""What came out of all pairs, for programs: the contents of ``results.json``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.cohorts.cohort import ScanPair
from tf_lungreg.provenance import software
from tf_lungreg.reproduction import paper
from tf_lungreg.reproduction.methods import processor
from tf_lungreg.reproduction.pair_measures import LANDMARK_ERRORS, MEASURES, observer_difference
from tf_lungreg.reproduction.selection import Selection, pair_name
from tf_lungreg.reproduction.statistics import compare, summarise

OBSERVERS = "inter-observer"  # a row of Table 2
PARTS = ("inhale_exhale", "all_combinations")

# Of Table 1. Landmarks have a table of their own; the truth is known within a patient only.
_MEASURES = {
    "inhale_exhale": [name for name in MEASURES if name not in LANDMARK_ERRORS],
    "all_combinations": [n for n in MEASURES if n not in (*LANDMARK_ERRORS, "tre_true")],
}

Rows = Mapping[str, Mapping[str, "dict[str, Any]"]]  # method → pair → measures


def make_results(
    rows: Rows,
    selection: Selection,
    combinations: Mapping[str, Sequence[ScanPair]],
    reference: str | None,
    seed: int,
    command: str,
) -> dict[str, Any]:
    """Tables 1 and 2, the comparisons, and what they rest on.

    Args:
        rows: of :func:`~tf_lungreg.reproduction.method_runs.run_methods`.
        selection: the patients and pairs.
        combinations: method → those of all combinations that it saw.
        reference: the method that all others are compared with; None for no comparison.
        seed: of the selection and of the bootstrap.
        command: how to get the same again.

    Returns:
        ``table1.<method>.{inhale_exhale, all_combinations}``: Dice in percent (``mean``, ``std``,
        ``n``), ``pairs``, median ``seconds`` and ``device``, and each further measure with its own
        mean, std and n; ``table2.<method>.{dx, dy, dz, ds}`` in mm with ``std``, ``n`` pairs and
        all their ``landmarks``; ``comparisons``; ``paper``, the paper's figures. Each row has its
        ``record``. What could not be measured is not there.
    """
    record = {
        "command": command,
        "seed": seed,
        "machine": processor(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "software": software(),
    }
    names = {name: [pair_name(p) for p in pairs] for name, pairs in combinations.items()}
    within = [pair_name(p) for p in selection.inhale_exhale]
    parts = {
        method: {"inhale_exhale": [found[n] for n in within]}
        | ({"all_combinations": [found[n] for n in names[method]]} if names[method] else {})
        for method, found in rows.items()
    }
    table2 = {m: _landmark_row(part["inhale_exhale"]) for m, part in parts.items()}
    table2 = {OBSERVERS: _observer_row(selection), **table2}
    return {
        "table1": {
            method: {
                **{n: _part(found, _MEASURES[n]) for n, found in part.items()},
                "record": record,
            }
            for method, part in parts.items()
        },
        "table2": {m: {**row, "record": record} for m, row in table2.items() if row},
        "comparisons": [] if reference is None else _comparisons(parts, reference, seed),
        "patients": list(selection.patients.participants),
        "paper": {"source": paper.SOURCE, "table1": paper.TABLE_1, "table2": paper.TABLE_2},
    }


def _part(rows: Sequence[dict[str, Any]], measures: Sequence[str]) -> dict[str, Any]:
    """One method on one set of pairs."""
    summaries = {m: summarise(v) for m in measures if (v := [r[m] for r in rows if m in r])}
    return {
        **summaries.pop("dice", {}),
        "pairs": len(rows),
        "seconds": float(np.median([row["seconds"] for row in rows])),
        "device": ", ".join(sorted({row["device"] for row in rows})),
        **summaries,
    }


def _landmark_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rows = [row for row in rows if "ds" in row]
    if not rows:
        return {}
    landmarks = sum(row["landmarks"] for row in rows)
    return {**_axes([[row[a] for a in LANDMARK_ERRORS] for row in rows]), "landmarks": landmarks}


def _observer_row(selection: Selection) -> dict[str, Any]:
    scans = dict.fromkeys(scan for pair in selection.inhale_exhale for scan in pair)
    differences = [d for scan in scans if (d := observer_difference(scan)) is not None]
    return _axes(differences) if differences else {}


def _axes(errors: Sequence[Sequence[float] | Array]) -> dict[str, Any]:
    """Means of dx, dy, dz, ds, their deviations, and how many there are."""
    columns = {name: summarise(v) for name, v in zip(LANDMARK_ERRORS, zip(*errors))}
    return {
        **{name: column["mean"] for name, column in columns.items()},
        "std": {name: column["std"] for name, column in columns.items()},
        "n": len(errors),
    }


def _comparisons(parts: Mapping[str, Any], reference: str, seed: int) -> list[dict[str, Any]]:
    """The reference against each other method: Dice in both parts, the landmarks' ds."""
    found = []
    for measure, part in (("dice", PARTS[0]), ("dice", PARTS[1]), ("ds", PARTS[0])):
        values = {
            method: {(r["fixed"], r["moving"]): r[measure] for r in p.get(part, ()) if measure in r}
            for method, p in parts.items()
        }
        for method in values:
            if method == reference:
                continue
            if result := compare(values[reference], values[method], seed):
                names = {"measure": measure, "part": part, "reference": reference}
                found.append({**names, "method": method, **result})
    return found
