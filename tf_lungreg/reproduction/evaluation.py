"""The whole evaluation: cohort, pairs, methods, measures, tables, pictures."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_lungreg.cohorts.cohort import ScanPair, load_cohort
from tf_lungreg.errors import InputError
from tf_lungreg.files import check_folder, locked, replacing
from tf_lungreg.images.preparation import Window
from tf_lungreg.refinement.optimisation import Steps
from tf_lungreg.reproduction.method_runs import run_methods
from tf_lungreg.reproduction.methods import Method, make_methods
from tf_lungreg.reproduction.notes import make_notes
from tf_lungreg.reproduction.pair_measures import has_landmarks, has_masks
from tf_lungreg.reproduction.results import make_results
from tf_lungreg.reproduction.results_folder import cohort_record, open_folder, picture_file
from tf_lungreg.reproduction.selection import (
    SAMPLE,
    Selection,
    pair_name,
    sample_pairs,
    select_pairs,
)
from tf_lungreg.reproduction.table_files import write_results


def evaluate(
    cohort: str | os.PathLike[str],
    methods: Sequence[str],
    models: Mapping[str, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    seed: int = 0,
    combinations: int | str | None = None,
    spacing: Sequence[float] | None = None,
    window: Window = "auto",
    refine: Mapping[str, Steps] | None = None,
    figure: str | None = None,
    overwrite: bool = False,
    command: str = "",
) -> dict[str, Any]:
    """Evaluates methods on the validation patients of a cohort, or goes on where it stopped.

    Args:
        cohort: the folder.
        methods: see :func:`~tf_lungreg.reproduction.methods.make_methods`.
        models: row → exported model.
        out: folder of the results. One of an evaluation with the same settings is taken up: what
            is there is not registered again, and further methods or pairs are added.
        seed: of the split into training and validation, of samples, and of the bootstrap.
        combinations: how many of all combinations each method sees: ``"all"``, a number, 0 for
            none; by default all, and ``SAMPLE`` for slow methods.
        spacing: voxel size in mm along D, H, W at which the baselines register.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
        refine: row of a model → steps of refinement on each pair.
        figure: the pair that is drawn, ``<moving>_to_<fixed>``; by default the first.
        overwrite: begin anew.
        command: recorded in the results.

    Returns:
        What was written to ``results.json``, without the notes.

    Raises:
        MissingFileError, InputError: an argument or a file cannot be used, the cohort has neither
            masks nor landmarks, or the folder holds something else.
    """
    out = Path(out)
    check_folder(out)
    listed = load_cohort(cohort)
    selection = select_pairs(listed, seed)
    _check_measurable(selection)
    drawn = _find_pair(selection, figure)
    table_rows = make_methods(methods, models, spacing, window, refine)
    settings = {
        **cohort_record(listed),
        "seed": seed,
        "window": window if isinstance(window, str) else list(window),
    }
    chosen = {m.name: _combinations(selection, m, combinations, seed) for m in table_rows}
    work = [
        (m, list(dict.fromkeys([drawn, *selection.inhale_exhale, *chosen[m.name]])))
        for m in table_rows
    ]
    with locked(out):
        identities = {method.name: method.identity for method in table_rows}
        open_folder(out, settings, identities, overwrite)
        rows = run_methods(work, out, listed.root, drawn, window)
        results = make_results(rows, selection, chosen, _reference(table_rows), seed, command)
        notes = make_notes(selection, table_rows, chosen, results)
        pictures = _publish_pictures(out, table_rows, pair_name(drawn))
        write_results(out, results, rows, notes, pictures)
    return results


def _check_measurable(selection: Selection) -> None:
    pairs = selection.inhale_exhale
    if not any(map(has_masks, pairs)) and not any(map(has_landmarks, pairs)):
        raise InputError(
            f"{selection.patients.root / 'images.tsv'}: no evaluated pair has masks or landmarks "
            "of both images; one of the two is needed to measure a registration."
        )


def _find_pair(selection: Selection, name: str | None) -> ScanPair:
    """The pair to draw, the first unless another is named."""
    pairs = [*selection.inhale_exhale, *selection.all_combinations]
    named = {pair_name(pair): pair for pair in pairs}
    if name is not None and name not in named:
        raise InputError(
            f"--figure: no pair {name!r} among those evaluated; for example {next(iter(named))!r}."
        )
    return pairs[0] if name is None else named[name]


def _combinations(
    selection: Selection, method: Method, asked: int | str | None, seed: int
) -> list[ScanPair]:
    if isinstance(asked, str):
        if asked != "all":
            raise InputError(f"combinations: 'all' or a number is needed, not {asked!r}.")
        count = None
    elif asked is None:
        count = SAMPLE if method.slow else None
    else:
        count = asked
    return sample_pairs(selection.all_combinations, count, seed)


def _reference(methods: Sequence[Method]) -> str | None:
    """``proposed``, or else the first model: what the others are compared with."""
    models = [method.name for method in methods if method.card is not None]
    return "proposed" if "proposed" in models else next(iter(models), None)


def _publish_pictures(out: Path, methods: Sequence[Method], pair: str) -> dict[str, str]:
    pictures = {method.name: f"figure2_{method.name}.png" for method in methods}
    for name, file in pictures.items():
        with replacing(out / file) as temporary:
            shutil.copyfile(picture_file(out, name, pair), temporary)
    return pictures
