"""The verdict on a registration."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tf_lungreg.cohorts.cohort import load_cohort, phase_pairs
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import to_network
from tf_lungreg.phantom import write_phantom_cohort
from tf_lungreg.quality.measures import Measures, measure_mirroring
from tf_lungreg.quality.verdict import judge

CT = Path(__file__).parents[1] / "ct"

GOOD = Measures(
    mse_before=0.01,
    mse_after=0.001,
    ncc_before=0.9,
    ncc_after=0.97,
    ncc_shifted=0.9,
    ncc_mirrored=0.8,
    folds_volume=0.3,  # of no account where the lung's are known
    folds_lung=0.0,
    jacobian_region="lung",
    jacobian_quantiles={},
    overlap=0.95,
    saturated=0.001,
    dice_before=0.9,
    dice_after=0.97,
)


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
        ({"overlap": 0.4999}, "failed", "only 49.99 %"),
        ({"overlap": 0.7951}, "check", "only 79.5 %"),
        ({"ncc_after": 0.89999}, "check", "went from 0.90000 to 0.89999"),
        ({"ncc_before": 0.5, "ncc_after": 0.89999}, "check", "correlation is 0.89999"),
        ({"dice_after": 0.8999}, "check", "Dice went from 0.9000 to 0.8999"),
        ({"tre_before": 5.091, "tre_after": 5.094}, "check", "went from 5.091 to 5.094 mm"),
        ({"saturated": 0.02}, "check", "2 % of the spatial gradients"),
        ({"dice_after": 0.89}, "check", "Dice went from 0.900 to 0.890"),
        ({"ncc_before": 0.49}, "check", "images hardly agreed before: their correlation was 0.490"),
        ({"ncc_before": -0.5}, "ok", ""),
        ({"dice_before": 0.3}, "check", "masks hardly agreed before: their Dice was 0.300"),
        ({"ncc_shifted": 0.9, "ncc_mirrored": 0.8}, "ok", ""),
        ({"ncc_shifted": 0.8, "ncc_mirrored": 0.9}, "check", "left and right exchanged"),
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
    verdict = judge(replace(GOOD, **change))
    assert verdict.verdict == quality
    assert str(verdict).startswith(f"quality {quality}")
    assert word in str(verdict)
    assert len(verdict.reasons) == (1 if word else 0)


def test_the_worst_counts_and_all_reasons_are_told():
    verdict = judge(replace(GOOD, overlap=0.4, saturated=0.5, folds_lung=0.5))
    assert verdict.verdict == "failed" and len(verdict.reasons) == 3
    assert str(verdict).count(";") == 2


def test_without_masks_the_whole_volume_counts():
    metrics = replace(GOOD, folds_lung=None, dice_before=None, dice_after=None)
    assert judge(metrics).verdict == "failed"
    assert "30 % of the volume" in str(judge(metrics))


def seen(folder):
    """What the network sees of the pairs of a cohort, with the patients off the centre."""
    for pair in phase_pairs(load_cohort(folder)):
        images = [Image.read(scan.image, AXIS_CODES) for scan in pair]
        frames = network_frame(*(image.frame for image in images), (5, 5, 5), margin=4)
        fixed, moving = map(to_network, images, frames)
        yield fixed, np.roll(moving, 3, axis=2)


def test_a_mirrored_image_is_found_and_no_other(tmp_path):
    """Two real patients and four phantoms."""
    folder, options = tmp_path / "phantom", {"seed": 5, "progress": False}
    phantoms = write_phantom_cohort(folder, subjects=4, shape=(24, 64, 64), **options)
    pairs = [*seen(CT), *seen(phantoms)]
    assert len(pairs) == 6
    for fixed, moving in pairs:
        for left, right in ((fixed, moving), (fixed, 1 - moving)):  # an inverse contrast as well
            as_it_is, mirrored = (measure_mirroring(left, x) for x in (right, right[:, :, ::-1]))
            assert judge(replace(GOOD, **as_it_is)).verdict == "ok"
            assert "is one mirrored?" in str(judge(replace(GOOD, **mirrored)))


def test_constant_images_are_not_called_mirrored():
    flat, other = np.zeros((3, 4, 5)), np.ones((3, 4, 5))
    assert judge(replace(GOOD, **measure_mirroring(flat, other))).verdict == "ok"
