"""Whether a registration can be used: ok, check (look at it first), or failed, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tf_lungreg.quality.measures import Measures

SIMILARITY_LOSS = 0.02  # of the correlation: failed; any smaller loss: check
SIMILARITY = 0.9  # correlation below which: check; two images of one patient came to 0.96 and more
FOLDS = (0.001, 0.02)  # share of folded voxels from which on: check, failed
AGREEMENT = 0.5  # correlation and Dice before the registration below which: check
OVERLAP = (0.8, 0.5)  # share of the fixed volume within the moving image below which: check, failed
SATURATED = 0.02  # share of Φ near its limits from which on: check

_LEVELS = ("ok", "check", "failed")


@dataclass(frozen=True)
class Quality:
    """Whether a registration can be used.

    Attributes:
        verdict: ``"ok"``, ``"check"`` (look at it first) or ``"failed"``.
        reasons: why; empty for ok.
    """

    verdict: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        """The verdict in one line."""
        return f"quality {self.verdict}" + (f": {'; '.join(self.reasons)}" if self.reasons else "")


def judge(measures: Measures) -> Quality:
    """The verdict on a registration."""
    findings = [
        *_similarity(measures.ncc_before, measures.ncc_after),
        *_start(measures),
        *_folds(measures),
        *_overlap(measures.overlap),
        *_saturation(measures.saturated),
        *_dice(measures),
        *_landmarks(measures),
    ]
    level = max((level for level, _ in findings), default=0)
    return Quality(_LEVELS[level], tuple(reason for _, reason in findings))


def _apart(value: float, other: float, digits: int) -> tuple[str, str]:
    """Two numbers with as many decimals as tell them apart: 49.99 is not below "50".

    Args:
        value: a number.
        other: what it was compared with.
        digits: decimals that are shown at least.
    """
    while digits < 9 and f"{value:.{digits}f}" == f"{other:.{digits}f}":
        digits += 1
    return f"{value:.{digits}f}", f"{other:.{digits}f}"


def _similarity(before: float, after: float) -> Iterator[tuple[int, str]]:
    # Of whichever sign: where one contrast is the other's inverse, -1 is the best there is.
    before, after = abs(before), abs(after)
    if after < before:
        level = 2 if before - after > SIMILARITY_LOSS else 1
        first, last = _apart(before, after, 3)
        yield level, f"the images' correlation went from {first} to {last}"
    elif after < SIMILARITY:
        found = _apart(after, SIMILARITY, 3)[0]
        yield 1, f"the images still differ: their correlation is {found}"


def _start(measures: Measures) -> Iterator[tuple[int, str]]:
    """Two images of one patient agree roughly before anything is registered."""
    image, mask = abs(measures.ncc_before), measures.dice_before
    if image < AGREEMENT:
        shown = _apart(image, AGREEMENT, 3)[0]
        yield 1, f"the images hardly agreed before: their correlation was {shown}"
    if mask is not None and mask < AGREEMENT:
        shown = _apart(mask, AGREEMENT, 3)[0]
        yield 1, f"the masks hardly agreed before: their Dice was {shown}"
    if measures.ncc_mirrored > measures.ncc_shifted:
        yield 1, "the images agree better with left and right exchanged in one; is one mirrored?"


def _folds(measures: Measures) -> Iterator[tuple[int, str]]:
    where, share = "lung", measures.folds_lung
    if share is None:
        where, share = "volume", measures.folds_volume
    level = sum(share >= limit for limit in FOLDS)
    if level:
        yield level, f"{100 * share:.2g} % of the {where} is folded"


def _overlap(share: float) -> Iterator[tuple[int, str]]:
    level = sum(share < limit for limit in OVERLAP)
    if level:
        percent = _apart(100 * share, 100 * OVERLAP[level - 1], 0)[0]
        yield level, f"only {percent} % of the fixed image lies within the moving one"


def _saturation(share: float) -> Iterator[tuple[int, str]]:
    if share >= SATURATED:
        yield 1, f"{100 * share:.2g} % of the spatial gradients are at their limits"


def _dice(measures: Measures) -> Iterator[tuple[int, str]]:
    before, after = measures.dice_before, measures.dice_after
    if before is not None and after is not None and after < before:
        first, last = _apart(before, after, 3)
        yield 1, f"the masks' Dice went from {first} to {last}"


def _landmarks(measures: Measures) -> Iterator[tuple[int, str]]:
    before, after = measures.tre_before, measures.tre_after
    if before is not None and after is not None and after > before:
        first, last = _apart(before, after, 2)
        yield 1, f"the mean landmark error went from {first} to {last} mm"
    for role, outside in (measures.landmarks_outside or {}).items():
        if outside:
            yield 1, f"{outside} of {measures.landmarks} landmarks lie outside the {role} image"
