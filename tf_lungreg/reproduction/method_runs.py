"""Every method on every pair of its own, each pair stored when it is done and skipped later."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tf_lungreg.cohorts.cohort import ScanPair
from tf_lungreg.files import read_json, write_json
from tf_lungreg.images.preparation import Window
from tf_lungreg.reproduction.figure_2 import write_figure
from tf_lungreg.reproduction.methods import Method
from tf_lungreg.reproduction.pair_measures import Case, measure_pair, read_case
from tf_lungreg.reproduction.results_folder import pair_file, picture_file
from tf_lungreg.reproduction.selection import pair_name

_log = logging.getLogger(__name__)

_KEPT = 4  # scans in memory


def run_methods(
    work: Sequence[tuple[Method, Sequence[ScanPair]]],
    out: Path,
    root: Path,
    picture: ScanPair,
    window: Window,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Registers and measures what is not in the folder yet.

    Args:
        work: each method with its pairs.
        out: the evaluation's folder.
        root: the cohort's folder.
        picture: the pair of which a picture is made.
        window: of the picture's intensities; see
            :func:`tf_lungreg.images.preparation.window_limits`.

    Returns:
        Method → pair → its row: the method's and the scans' names, ``seconds``, ``device``, and
        the measures of :func:`~tf_lungreg.reproduction.pair_measures.measure_pair`.

    Raises:
        MissingFileError, InputError: a file cannot be used, or a method cannot register it.
    """
    jobs = [(method, pair) for method, pairs in work for pair in pairs]
    waiting = [job for job in jobs if not _is_done(out, *job, picture)]
    if len(waiting) < len(jobs):
        done = len(jobs) - len(waiting)
        _log.info("%s: %d of %d registrations are there already", out, done, len(jobs))
    read = functools.lru_cache(_KEPT)(functools.partial(read_case, root=root))
    with tqdm(waiting, unit="pair", disable=None) as bar:
        for method, pair in bar:
            bar.set_description(method.name)
            fixed, moving = (read(scan) for scan in pair)
            drawn = window if pair == picture else None
            _run_pair(out, method, fixed, moving, drawn)
    rows: dict[str, dict[str, Any]] = {method.name: {} for method, _ in work}
    for method, pair in jobs:
        name = pair_name(pair)
        rows[method.name][name] = _read_row(pair_file(out, method.name, name))
    return rows


def _is_done(out: Path, method: Method, pair: ScanPair, picture: ScanPair) -> bool:
    name = pair_name(pair)
    drawn = pair != picture or picture_file(out, method.name, name).exists()
    return drawn and _read_row(pair_file(out, method.name, name)) is not None


def _read_row(path: Path) -> dict[str, Any] | None:
    """A pair's row; None where there is no such file, or a damaged one: it is made again."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def _run_pair(
    out: Path, method: Method, fixed: Case, moving: Case, picture_window: Window | None
) -> None:
    name = pair_name((fixed.scan, moving.scan))
    field, seconds = method.register(fixed.image, moving.image)
    row = {
        "method": method.name,
        "fixed": fixed.scan.name,
        "moving": moving.scan.name,
        "seconds": seconds,
        "device": method.device,
        **measure_pair(field, fixed, moving),
    }
    if picture_window is not None:
        path = picture_file(out, method.name, name)
        write_figure(path, f"{method.name}: {name}", field, fixed, moving, picture_window)
    write_json(pair_file(out, method.name, name), row)
