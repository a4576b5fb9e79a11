"""What a reader of the tables must know, in words: what is missing and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_lungreg.cohorts.cohort import Cohort, ScanPair, load_cohort, split_patients
from tf_lungreg.errors import USER_ERRORS
from tf_lungreg.reproduction import paper
from tf_lungreg.reproduction.methods import Method
from tf_lungreg.reproduction.pair_measures import has_landmarks, has_masks, has_truth
from tf_lungreg.reproduction.results import OBSERVERS
from tf_lungreg.reproduction.selection import Selection


def make_notes(
    selection: Selection,
    methods: Sequence[Method],
    combinations: Mapping[str, Sequence[ScanPair]],
    results: dict[str, Any],
) -> list[str]:
    """One sentence or two each, the most important first.

    Args:
        selection: the patients and their pairs.
        methods: all rows.
        combinations: method → the pairs of different patients that it was given.
        results: of :func:`tf_lungreg.reproduction.results.make_results`.
    """
    return [
        *_patients(selection, methods),
        *_missing(selection, results),
        *_combinations(selection, combinations),
        *_methods(methods),
        *_measures(results),
    ]


def trained_on(method: Method, patients: Cohort) -> list[str]:
    """The evaluated patients that a model was trained on, as far as its card tells.

    Args:
        method: a row; a baseline has no card.
        patients: those that are evaluated.
    """
    settings = (method.card or {}).get("settings", {})
    name, seed = settings.get("cohort"), settings.get("seed")
    if name is None or seed is None or Path(name).resolve() != patients.root.resolve():
        return []
    try:
        train, _ = split_patients(load_cohort(name), seed=seed)
    except USER_ERRORS:
        return []
    return [patient for patient in patients.participants if patient in train.participants]


def _patients(selection: Selection, methods: Sequence[Method]):
    names = ", ".join(selection.patients.participants)
    if selection.whole:
        yield f"The cohort has fewer than four patients: all of them are evaluated ({names})."
    else:
        yield f"Validation patients: {names}."
    for method in methods:
        seen = trained_on(method, selection.patients)
        if seen:
            yield (
                f"{method.name} was trained on {len(seen)} of these patients "
                f"({', '.join(seen)}): its figures are not those of unseen images."
            )


def _missing(selection: Selection, results: dict[str, Any]):
    pairs = selection.inhale_exhale
    masked, marked = sum(map(has_masks, pairs)), sum(map(has_landmarks, pairs))
    if not masked:
        yield "No pair has lung masks of both images: there is no Dice and no surface distance."
    elif masked < len(pairs):
        yield f"Only {masked} of {len(pairs)} pairs have both lung masks; Dice rests on these."
    if not marked:
        yield "No pair has landmarks of both images: there is no Table 2."
    elif marked < len(pairs):
        yield f"Only {marked} of {len(pairs)} pairs have landmarks; Table 2 rests on these."
    if marked and OBSERVERS not in results["table2"]:
        yield (
            "The landmark tables name one observer or none: there is no inter-observer row of "
            "this cohort."
        )
    if not any(has_truth(fixed) for fixed, _ in pairs):
        yield (
            "The true displacement of these images is not known: there is no error against the "
            "truth."
        )
    absent = [name for name in paper.TABLE_1 if name not in results["table1"]]
    if absent:
        yield f"Rows of the paper's Table 1 that were not asked for: {', '.join(absent)}."


def _combinations(selection: Selection, combinations: Mapping[str, Sequence[ScanPair]]):
    total = len(selection.all_combinations)
    sampled = {name: len(pairs) for name, pairs in combinations.items() if len(pairs) < total}
    if not any(combinations.values()):
        yield "All combinations were left out, as asked."
        return
    if sampled:
        counts = ", ".join(f"{name} {count}" for name, count in sampled.items())
        yield (
            f"Of the {total} combinations a random sample, the same for methods with the same "
            f"number of pairs: {counts}. Their means are of other pairs than those of the methods "
            "that saw all; the comparisons below use the pairs that both saw."
        )


def _methods(methods: Sequence[Method]):
    if any(method.name == "unregistered" for method in methods):
        yield "Unregistered: the centres of the two volumes laid upon each other, nothing else."
    yield (
        "Seconds: the median of the registration itself, without reading files and resampling "
        "them; of a model a pass after a first one that traced its graph."
    )


def _measures(results: dict[str, Any]):
    yield (
        "Mean ± sample standard deviation over pairs. Everything is measured on the fixed image's "
        "own grid, with the moving mask warped by the nearest voxel."
    )
    if results["comparisons"]:
        yield (
            "Comparisons: p is of the two-sided Wilcoxon signed-rank test, not adjusted for their "
            "number; with five pairs or fewer it cannot fall below 0.05. Among all combinations "
            "each image is in many pairs, which are therefore not independent: p and the interval "
            "look better there than they are."
        )
