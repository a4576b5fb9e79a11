import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import ops

SHAPE = (14, 17, 12)


def tensor(volume):
    return tf.constant(np.asarray(volume, np.float32)[np.newaxis, ..., np.newaxis])


def plain(found):
    return found.numpy()[0, ..., 0]


def neighbourhood(volume, radius, function):
    """A function of the cube around each voxel, one voxel after the other."""
    out = np.empty(volume.shape)
    for place in np.ndindex(volume.shape):
        cube = tuple(slice(max(0, p - radius), p + radius + 1) for p in place)
        out[place] = function(volume[cube])
    return out


@pytest.mark.parametrize("radius", (1, 3))
def test_box_mean_is_the_mean_of_the_cube(rng, radius):
    volume = rng.normal(size=SHAPE)
    expected = neighbourhood(volume, radius, np.mean)
    np.testing.assert_allclose(plain(ops.box_mean(tensor(volume), radius)), expected, atol=1e-5)


def test_normalize_locally_against_a_plain_computation(rng):
    volume = 0.3 + 0.1 * rng.normal(size=SHAPE)
    mean, deviation = (neighbourhood(volume, 2, f) for f in (np.mean, np.std))
    expected = (volume - mean) / np.sqrt(deviation**2 + 0.05**2)
    found = plain(ops.normalize_locally(tensor(volume), 2, 0.05))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_central_differences_are_numpys(rng):
    volume = rng.normal(size=SHAPE)
    found = ops.central_differences(tensor(volume)).numpy()[0]
    np.testing.assert_allclose(found, np.stack(np.gradient(volume), -1), atol=1e-5)


@pytest.mark.parametrize("scale, offset", ((1.0, 0.0), (-0.5, 3.0)))
def test_matching_step_leads_to_the_match_whatever_the_contrast(rng, scale, offset):
    """Repeated, the steps find a translation, and the correlation there is 1 or -1."""
    shape, shift = (30, 34, 32), np.array([0.8, -0.5, 0.3])
    texture = ndimage.gaussian_filter(rng.standard_normal(shape), 1.6)
    texture /= texture.std()
    fixed = tensor(scale * texture + offset)
    moving = ndimage.shift(texture, shift, order=5, mode="nearest")
    inner = (slice(7, -7),) * 3
    found = np.zeros(3)
    for _ in range(12):
        warped = tensor(ndimage.shift(moving, -found, order=5, mode="nearest"))
        step, correlation = ops.matching_step(fixed, warped, 2, 0.1)
        found = found + np.median(step.numpy()[0][inner].reshape(-1, 3), axis=0)
    np.testing.assert_allclose(found, shift, atol=0.03)
    assert np.median(plain(correlation)[inner]) * np.sign(scale) > 0.9  # the floor takes some


def test_matching_step_is_small_without_texture(rng):
    noise = (tensor(0.01 * rng.normal(size=SHAPE)) for _ in range(2))
    step, correlation = ops.matching_step(*noise, 2, 0.3)
    assert np.abs(step).max() < 0.1 and np.abs(correlation).max() < 0.1
