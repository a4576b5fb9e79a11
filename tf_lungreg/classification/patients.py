"""Who is classified: the patients of both parts of a cohort, their pairs and their diagnoses."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.classification.fitting import check_classes
from tf_lungreg.cohorts.cohort import Cohort, ScanPair, load_cohort, phase_pairs, split_patients
from tf_lungreg.errors import InputError
from tf_lungreg.tables.table import NOT_AVAILABLE

ILL = "ssc"
PREDICTIONS = "predictions.csv"  # the table with an answer a row


@dataclass(frozen=True, eq=False)
class Patients:
    """The training and the test patients who have both phases.

    Attributes:
        root: the cohort's folder.
        train: their pairs (fixed, moving), sorted by participant.
        test: the same of the others.
        labels: participant → 1 for ill, 0 for healthy.
    """

    root: Path
    train: list[ScanPair]
    test: list[ScanPair]
    labels: dict[str, int]

    @property
    def pairs(self) -> list[ScanPair]:
        """Those of the training, then those of the test."""
        return [*self.train, *self.test]

    def labels_of(self, pairs: list[ScanPair]) -> Array:
        """1 for ill, 0 for healthy: (N,)."""
        return np.array([self.labels[fixed.participant] for fixed, _ in pairs])


def both_phases(listed: Cohort) -> list[ScanPair]:
    """The pairs (inhale, exhale); warns of participants who lack one.

    Args:
        listed: a cohort.
    """
    pairs = phase_pairs(listed)
    left = sorted(set(listed.participants) - {fixed.participant for fixed, _ in pairs})
    if left:
        warnings.warn(
            f"{listed.root / 'images.tsv'}: left out, as inhale or exhale is missing: "
            f"{', '.join(left)}.",
            stacklevel=2,
        )
    return pairs


def load_patients(cohort: str | os.PathLike[str], seed: int, folds: int) -> Patients:
    """Splits a cohort by patient, 28 and 13 of the paper's 41, and takes inhale and exhale.

    Args:
        cohort: the folder.
        seed: of the split, that of a training of the registration with the same seed.
        folds: that the training patients must suffice for.

    Raises:
        MissingFileError: a file does not exist.
        InputError: the tables cannot be used, a patient has no diagnosis, or there are too few
            patients of a class for the folds.
    """
    listed = load_cohort(cohort)
    parts = split_patients(listed, seed=seed)
    labels = {}
    for fixed, _ in both_phases(listed):
        diagnosis = listed.participants[fixed.participant]["diagnosis"]
        if diagnosis == NOT_AVAILABLE:
            raise InputError(
                f"{listed.root / 'participants.tsv'}: no diagnosis of {fixed.participant!r}; "
                f"healthy or {ILL} is needed of everyone with two images."
            )
        labels[fixed.participant] = int(diagnosis == ILL)
    if len(set(labels.values())) < 2:
        raise InputError(
            f"{listed.root / 'participants.tsv'}: all patients have one diagnosis, "
            f"{ILL if any(labels.values()) else 'healthy'}; healthy and {ILL} are both needed."
        )
    train, test = (sorted(phase_pairs(part), key=lambda p: p[0].participant) for part in parts)
    patients = Patients(listed.root, train, test, labels)
    check_classes(patients.labels_of(train), folds)
    return patients
