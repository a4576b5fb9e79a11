import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import ops

SHAPE = (5, 8, 6)


def test_identity_grid_holds_the_indices():
    grid = ops.identity_grid(SHAPE).numpy()
    assert grid.shape == (1, *SHAPE, 3)
    for index in [(0, 0, 0), (4, 0, 5), (1, 7, 2)]:
        np.testing.assert_array_equal(grid[(0, *index)], index)


def test_identity_matrix_gives_exactly_the_identity_grid():
    grid = ops.affine_grid(ops.identity_affine(2), (64, 192, 192))
    expected = np.broadcast_to(ops.identity_grid((64, 192, 192)), grid.shape)
    np.testing.assert_array_equal(grid, expected)


def test_affine_grid_matches_the_closed_form(rng):
    affine = (np.eye(3, 4) + 0.3 * rng.normal(size=(2, 3, 4))).astype(np.float32)
    found = ops.affine_grid(tf.constant(affine), SHAPE).numpy()
    last = np.array(SHAPE) - 1
    for b in range(2):
        for index in np.ndindex(*SHAPE):
            normalised = np.append(2 * np.array(index) / last - 1, 1)
            expected = (affine[b] @ normalised + 1) / 2 * last
            np.testing.assert_allclose(found[(b, *index)], expected, atol=1e-5)


def test_corners_are_at_minus_one_and_one():
    shift = np.eye(3, 4, dtype=np.float32)[None]
    shift[0, 1, 3] = 2  # by the whole height
    grid = ops.affine_grid(tf.constant(shift), SHAPE).numpy()
    np.testing.assert_allclose(grid[0, 2, 0, 3], [2, 7, 3], atol=1e-6)


def test_composition_matches_the_closed_form_of_two_affine_grids(rng):
    first, second = (
        (np.eye(3, 4) + 0.05 * rng.normal(size=(1, 3, 4))).astype(np.float32) for _ in range(2)
    )
    shape = (12, 14, 10)
    grids = [ops.affine_grid(tf.constant(a), shape) for a in (first, second)]
    whole = second[0, :, :3] @ first[0, :, :3]
    shift = second[0, :, :3] @ first[0, :, 3] + second[0, :, 3]
    expected = ops.affine_grid(tf.constant(np.column_stack([whole, shift])[None]), shape).numpy()
    found = ops.compose(*grids).numpy()
    last = np.array(shape) - 1
    inside = ((grids[0].numpy() >= 0) & (grids[0].numpy() <= last)).all(-1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-4)


def smooth_grid(rng, shape, amplitude):
    noise = rng.normal(size=(*shape, 3))
    noise = ndimage.gaussian_filter(noise, (2, 2, 2, 0))
    noise *= amplitude / np.abs(noise).max()
    return (ops.identity_grid(shape).numpy() + noise[None]).astype(np.float32)


def test_sampling_once_with_the_composition_is_sampling_twice(rng):
    """Eq. 3 with first = G_A and second = G_N, on an image that is linear in the coordinates."""
    shape = (16, 18, 14)
    deformable = smooth_grid(rng, shape, 1.5)
    matrix = np.eye(3, 4)
    matrix[:, :3] *= 0.8  # stays inside
    affine = ops.affine_grid(tf.constant(matrix[None], tf.float32), shape)
    image = ops.identity_grid(shape) @ tf.constant([[1.0], [-2.0], [0.5]])
    once = ops.warp(image, ops.compose(affine, deformable))
    twice = ops.warp(ops.warp(image, deformable), affine)
    inner = np.s_[:, 2:-2, 2:-2, 2:-2]
    np.testing.assert_allclose(once[inner], twice[inner], atol=2e-4)


def test_composition_continues_the_displacement_outside(rng):
    shape = (6, 6, 6)
    second = smooth_grid(rng, shape, 0.5)
    shift = np.eye(3, 4, dtype=np.float32)[None]
    shift[0, 0, 3] = 4  # ten voxels along D, beyond the last
    first = ops.affine_grid(tf.constant(shift), shape)
    found = ops.compose(first, second).numpy()
    at_border = ops.displacement(tf.constant(second)).numpy()[0, -1, 2, 3]
    np.testing.assert_allclose(found[0, 0, 2, 3], first.numpy()[0, 0, 2, 3] + at_border, atol=1e-5)


@pytest.mark.parametrize("order", ["first", "second"])
def test_identity_is_neutral_in_composition(rng, order):
    grid = tf.constant(smooth_grid(rng, SHAPE, 0.7))
    identity = ops.identity_grid(SHAPE)
    pair = (identity, grid) if order == "first" else (grid, identity)
    np.testing.assert_allclose(ops.compose(*pair), grid, atol=1e-5)


def homogeneous(affine):
    return np.concatenate([affine, np.broadcast_to([[[0, 0, 0, 1]]], (len(affine), 1, 4))], axis=1)


def test_composed_and_inverse_matrices_are_those_of_numpy(rng):
    first, second = (np.eye(3, 4) + 0.3 * rng.normal(size=(2, 2, 3, 4))).astype(np.float32)
    found = ops.compose_affine(tf.constant(first), tf.constant(second))
    expected = homogeneous(second) @ homogeneous(first)
    np.testing.assert_allclose(found, expected[:, :3], atol=1e-5)
    inverse = ops.invert_affine(tf.constant(first))
    np.testing.assert_allclose(
        inverse, np.linalg.inv(homogeneous(first))[:, :3], atol=1e-4, rtol=1e-4
    )
