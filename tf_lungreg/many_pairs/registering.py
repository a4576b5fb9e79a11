"""Many pairs from a table: one folder each, failures reported, what is done skipped."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tf_lungreg.errors import USER_ERRORS, InputError
from tf_lungreg.export import find_model, load_model
from tf_lungreg.files import (
    FolderInUseError,
    check_folder,
    check_new_folder,
    check_no_input,
    locked,
    sharing,
)
from tf_lungreg.images.opening import stem
from tf_lungreg.inference.default_model import default_model
from tf_lungreg.inference.network_pass import NO_MODEL, RegistrationModel
from tf_lungreg.many_pairs.record import decisive, find_difference, model_record
from tf_lungreg.many_pairs.summary import SUMMARY, write_summary
from tf_lungreg.many_pairs.worker_processes import WorkerDied, run_in_workers
from tf_lungreg.registration.inputs import PairInputs
from tf_lungreg.registration.metrics_file import METRICS
from tf_lungreg.registration.pipeline import register
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.reporting.result_folder import FILES, save_result
from tf_lungreg.tables.table import NOT_AVAILABLE, read_table

_log = logging.getLogger(__name__)

_LONGEST_NAME = 255  # bytes, on most file systems

_COLUMNS = tuple(PairInputs.__dataclass_fields__)


def read_pairs(path: str | os.PathLike[str]) -> dict[str, PairInputs]:
    """Reads ``fixed,moving[,fixed_mask,moving_mask,fixed_landmarks,moving_landmarks,name]``.

    Paths are relative to the table's folder. A pair without a name is called
    ``<moving>_to_<fixed>``.

    Returns:
        Name → files.

    Raises:
        MissingFileError: there is no such table.
        InputError: a column or an image is missing, or a name appears twice or is no folder's.
    """
    path, pairs = Path(path), {}
    for row in read_table(path, ("fixed", "moving")):
        cells = {c: row[c] for c in _COLUMNS if row.get(c, "").lower() not in ("", NOT_AVAILABLE)}
        if not {"fixed", "moving"} <= set(cells):
            raise InputError(f"{path}: an image is missing in {row}; fixed and moving are needed.")
        name = row.get("name") or f"{stem(cells['moving'])}_to_{stem(cells['fixed'])}"
        if name in pairs:
            raise InputError(
                f"{path}: the pair's name {name!r} appears twice; give each pair one of its own in "
                "the column 'name'."
            )
        if not _is_folder_name(name):
            raise InputError(
                f"{path}: the pair's name {name!r} cannot be a folder's; a name of at most "
                f"{_LONGEST_NAME} bytes is needed, without / and \\, that begins with no dot "
                f"and is not {SUMMARY}."
            )
        pairs[name] = PairInputs(**{c: str(path.parent / cell) for c, cell in cells.items()})
    return pairs


def _is_folder_name(name: str) -> bool:
    """Whether results can be in a folder of that name, beside the summary."""
    marks = any(mark in name for mark in "/\\") or name.startswith(".")
    return not marks and name != SUMMARY and len(os.fsencode(name)) <= _LONGEST_NAME


def register_pairs(
    pairs: Mapping[str, PairInputs],
    out: str | os.PathLike[str],
    model: str | os.PathLike[str] | RegistrationModel | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    itk_transform: bool = False,
    settings: RegistrationSettings | None = None,
) -> dict[str, str]:
    """Registers each pair into ``out/<name>`` and writes ``out/summary.csv`` after each.

    Logs a line for each pair and one at the end. The pairs are registered in other processes, so
    that a file that ends the process which reads it is one failed pair. A script that calls this
    needs ``if __name__ == "__main__":``.

    Args:
        pairs: of :func:`read_pairs`.
        out: the folder of all results.
        model: exported model, by default the one that is found, or one on a server.
        jobs: how many pairs at a time, each in a process of its own.
        overwrite: register again what is done; otherwise it is skipped.
        itk_transform: with ``transform.h5``.
        settings: of each registration.

    Returns:
        The names of the pairs that failed, and why.

    Raises:
        MissingFileError, InputError: there is no model, ``jobs`` is less than 1, ``out`` cannot be
            written, it holds a pair that was registered with other settings, another model or
            other files, or another command registers there with other settings.
    """
    if jobs < 1:
        raise InputError(f"jobs: 1 or more is needed, not {jobs}.")
    out = Path(out)
    settings = settings or RegistrationSettings()
    check_folder(out)
    found, record = _find_model(model, settings)
    task = _Task(found, record, itk_transform, overwrite, settings)
    with sharing(out, task.asked()):
        return _register_all(pairs, out, task, jobs)


def _register_all(
    pairs: Mapping[str, PairInputs], out: Path, task: _Task, jobs: int
) -> dict[str, str]:
    done, failed = ([], {}) if task.overwrite else _find_done(pairs, out, task)
    if done:
        _log.info("%s: %d of %d pairs are done and skipped", out, len(done), len(pairs))
    waiting = {
        name: (files, out / name)
        for name, files in pairs.items()
        if name not in done and name not in failed
    }
    progress = _Progress(len(pairs), done, failed)
    try:
        with contextlib.closing(run_in_workers(task, waiting, jobs)) as outcomes:
            for name, outcome in outcomes:
                progress.tell(name, outcome)
                write_summary(out, list(pairs), progress.failed)
    finally:  # once more: interrupted, a worker may have written a last result
        write_summary(out, list(pairs), progress.failed)
        progress.close(out / SUMMARY)
    return progress.failed


def _find_model(
    model: str | os.PathLike[str] | RegistrationModel | None, settings: RegistrationSettings
) -> tuple[str | RegistrationModel, dict[str, Any]]:
    """What is passed to the workers, and its record."""
    if settings.refine and str(model) == NO_MODEL:
        return NO_MODEL, {"model": NO_MODEL, "model_sha256": None}
    if model is None or isinstance(model, (str, os.PathLike)):
        model = str(find_model(default_model() if model is None else model))
    return model, model_record(model)


def _find_done(
    pairs: Mapping[str, PairInputs], out: Path, task: _Task
) -> tuple[list[str], dict[str, str]]:
    """The pairs whose results are there, and those whose files cannot be compared with them.

    Raises:
        InputError: results of something else are there.
    """
    done, failed = [], {}
    for name, files in pairs.items():
        folder = out / name
        if not (folder / METRICS).exists():
            continue
        try:
            task.check_done(files, folder)
            done.append(name)
        except OSError as error:  # of which MissingFileError is one
            failed[name] = _one_line(error)
    return done, failed


class _Progress:
    """What a run logs, and the pairs that failed.

    Args:
        total: pairs in the table.
        done: those that were done before.
        failed: those that failed before the first was registered, and why.
    """

    def __init__(self, total: int, done: Collection[str], failed: Mapping[str, str]):
        self.failed: dict[str, str] = {}
        self._total, self._skipped, self._registered = total, len(done), 0
        self._started = time.monotonic()
        for name, problem in failed.items():
            self.tell(name, _Outcome(problem))

    def tell(self, name: str, outcome: _Outcome | WorkerDied) -> None:
        """Logs how a pair ended."""
        if isinstance(outcome, WorkerDied):
            outcome = _Outcome(str(outcome))
        problem = outcome.problem
        for warning in outcome.warnings:
            warnings.warn(f"{name}: {warning}", stacklevel=2)
        if problem:
            self.failed[name] = problem
        elif outcome.elsewhere:
            self._skipped += 1
            _log.info("%s: skipped, another command is registering it", name)
            return
        else:
            self._registered += 1
        ended = self._skipped + self._registered + len(self.failed)
        seconds = time.monotonic() - self._started
        left = seconds / (self._registered + len(self.failed)) * (self._total - ended)
        _log.info(
            "%s: %s (%d of %d, %d failed, %s left)",
            name,
            f"failed: {problem}" if problem else "registered",
            ended,
            self._total,
            len(self.failed),
            _duration(left),
        )

    def close(self, summary: Path) -> None:
        """Logs the last lines."""
        ended = self._skipped + self._registered + len(self.failed)
        counts = [f"{self._registered} registered", f"{len(self.failed)} failed"]
        counts += [f"{self._skipped} skipped"] if self._skipped else []
        counts += [f"{self._total - ended} not begun or not ended"] if ended < self._total else []
        seconds = time.monotonic() - self._started
        _log.info("%s, %s", ", ".join(counts), _duration(seconds))
        if summary.exists():
            _log.info("summary %s", summary)


def _duration(seconds: float) -> str:
    """Such as ``"40 s"``, ``"12 min"`` or ``"3.5 h"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class _Outcome:
    """How a pair ended: what was wrong with it, if anything, and what was warned of.

    Or it was not begun, because another command is registering it (``elsewhere``).
    """

    problem: str | None
    warnings: tuple[str, ...] = ()
    elsewhere: bool = False


@dataclass(frozen=True)
class _Task:
    """What is done with every pair; called in another process."""

    model: str | RegistrationModel
    record: dict[str, Any]
    itk_transform: bool
    overwrite: bool
    settings: RegistrationSettings

    def __call__(self, pair: tuple[PairInputs, Path]) -> _Outcome:
        """Registers a pair; whatever is wrong with it, the others go on."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=UserWarning, module=r"tf_lungreg\b")
            try:
                problem = self._problem(*pair)
            except FolderInUseError:
                return _Outcome(None, elsewhere=True)
        return _Outcome(problem, tuple(dict.fromkeys(str(each.message) for each in told)))

    def asked(self) -> dict[str, Any]:
        """What commands have to agree on that write to one folder at the same time."""
        model = self.record["model_sha256"] or self.record["model"]
        return {
            **decisive(asdict(self.settings)),
            "model": model,
            "itk_transform": self.itk_transform,
        }

    def check_done(self, files: PairInputs, folder: Path) -> None:
        """Raises an InputError if the results in a folder are of something else than asked for."""
        asked = (self.record, self.settings, self.itk_transform)
        difference = find_difference(folder, files, *asked)
        if difference:
            raise InputError(
                f"{folder}: holds a result with {difference}; choose another folder, or "
                "--overwrite."
            )

    def _problem(self, files: PairInputs, folder: Path) -> str | None:
        problem = _caught(self._register, files, folder)
        if problem and not self.overwrite and (folder / METRICS).exists():
            # Another command that writes to the same folder was faster.
            return _caught(self.check_done, files, folder)
        return problem

    def _register(self, files: PairInputs, folder: Path) -> None:
        with locked(folder):
            self._register_alone(files, folder)

    def _register_alone(self, files: PairInputs, folder: Path) -> None:
        check_new_folder(folder, self.overwrite, FILES)
        check_no_input(folder, *files.given().values())
        model = self.model
        if isinstance(model, str) and model != NO_MODEL:
            model = _load_model(model)
        result = register(
            files.fixed,
            files.moving,
            model,
            fixed_mask=files.fixed_mask,
            moving_mask=files.moving_mask,
            landmarks=(files.fixed_landmarks, files.moving_landmarks),
            settings=self.settings,
        )
        save_result(result, folder, True, self.itk_transform, self.overwrite)


_load_model = functools.lru_cache(maxsize=1)(load_model)


def _caught(
    function: Callable[[PairInputs, Path], None], files: PairInputs, folder: Path
) -> str | None:
    """The error that the function raises, in one line.

    Raises:
        FolderInUseError: another command is registering the pair.
    """
    try:
        function(files, folder)
    except FolderInUseError:
        raise
    except USER_ERRORS as error:
        return _one_line(error)
    except Exception as error:  # a defect; the other pairs go on
        return f"{type(error).__name__}: {_one_line(error)}"
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
