"""The inverse: exact for affine maps, damped where the plain iteration would not converge."""

import warnings

import numpy as np
import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import apply_affine
from tf_lungreg.images.sampling import world_points
from tf_lungreg.transforms.inversion import fit_affine, invert_points
from tf_lungreg.transforms.transform import Transform


def field_of(function, frame):
    points = world_points(frame, slice(0, frame.shape[0]))
    return Transform((function(points) - points).astype(np.float32), frame)


@pytest.fixture
def frame(tools):
    return tools.make_frame((20, 16, 18), "RSP", (10, -40, 700))


def random_affine(rng):
    affine = np.eye(4)
    affine[:3, :3] += 0.1 * rng.normal(size=(3, 3))
    affine[:3, 3] = 10, -20, 60
    return affine


def test_an_affine_field_is_inverted_at_once(frame, rng):
    affine = random_affine(rng)
    field = field_of(lambda p: apply_affine(affine, p), frame)
    np.testing.assert_allclose(fit_affine(field), affine, atol=2e-4, rtol=1e-4)
    points = rng.normal(size=(40, 3)) * 5 + [10, -40, 700]
    found, error = invert_points(field, apply_affine(affine, points))
    np.testing.assert_allclose(found, points, atol=0.03)
    assert error.max() < 0.01


def test_a_field_that_stretches_to_more_than_twice_its_mean(frame, rng):
    """Along each voxel axis the steps are 0.5 to 4: the plain iteration moves away there."""
    affine = random_affine(rng)
    steps = 0.5 + 3.5 * np.exp(-(((np.arange(20) - 8) / 1.2) ** 2))
    along = np.concatenate([[0], np.cumsum(steps)])

    def bend(points):
        voxels = apply_affine(np.linalg.inv(frame.affine), points)
        bent = np.interp(voxels, np.arange(21), along)
        return apply_affine(affine, apply_affine(frame.affine, bent))

    field = field_of(bend, frame)
    voxels = rng.uniform(1, np.array(frame.shape) - 2, (500, 3))
    points = apply_affine(frame.affine, voxels)
    found, error = invert_points(field, field.map_points(points))
    assert error.max() < 0.1
    assert np.linalg.norm(found - points, axis=1).max() < 0.1 * frame.spacing.min()


def test_the_inverse_field_leads_back(tools, frame, rng):
    noise = np.stack([2 * tools.smooth_noise(rng, frame.shape, 3) for _ in range(3)], axis=-1)
    field = Transform(noise + np.float32([5, 5, -30]), frame)
    grid = tools.make_frame((15, 15, 15), "LAS", frame.center + [5, 5, -30], spacing=(2, 2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inverse = field.inverse(grid)
    points = world_points(grid, slice(0, 15))
    back = field.map_points(points + inverse.data)
    assert np.linalg.norm(back - points, axis=-1).max() < 0.1 * frame.spacing.min()
    assert inverse.frame is grid


def test_a_fold_is_warned_of(tools, frame, rng):
    noise = np.stack([12 * tools.smooth_noise(rng, frame.shape, 1) for _ in range(3)], axis=-1)
    field = Transform(noise, frame)
    assert field.jacobian().min() < 0
    with pytest.warns(UserWarning, match="the inverse misses .* points by more than 0.1 voxel"):
        field.inverse(frame)


def test_a_field_without_an_inverse(frame):
    flat = field_of(lambda p: p * [1, 1, 0], frame)
    with pytest.raises(InputError, match="no inverse"):
        fit_affine(flat)
