"""Many pairs from a table: one folder each, failures reported, what is done skipped."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent import futures
from pathlib import Path

import tensorflow as tf
from tqdm import tqdm

from tf_lungreg.data.io import stem
from tf_lungreg.data.tables import NOT_AVAILABLE, read_table, write_table
from tf_lungreg.errors import USER_ERRORS, InputError
from tf_lungreg.export import find_model, load_model
from tf_lungreg.registration.default_model import default_model
from tf_lungreg.registration.inputs import PairFiles
from tf_lungreg.registration.network import NO_MODEL
from tf_lungreg.registration.pipeline import check_refine, register
from tf_lungreg.registration.slabs import check_memory

SUMMARY = "summary.csv"

_LONGEST_NAME = 200  # bytes: 255 is the limit of most file systems, a temporary name is longer

_COLUMNS = tuple(PairFiles.__dataclass_fields__)
_SUMMARISED = ("quality", "dice_before", "dice_after", "tre_before", "tre_after", "folds_lung")


def read_pairs(path: str | os.PathLike) -> dict[str, PairFiles]:
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
        if name in pairs or not _is_folder_name(name):
            raise InputError(
                f"{path}: the pair's name {name!r} appears twice or is no folder's name; "
                "give each pair one of its own in the column 'name'."
            )
        pairs[name] = PairFiles(**{c: str(path.parent / cell) for c, cell in cells.items()})
    return pairs


def _is_folder_name(name: str) -> bool:
    """Whether results can be in a folder of that name, beside the summary."""
    marks = any(mark in name for mark in "/\\") or name.startswith(".")
    return not marks and name != SUMMARY and len(os.fsencode(name)) <= _LONGEST_NAME


def register_pairs(
    pairs: Mapping[str, PairFiles],
    out: str | os.PathLike,
    model: str | os.PathLike | None = None,
    jobs: int = 1,
    overwrite: bool = False,
    itk_transform: bool = False,
    **settings,
) -> list[str]:
    """Registers each pair into ``out/<name>`` and writes ``out/summary.csv``.

    Args:
        pairs: of :func:`read_pairs`.
        out: the folder of all results.
        model: exported model, by default the one that is found, or one on a server.
        jobs: how many pairs at a time, each in a process of its own when more than one.
        overwrite: register again what is done; otherwise it is skipped.
        itk_transform: with ``transform.h5``.
        **settings: ``window``, ``init``, ``mask``, ``refine``, ``memory`` and ``nifti_frame`` of
            :func:`~tf_lungreg.registration.pipeline.register`.

    Returns:
        The names of the pairs that failed.

    Raises:
        MissingFileError, InputError: there is no model, ``jobs`` is less than 1, or ``refine`` or
            ``memory`` is no such number.
    """
    if jobs < 1:
        raise InputError(f"jobs: 1 or more is needed, not {jobs}.")
    out = Path(out)
    check_refine(settings.get("refine", 0))
    check_memory(settings.get("memory"))
    if settings.get("refine") and str(model) == NO_MODEL:
        model = NO_MODEL
    elif model is None or isinstance(model, (str, os.PathLike)):
        model = str(find_model(default_model() if model is None else model))
    done = {name for name in pairs if (out / name / "metrics.json").exists() and not overwrite}
    waiting = [name for name in pairs if name not in done]
    if done:
        print(f"{out}: {len(done)} of {len(pairs)} pairs are done and skipped")
    work = functools.partial(
        _register_one,
        model=model,
        itk_transform=itk_transform,
        overwrite=overwrite,
        settings=settings,
    )
    failed = []
    with tqdm(total=len(waiting), desc="registering", unit="pair", disable=None) as bar:
        for name, problem in _results(work, {n: pairs[n] for n in waiting}, out, jobs):
            if problem:
                failed.append(name)
                bar.write(f"{name}: failed: {problem}")
            bar.update()
    _write_summary(out, [name for name in pairs if name not in failed])
    return failed


def _results(work, pairs, out: Path, jobs: int) -> Iterator[tuple[str, str | None]]:
    """Name and problem of each pair as it ends."""
    if jobs == 1:
        for name, files in pairs.items():
            yield name, work(files, out / name)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    # TensorFlow does not survive a fork.
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(jobs, context, _limit_threads, (threads,)) as pool:
        running = {pool.submit(work, files, out / name): name for name, files in pairs.items()}
        for future in futures.as_completed(running):
            crash = future.exception()
            yield running[future], str(crash) if crash else future.result()


def _limit_threads(threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


_load_model = functools.lru_cache(maxsize=1)(load_model)


def _register_one(
    files: PairFiles, folder: Path, model: str, itk_transform: bool, overwrite: bool, settings: dict
) -> str | None:
    """Registers one pair; gives what was wrong with it."""
    try:
        result = register(
            files.fixed,
            files.moving,
            _load_model(model) if isinstance(model, str) and model != NO_MODEL else model,
            fixed_mask=files.fixed_mask,
            moving_mask=files.moving_mask,
            landmarks=(files.fixed_landmarks, files.moving_landmarks),
            **settings,
        )
        result.save(folder, report=True, itk_transform=itk_transform, overwrite=overwrite)
    except USER_ERRORS as error:
        return " ".join(str(error).split())
    except Exception as error:  # whatever it is, the other pairs go on
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return None


def _write_summary(out: Path, names: list[str]) -> None:
    rows = []
    for name in names:
        metrics = json.loads((out / name / "metrics.json").read_text(encoding="utf-8"))
        row = {"name": name, **{key: metrics.get(key) for key in _SUMMARISED}}
        rows.append({**row, "reasons": "; ".join(metrics["quality_reasons"])})
    if rows:
        write_table(out / SUMMARY, rows, overwrite=True)
