"""Whether a registration can be used: ok, check (look at it first), or failed, with the reason."""

from __future__ import annotations

from collections.abc import Mapping

SIMILARITY_LOSS = 0.02  # of the correlation: failed; any smaller loss: check
SIMILARITY = 0.9  # correlation below which: check; two images of one patient came to 0.96 and more
FOLDS = (0.001, 0.02)  # share of folded voxels from which on: check, failed
AGREEMENT = 0.5  # correlation and Dice before the registration below which: check
OVERLAP = (0.8, 0.5)  # share of the fixed volume within the moving image below which: check, failed
SATURATED = 0.02  # share of Φ near its limits from which on: check

_LEVELS = ("ok", "check", "failed")


def judge(metrics: Mapping) -> dict:
    """The verdict on a registration.

    Args:
        metrics: see :mod:`tf_lungreg.quality.measures`.

    Returns:
        ``quality``, one of ok, check, failed, and ``quality_reasons``, a list of texts, empty
        for ok.
    """
    findings = [
        *_similarity(metrics["ncc_before"], metrics["ncc_after"]),
        *_start(metrics),
        *_folds(metrics),
        *_overlap(metrics["overlap"]),
        *_saturation(metrics["saturated"]),
        *_dice(metrics),
        *_landmarks(metrics),
    ]
    level = max((level for level, _ in findings), default=0)
    return {"quality": _LEVELS[level], "quality_reasons": [reason for _, reason in findings]}


def quality_line(metrics: Mapping) -> str:
    """The verdict in one line."""
    reasons = "; ".join(metrics["quality_reasons"])
    return f"quality {metrics['quality']}" + (f": {reasons}" if reasons else "")


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


def _similarity(before, after):
    # Of whichever sign: where one contrast is the other's inverse, -1 is the best there is.
    before, after = abs(before), abs(after)
    if after < before:
        level = 2 if before - after > SIMILARITY_LOSS else 1
        first, last = _apart(before, after, 3)
        yield level, f"the images' correlation went from {first} to {last}"
    elif after < SIMILARITY:
        found = _apart(after, SIMILARITY, 3)[0]
        yield 1, f"the images still differ: their correlation is {found}"


def _start(metrics):
    """Two images of one patient agree roughly before anything is registered."""
    image, mask = abs(metrics["ncc_before"]), metrics.get("dice_before", 1)
    if image < AGREEMENT:
        found = _apart(image, AGREEMENT, 3)[0]
        yield 1, f"the images hardly agreed before: their correlation was {found}"
    if mask < AGREEMENT:
        found = _apart(mask, AGREEMENT, 3)[0]
        yield 1, f"the masks hardly agreed before: their Dice was {found}"
    if metrics.get("ncc_mirrored", 0) > metrics.get("ncc_shifted", 1):
        yield 1, "the images agree better with left and right exchanged in one; is one mirrored?"


def _folds(metrics):
    where = "lung" if "folds_lung" in metrics else "volume"
    share = metrics[f"folds_{where}"]
    level = sum(share >= limit for limit in FOLDS)
    if level:
        yield level, f"{100 * share:.2g} % of the {where} is folded"


def _overlap(share):
    level = sum(share < limit for limit in OVERLAP)
    if level:
        percent = _apart(100 * share, 100 * OVERLAP[level - 1], 0)[0]
        yield level, f"only {percent} % of the fixed image lies within the moving one"


def _saturation(share):
    if share >= SATURATED:
        yield 1, f"{100 * share:.2g} % of the spatial gradients are at their limits"


def _dice(metrics):
    before, after = metrics.get("dice_before", 0), metrics.get("dice_after", 1)
    if after < before:
        first, last = _apart(before, after, 3)
        yield 1, f"the masks' Dice went from {first} to {last}"


def _landmarks(metrics):
    before, after = metrics.get("tre_before", 0), metrics.get("tre_after", 0)
    if after > before:
        first, last = _apart(before, after, 2)
        yield 1, f"the mean landmark error went from {first} to {last} mm"
    for role, outside in metrics.get("landmarks_outside", {}).items():
        if outside:
            yield 1, f"{outside} of {metrics['landmarks']} landmarks lie outside the {role} image"
