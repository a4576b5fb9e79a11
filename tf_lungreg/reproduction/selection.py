"""Which patients and which pairs are evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tf_lungreg.cohorts.cohort import (
    Cohort,
    Scan,
    ScanPair,
    all_combinations,
    phase_pairs,
    split_patients,
)

SAMPLE = 13  # pairs of all combinations that a slow method sees, unless told otherwise


@dataclass(frozen=True)
class Selection:
    """The patients of an evaluation and their pairs (fixed, moving).

    Attributes:
        patients: the validation part of the cohort, or all of it.
        whole: whether it is all of it, for want of patients.
        inhale_exhale: one pair a patient.
        all_combinations: n² pairs for the n patients who have both phases.
    """

    patients: Cohort
    whole: bool
    inhale_exhale: list[ScanPair]
    all_combinations: list[ScanPair]


def select_pairs(cohort: Cohort, seed: int) -> Selection:
    """The validation patients of a training with the same seed, and their pairs.

    Args:
        cohort: all patients.
        seed: of the split.

    Raises:
        InputError: no patient has both phases.
    """
    train, validation = split_patients(cohort, seed=seed)
    whole = bool(set(train.participants) & set(validation.participants))
    return Selection(validation, whole, phase_pairs(validation), all_combinations(validation))


def pair_name(pair: ScanPair) -> str:
    """``<moving>_to_<fixed>``."""
    fixed, moving = pair
    return f"{moving.name}_to_{fixed.name}"


def sample_pairs(pairs: Sequence[ScanPair], count: int | None, seed: int) -> list[ScanPair]:
    """So many of the pairs at random, in the list's order; all of them without a count.

    A smaller sample is part of a larger one of the same seed, so that methods which see
    different numbers of pairs have the smaller sample in common.
    """
    if count is None:
        return list(pairs)
    order = np.random.default_rng(seed).permutation(len(pairs))
    return [pairs[i] for i in sorted(order[:count])]


def is_one_patient(fixed: Scan, moving: Scan) -> bool:
    """Whether both images show the same anatomy, so that landmarks of one name correspond.

    Args:
        fixed: one image.
        moving: the other.
    """
    return fixed.participant == moving.participant
