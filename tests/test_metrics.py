import numpy as np
import pytest
import SimpleITK as sitk

from tf_lungreg.metrics import dice, folded_fraction, landmark_errors


def test_dice_matches_simpleitk(rng):
    for share in (0.1, 0.5, 0.9):
        a, b = (rng.uniform(size=(2, 9, 11, 7)) < share).astype(np.uint8)
        measure = sitk.LabelOverlapMeasuresImageFilter()
        measure.Execute(sitk.GetImageFromArray(a), sitk.GetImageFromArray(b))
        assert dice(a, b) == pytest.approx(measure.GetDiceCoefficient(1), abs=1e-9)


def test_dice_of_the_empty_and_the_disjoint():
    nothing, corner = np.zeros((3, 3, 3)), np.zeros((3, 3, 3))
    corner[0, 0, 0] = 1
    assert dice(nothing, nothing) == 1 and dice(nothing, corner) == 0
    assert dice(corner, corner) == 1


def test_folded_fraction_counts_what_is_not_positive():
    determinant = np.array([1.0, 0.0, -1.0, 2.0])
    assert folded_fraction(determinant) == 0.5
    assert folded_fraction(determinant, np.array([1, 1, 0, 1])) == pytest.approx(1 / 3)


def test_landmark_errors_are_absolute_differences_and_their_length():
    found = landmark_errors(np.array([[1.0, 2, 3]]), np.array([[0.0, 4, 1]]))
    np.testing.assert_allclose(found, [[1, 2, 2, 3]])
