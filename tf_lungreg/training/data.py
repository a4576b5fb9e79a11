"""The scans and pairs that a training reads from a cohort."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

from tf_lungreg.cohorts.cache import PreparedPair, PreparedScan, prepare_scans
from tf_lungreg.cohorts.cohort import (
    Cohort,
    Scan,
    load_cohort,
    phase_pairs,
    split_patients,
)
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.training.settings import TrainingSettings, filled


@dataclass(frozen=True)
class TrainingData:
    """The scans of a training, on the network's grid.

    Attributes:
        train: images to learn from.
        pairs: numbers of the (moving, fixed) images in ``train`` that pairs are drawn from.
        validation: pairs (fixed, moving) to watch and to evaluate.
        shared: whether validation is on what was trained on.
    """

    train: list[PreparedScan]
    pairs: list[tuple[int, int]]
    validation: list[PreparedPair]
    shared: bool


def fit_shape(config: TrainingSettings) -> TrainingSettings:
    """The settings with a grid that is no larger than the largest image of the cohort.

    Beyond an image there is only its continued border, which takes time and teaches nothing.

    Args:
        config: resolved settings; their shape is the most that is taken.

    Raises:
        InputError, MissingFileError: the cohort cannot be used.
    """
    frames = [Image.read(scan.image, AXIS_CODES).frame for scan in load_cohort(config.cohort).scans]
    extents = [
        network_frame(frame, frame, filled(config.spacing), margin=filled(config.margin))[0].shape
        for frame in frames
    ]
    needed = (max(sizes) for sizes in zip(*extents))
    return replace(config, shape=tuple(map(min, zip(filled(config.shape), needed))))


def load_training_data(config: TrainingSettings, cache: Path | None) -> TrainingData:
    """Splits the cohort by patient and prepares every scan that is used.

    Args:
        config: resolved settings.
        cache: folder for prepared scans.

    Raises:
        InputError, MissingFileError: the cohort cannot be used.
    """
    cohort = load_cohort(config.cohort)
    train, validation = split_patients(cohort, seed=config.seed)
    if len(validation.scans) < 2:  # patients have one image each, and a pair needs two
        train, validation = split_patients(cohort, validation=2, seed=config.seed)
    pairs = _validation_pairs(validation)
    needed = {scan.name: scan for scan in [*train.scans, *(s for pair in pairs for s in pair)]}
    spacing = filled(config.spacing)
    prepared = prepare_scans(needed.values(), spacing, config.shape, config.window, cache)
    by_name = dict(zip(needed, prepared))
    shared = bool(set(train.participants) & set(validation.participants))
    return TrainingData(
        train=[by_name[scan.name] for scan in train.scans],
        pairs=_training_pairs(train, config.pairs, few=shared),
        validation=[(by_name[fixed.name], by_name[moving.name]) for fixed, moving in pairs],
        shared=shared,
    )


def _training_pairs(cohort: Cohort, which: str, few: bool) -> list[tuple[int, int]]:
    """Ordered pairs of two different images: any two, or those within a patient.

    ``"auto"`` stays within patients if they are few and have two images: the pairs between them
    would be most of all pairs, and the least alike.
    """
    every = list(itertools.permutations(range(len(cohort.scans)), 2))
    patients = [scan.participant for scan in cohort.scans]
    same = [(moving, fixed) for moving, fixed in every if patients[moving] == patients[fixed]]
    if which == "patient" and not same:
        raise InputError(
            "pairs: within patients there are none, every one in training has a single image; "
            "all or auto is needed."
        )
    return same if which == "patient" or (which == "auto" and few and same) else every


def _validation_pairs(cohort: Cohort) -> list[tuple[Scan, Scan]]:
    """Each patient's two phases; where patients have one image each, neighbours in the table."""
    if len({scan.participant for scan in cohort.scans}) == len(cohort.scans):
        return list(zip(cohort.scans, cohort.scans[1:]))
    return phase_pairs(cohort)
