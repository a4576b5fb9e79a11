"""What a search found: a table of all trials, and the best one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner as kt

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.files import read_json, write_json
from tf_lungreg.tables.spreadsheets import for_spreadsheets
from tf_lungreg.tables.table import write_table
from tf_lungreg.tuning.settings import TuningSettings

MEASURES = ("val_dice", "folds_lung", "score", "dice_before", "seconds")


def trial_rows(
    trials: Iterable[kt.engine.trial.Trial], searched: Sequence[str], max_folds: float
) -> list[dict[str, Any]]:
    """One row a trial, in the order of their numbers.

    Args:
        trials: of Keras Tuner.
        searched: names of the settings.
        max_folds: share of the lung's voxels that may fold.

    Returns:
        ``trial``, what was searched, with Hyperband ``epochs``, the measures (None where there are
        none), ``status`` and ``message``. The status is ``completed``, ``penalised`` (too many
        folded voxels), ``failed`` or ``running``; the message says why it failed.
    """
    return [_row(trial, searched, max_folds) for trial in sorted(trials, key=_number)]


def best_row(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with the highest score; None if no trial has ended well."""
    scored = [row for row in rows if row["status"] in ("completed", "penalised")]
    return max(scored, key=lambda row: row["score"], default=None)


def write_results(out: Path, rows: Sequence[dict[str, Any]], config: TuningSettings) -> None:
    """Writes ``trials.csv`` and, once a trial has ended well, ``best.json``.

    Args:
        out: the folder of the search.
        rows: of :func:`trial_rows`.
        config: of the search.
    """
    if rows:
        write_table(out / "trials.csv", for_spreadsheets(rows), overwrite=True)
    best = best_row(rows)
    if best:
        content = {
            "settings": {name: best[name] for name in config.searched},
            "trial": best["trial"],
            **{name: best[name] for name in MEASURES},
            "status": best["status"],
            "search": {**config.record(), "trials": config.trials},
        }
        write_json(out / "best.json", content)


def read_best(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings that a search found best, by the names of a training's settings.

    Raises:
        MissingFileError: there is no such search, or none of its trials has ended well.
        InputError: the file is not one of a search.
    """
    path = Path(folder) / "best.json"
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; the folder of a search is needed.")
    try:
        settings = read_json(path)["settings"]
        return {"alpha": settings["alpha"], "beta": settings["beta"], **settings}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not the result of a search ({error}).") from error


def _number(trial: kt.engine.trial.Trial) -> int:
    return int(trial.trial_id)


def _row(trial: kt.engine.trial.Trial, searched: Sequence[str], max_folds: float) -> dict[str, Any]:
    values = trial.hyperparameters.values
    row: dict[str, Any] = {"trial": _number(trial), **{name: values.get(name) for name in searched}}
    if "tuner/epochs" in values:
        row["epochs"] = values["tuner/epochs"]
    ended = trial.status == "COMPLETED"
    row.update({name: _measure(trial, name) if ended else None for name in MEASURES})
    row["status"] = trial.status.lower()
    if ended and row["folds_lung"] > max_folds:
        row["status"] = "penalised"
    row["message"] = _last_line(trial.message) if row["status"] == "failed" else None
    return row


def _measure(trial: kt.engine.trial.Trial, name: str) -> float:
    return round(trial.metrics.get_last_value(name), 6)


def _last_line(message: str | None) -> str:
    """The error itself, without the lines of the traceback before it."""
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    return lines[-1] if lines else "the score is not a number"
