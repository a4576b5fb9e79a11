"""Which folder a run writes to: a new one, or that of the same run, interrupted."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

from tf_lungreg.errors import InputError
from tf_lungreg.files import check_folder, locked, read_json
from tf_lungreg.training.settings import TrainingSettings

CONFIG, METRICS = "config.json", "metrics.json"


def find_run_folder(
    runs: Path, config: TrainingSettings, name: str | None = None, overwrite: bool = False
) -> Path:
    """The folder for a training; it is not made yet.

    A run that was interrupted goes on where it stopped when it is started again with the same
    settings. A run that ended stays as it is: without a name, the next number is taken.

    Args:
        runs: where all runs are.
        config: resolved settings.
        name: of the run; by default the cohort's and the preset's.
        overwrite: throw away a run of that name; a folder that is no run's stays.

    Raises:
        InputError: the name cannot be a folder's, a run of that name has ended or was
            interrupted with other settings, or the folder holds something else.
    """
    check_folder(runs)
    if name is None:
        base = f"{Path(config.cohort).resolve().name}-{config.preset}"
        names = itertools.chain([base], (f"{base}-{n}" for n in itertools.count(2)))
        return next(runs / n for n in names if _problem(runs / n, config) is None)
    if name in ("", ".", "..") or Path(name).name != name:
        raise InputError(f"--name: a plain name is needed, without folders, not {name!r}.")
    folder = runs / name
    problem = _problem(folder, config)
    if problem and overwrite and _settings(folder) is not None:
        with locked(folder):
            shutil.rmtree(folder)
    elif problem:
        raise _refusal(folder, problem)
    return folder


@contextlib.contextmanager
def claimed_run(folder: Path, config: TrainingSettings) -> Generator[None]:
    """Keeps other trainings from writing to the folder of a run.

    Args:
        folder: of :func:`find_run_folder`.
        config: resolved settings.

    Raises:
        InputError: another training writes there, or has since the folder was chosen.
    """
    with locked(folder):
        problem = _problem(folder, config)
        if problem:
            raise _refusal(folder, problem)
        yield


def _problem(folder: Path, config: TrainingSettings) -> str | None:
    """Why a training may not write there, if so."""
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if (folder / METRICS).exists():
        return "holds a run that has ended"
    before = _settings(folder)
    if before is None:
        return "holds something that is no run"
    now = json.loads(json.dumps(dataclasses.asdict(config)))
    changed = [key for key in now if before.get(key) != now[key]]
    return f"holds an interrupted run with another {changed[0]}" if changed else None


def _settings(folder: Path) -> dict[str, Any] | None:
    """Those of the run in a folder; None if it is no run's."""
    try:
        return dict(read_json(folder / CONFIG)["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refusal(folder: Path, problem: str) -> InputError:
    way = "" if _settings(folder) is None else ", or --overwrite"
    return InputError(f"{folder}: {problem}; give another --name{way}.")
