import math
import statistics

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from tf_lungreg.quality.scores import (
    dice,
    folded_fraction,
    hausdorff_distance,
    landmark_errors,
    log_jacobian_deviation,
    mean_surface_distance,
    surface_distances,
)


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


SPACING = (3.1, 1.7, 2.3)


def some_masks(rng, shape=(14, 17, 12)):
    """Two blobs that overlap, touch the volume's edge and have ragged surfaces."""
    noise = ndimage.gaussian_filter(rng.normal(size=(2, *shape)), (0, 1.5, 1.5, 1.5))
    first = noise[0] > np.quantile(noise[0], 0.7)
    return first, (noise[0] + 0.6 * noise[1]) > np.quantile(noise[0], 0.75)


def itk_surface(mask):
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(SPACING[::-1])  # ITK's axes are W, H, D
    return sitk.BinaryContour(image)  # ignores what lies beyond the volume


def brute_force(first, second):
    """Distance from each surface voxel of the first mask to the nearest of the second's."""

    def points(mask):
        padded = np.pad(mask, 1)
        found = []
        for p in np.argwhere(padded):
            steps = [s * np.eye(3, dtype=int)[a] for a in range(3) for s in (-1, 1)]
            if not all(padded[tuple(p + step)] for step in steps):
                found.append((p - 1) * SPACING)
        return np.array(found)

    a, b = points(first), points(second)
    return np.array([min(np.sqrt(((p - b) ** 2).sum(axis=1))) for p in a])


def test_surface_distances_match_simpleitk(rng):
    for _ in range(3):
        # One voxel of margin: SimpleITK's contour has no voxels for the volume's own edge.
        first, second = (np.pad(m, 1) for m in some_masks(rng))
        measure = sitk.HausdorffDistanceImageFilter()
        measure.Execute(itk_surface(first), itk_surface(second))
        distances = surface_distances(first, second, SPACING)
        assert hausdorff_distance(distances, 100) == pytest.approx(
            measure.GetHausdorffDistance(), abs=1e-6
        )
        assert mean_surface_distance(distances) == pytest.approx(
            measure.GetAverageHausdorffDistance(), abs=1e-6
        )


def test_surface_distances_match_brute_force_also_at_the_edge(rng):
    first, second = some_masks(rng)
    assert first[0].any() or first[-1].any()
    expected = brute_force(first, second), brute_force(second, first)
    found = surface_distances(first, second, SPACING)
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, atol=1e-9)
    assert len(found[0]) != len(found[1])
    by_hand = []
    for d in map(np.sort, expected):
        place = 0.95 * (len(d) - 1)
        low = int(place)
        by_hand.append(d[low] + (place - low) * (d[min(low + 1, len(d) - 1)] - d[low]))
    assert hausdorff_distance(found) == pytest.approx(max(by_hand), abs=1e-9)
    assert hausdorff_distance(found) < hausdorff_distance(found, 100)


def test_a_mask_moved_by_a_voxel_is_that_far(rng):
    mask = np.zeros((9, 9, 9), bool)
    mask[2:5, 3:6, 3:6] = True
    distances = surface_distances(mask, np.roll(mask, 2, axis=0), SPACING)
    assert hausdorff_distance(distances, 100) == pytest.approx(2 * SPACING[0])


def test_log_jacobian_deviation_leaves_out_folds(rng):
    determinant = rng.uniform(-0.5, 2, size=(5, 6, 7))
    mask = rng.uniform(size=determinant.shape) < 0.5
    kept = [math.log(v) for v in determinant[mask] if v > 0]
    assert log_jacobian_deviation(determinant, mask) == pytest.approx(statistics.pstdev(kept))
    assert log_jacobian_deviation(determinant) != log_jacobian_deviation(determinant, mask)
    assert math.isnan(log_jacobian_deviation(-np.ones(3)))
