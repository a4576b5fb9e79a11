"""Table 3: the classification by the deformations of several methods."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_lungreg.classification.exported import export_classifiers
from tf_lungreg.classification.patients import PREDICTIONS, load_patients
from tf_lungreg.classification.settings import ClassifierSettings
from tf_lungreg.classification.table_row import find_registrations, run_row
from tf_lungreg.environment import available_cores
from tf_lungreg.files import check_folder, check_no_results, write_json, write_text
from tf_lungreg.images.preparation import Window
from tf_lungreg.provenance import software
from tf_lungreg.reproduction import paper
from tf_lungreg.tables.spreadsheets import for_spreadsheets
from tf_lungreg.tables.table import write_table

RESULTS = ("results.json", "results.md", PREDICTIONS)
DEFORMATIONS = "deformations"


def train(
    cohort: str | os.PathLike[str],
    row: str,
    models: Mapping[str, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    settings: ClassifierSettings,
    unit: str = "mm",
    window: Window = "auto",
    deformations: str | os.PathLike[str] | None = None,
    command: str = "",
) -> tuple[Path, dict[str, Any]]:
    """Trains the classifiers on one method's deformations and writes them as the next version.

    Args:
        cohort: the folder.
        row: the method.
        models: row → exported model.
        out: folder of the classifier's versions.
        settings: of the training; its seed is also the split's.
        unit: see :func:`tf_lungreg.classification.features.make_features`.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
        deformations: where deformations are kept; by default in ``out``.
        command: recorded in the card.

    Returns:
        The version's folder and its results.

    Raises:
        MissingFileError, InputError: an argument or a file cannot be used.
    """
    out = Path(out)
    folder = out / DEFORMATIONS if deformations is None else Path(deformations)
    check_folder(out)
    check_folder(folder)
    patients = load_patients(cohort, settings.seed, settings.folds)
    ((name, method),) = find_registrations([row], models, window).items()
    outcome = run_row(name, method, patients, settings, folder, unit, window)
    card = {**outcome.results, "record": _record(command, settings.seed)}
    return export_classifiers(outcome.models, out, card), outcome.results


def evaluate(
    cohort: str | os.PathLike[str],
    methods: Sequence[str],
    models: Mapping[str, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    settings: ClassifierSettings,
    unit: str = "mm",
    window: Window = "auto",
    deformations: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Trains and tests the classifiers on each method's deformations, with the same patients.

    Args:
        cohort: the folder.
        methods: see :func:`tf_lungreg.classification.table_row.find_registrations`.
        models: row → exported model.
        out: folder of the results.
        settings: see :func:`train`.
        unit: see there.
        window: see there.
        deformations: see there. They are kept whatever ``overwrite`` says.
        overwrite: replace the results in ``out``.
        command: recorded in the results.

    Returns:
        What was written to ``results.json``: ``table3.<method>.accuracy`` in percent, and the rest.

    Raises:
        MissingFileError, InputError: an argument or a file cannot be used, or results are there.
    """
    out = Path(out)
    folder = out / DEFORMATIONS if deformations is None else Path(deformations)
    check_no_results(out, overwrite, RESULTS)
    check_folder(folder)
    patients = load_patients(cohort, settings.seed, settings.folds)
    registrations = find_registrations(methods, models, window)
    rows, predictions = {}, []
    for name, method in registrations.items():
        outcome = run_row(name, method, patients, settings, folder, unit, window)
        accuracy = outcome.results["test"]["accuracy"]["value"]
        rows[name] = {"accuracy": accuracy, **outcome.results}
        predictions += outcome.predictions
    results = {"table3": rows, "record": _record(command, settings.seed)}
    check_no_results(out, overwrite, RESULTS)  # again: the training took a while
    write_table(out / PREDICTIONS, for_spreadsheets(predictions), overwrite=overwrite)
    write_text(out / "results.md", markdown(results))
    write_json(out / "results.json", results)
    return results


def markdown(results: dict[str, Any]) -> str:
    """Table 3 as a page."""
    table = [
        "| Method | Accuracy, % (95 % CI) | Paper | AUC | Sensitivity, % | Specificity, % | p "
        "| Cross-validation, % |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    table += [_line(name, row) for name, row in results["table3"].items()]
    first = next(iter(results["table3"].values()))
    test, settings, record = first["test"], first["settings"], results["record"]
    notes = [
        f"{test['patients']} test patients, {test['ill']} of them ill; calling everyone what most "
        f"are is right in {test['majority']:.2f} %.",
        f"Mean response of {settings['folds']} models, threshold 0.5; intervals are "
        "Clopper–Pearson's, 95 %; p is a permutation test of the accuracy, one-sided.",
        "Cross-validation: accuracy on the training patients, each by the model that did not see "
        "them.",
        "Paper: its Table 3, MRI of 13 patients, not public; for orientation only.",
        "A research tool: no answer of it is a diagnosis.",
    ]
    software_text = ", ".join(f"{name} {version}" for name, version in record["software"].items())
    parts = ["# Classification", "\n".join(table), "\n".join(f"- {note}" for note in notes)]
    parts.append(f"```sh\n{record['command']}\n```")
    parts.append(f"{record['date']}, {record['machine']}, {software_text}; seed {record['seed']}.")
    return "\n\n".join(parts) + "\n"


def _line(name: str, row: dict[str, Any]) -> str:
    test = row["test"]
    printed = f"{paper.TABLE_3[name]['accuracy']:.2f}" if name in paper.TABLE_3 else "–"
    auc, p = (f"{v:.{n}f}" if v is not None else "–" for v, n in ((test["auc"], 2), (test["p"], 4)))
    shares = [_share(test[key]) for key in ("accuracy", "sensitivity", "specificity")]
    held_out = f"{row['cross_validation']['accuracy']['value']:.2f}"
    cells = (name, shares[0], printed, auc, *shares[1:], p, held_out)
    return "| " + " | ".join(cells) + " |"


def _share(found: dict[str, Any] | None) -> str:
    if found is None:
        return "–"
    return f"{found['value']:.2f} ({found['low']:.1f}–{found['high']:.1f})"


def _record(command: str, seed: int) -> dict[str, Any]:
    return {
        "command": command,
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {available_cores()} cores",
        "software": software(),
    }
