import numpy as np
import pytest
from scipy.interpolate import BSpline

from tf_lungreg import losses


def mi_by_histogram(fixed, warped, bins):
    """One pair: the windows at every bin, from scipy's B-splines, and the sum of the definition."""
    weights = []
    for values, degree in ((fixed, 1), (warped, 3)):
        position = 1 + (bins - 3) * (values - values.min()) / np.ptp(values)
        knots = np.arange(degree + 2) - (degree + 1) / 2
        spline = BSpline.basis_element(knots, extrapolate=False)
        weights.append(np.nan_to_num(spline(position.reshape(-1, 1) - np.arange(bins))))
    joint = weights[0].T @ weights[1] / fixed.size
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
    used = joint > 0
    return -np.sum(joint[used] * np.log(joint[used] / independent[used]))


@pytest.mark.parametrize("bins", [32, 8])
def test_it_is_that_of_the_whole_histogram(textured, bins):
    fixed, warped = textured(1, (2, 11, 12, 13)), textured(2, (2, 11, 12, 13))
    warped = np.abs(fixed - 0.5) + 0.1 * warped  # dependent, and not linearly
    expected = [mi_by_histogram(f, w, bins) for f, w in zip(fixed, warped)]
    np.testing.assert_allclose(losses.mi(fixed, warped, bins), expected, rtol=1e-9)
    single = losses.mi(fixed.astype(np.float32), warped.astype(np.float32), bins)
    np.testing.assert_allclose(single, expected, rtol=1e-4)
    assert -np.log(bins) < min(expected) and max(expected) < -0.1


def test_thirty_two_bins_are_the_default(textured):
    fixed, warped = textured(3, (1, 9, 8, 10)), textured(4, (1, 9, 8, 10))
    np.testing.assert_array_equal(losses.mi(fixed, warped), losses.mi(fixed, warped, 32))
    assert losses.mi(fixed, warped)[0] != losses.mi(fixed, warped, 31)[0]


def test_inverted_contrast_is_as_similar(textured):
    fixed = textured(5, (1, 12, 11, 10))
    same, inverted = losses.mi(fixed, fixed), losses.mi(fixed, 1 - fixed)
    np.testing.assert_allclose(inverted, same, rtol=1e-9)
    assert same[0] < losses.mi(fixed, textured(6, (1, 12, 11, 10)))[0] - 0.5
