"""The verdict on a registration."""

import pytest

from tf_lungreg.registration.quality import judge, quality_line

GOOD = {
    "ncc_before": 0.9,
    "ncc_after": 0.97,
    "folds_volume": 0.3,  # of no account where the lung's are known
    "folds_lung": 0.0,
    "overlap": 0.95,
    "saturated": 0.001,
    "dice_before": 0.9,
    "dice_after": 0.97,
}


@pytest.mark.parametrize(
    ("change", "quality", "word"),
    [
        ({}, "ok", ""),
        ({"ncc_after": 0.9}, "ok", ""),  # nothing to improve: the same image twice
        ({"ncc_after": 0.89}, "check", "correlation went from 0.900 to 0.890"),
        ({"ncc_after": 0.87}, "failed", "correlation"),
        ({"ncc_before": -0.82, "ncc_after": -0.99}, "ok", ""),  # contrasts that are inverse
        ({"ncc_before": -0.82, "ncc_after": -0.61}, "failed", "went from 0.820 to 0.610"),
        (
            {"ncc_before": 0.5, "ncc_after": 0.89},
            "check",
            "still differ: their correlation is 0.89",
        ),
        ({"folds_lung": 0.001}, "check", "0.1 % of the lung is folded"),
        ({"folds_lung": 0.02}, "failed", "2 % of the lung is folded"),
        ({"overlap": 0.79}, "check", "only 79 % of the fixed image"),
        ({"overlap": 0.49}, "failed", "only 49 %"),
        ({"saturated": 0.02}, "check", "2 % of the spatial gradients"),
        ({"dice_after": 0.89}, "check", "Dice went from 0.900 to 0.890"),
        ({"tre_before": 5.09, "tre_after": 0.01}, "ok", ""),
        ({"tre_before": 5.09, "tre_after": 8.76}, "check", "error went from 5.09 to 8.76 mm"),
        (
            {"landmarks": 25, "landmarks_outside": {"fixed": 0, "moving": 3}},
            "check",
            "3 of 25 landmarks lie outside the moving image",
        ),
    ],
)
def test_each_reason(change, quality, word):
    verdict = judge({**GOOD, **change})
    assert verdict["quality"] == quality
    assert quality_line(verdict).startswith(f"quality {quality}")
    assert word in quality_line(verdict)
    assert len(verdict["quality_reasons"]) == (1 if word else 0)


def test_the_worst_counts_and_all_reasons_are_told():
    verdict = judge({**GOOD, "overlap": 0.4, "saturated": 0.5, "folds_lung": 0.5})
    assert verdict["quality"] == "failed" and len(verdict["quality_reasons"]) == 3
    assert quality_line(verdict).count(";") == 2


def test_without_masks_the_whole_volume_counts():
    metrics = {k: v for k, v in GOOD.items() if "lung" not in k and "dice" not in k}
    assert judge(metrics)["quality"] == "failed"
    assert "30 % of the volume" in quality_line(judge(metrics))
