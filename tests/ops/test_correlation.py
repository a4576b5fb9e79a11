import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from tf_lungreg import ops

SHAPE = (4, 6, 5)


def test_local_correlation_against_loops(rng):
    first, second = rng.normal(size=(2, 2, *SHAPE, 3))
    found = ops.local_correlation(tf.constant(first), tf.constant(second), radius=1).numpy()
    around = np.pad(second, [(0, 0), (1, 1), (1, 1), (1, 1), (0, 0)])
    number = 0
    for i in range(3):
        for j in range(3):
            for k in range(3):
                shifted = around[:, i : i + 4, j : j + 6, k : k + 5]
                expected = np.sum(first * shifted, axis=-1)
                np.testing.assert_allclose(found[..., number], expected, atol=1e-12)
                number += 1
    assert found.shape[-1] == number


@pytest.mark.parametrize("shift", [(1, 0, 0), (0, -2, 1), (2, 1, -1)])
def test_the_expected_shift_is_where_the_match_is(rng, shift):
    """second(p + s) = first(p): features of random sign match at one shift only."""
    first = rng.choice([-1.0, 1.0], size=(1, 9, 10, 8, 32))
    second = np.roll(first, shift, axis=(1, 2, 3))
    correlation = ops.local_correlation(tf.constant(first), tf.constant(second), 2) / 32
    found = ops.expected_shift(correlation, 2, 30.0).numpy()[0, 2:-2, 2:-2, 2:-2]
    np.testing.assert_allclose(found, np.broadcast_to(shift, found.shape), atol=0.05)


def test_expected_shift_is_the_mean_under_scipys_softmax(rng):
    correlation = rng.normal(size=(1, *SHAPE, 27))
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    expected = softmax(3.0 * correlation, axis=-1) @ shifts
    found = ops.expected_shift(tf.constant(correlation), 1, 3.0)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_expected_shift_without_a_preference_is_none(rng):
    flat = tf.ones((1, *SHAPE, 27)) * 0.3
    np.testing.assert_allclose(ops.expected_shift(flat, 1, 5.0), 0, atol=1e-6)


def test_fit_affine_finds_the_matrix_of_an_affine_displacement(rng):
    matrix = (np.eye(3, 4) + 0.2 * rng.normal(size=(2, 3, 4))).astype(np.float32)
    axes = [np.linspace(-1, 1, n) for n in SHAPE]
    points = np.stack([*np.meshgrid(*axes, indexing="ij"), np.ones(SHAPE)], axis=-1)
    displacement = np.einsum("bxy,dhwy->bdhwx", matrix, points) - points[None, ..., :3]
    weights = rng.uniform(0.1, 1, size=(2, *SHAPE, 1))
    found = ops.fit_affine(
        tf.constant(displacement, tf.float32), tf.constant(weights, tf.float32), ridge=1e-7
    )
    np.testing.assert_allclose(found, matrix, atol=1e-4)


def test_fit_affine_is_the_weighted_least_squares_of_numpy(rng):
    displacement = rng.normal(size=(1, *SHAPE, 3))
    weights = rng.uniform(0.1, 1, size=(1, *SHAPE, 1))
    axes = [np.linspace(-1, 1, n) for n in SHAPE]
    rows = np.stack([*np.meshgrid(*axes, indexing="ij"), np.ones(SHAPE)], -1).reshape(-1, 4)
    root = np.sqrt(weights.reshape(-1, 1))
    expected = np.linalg.lstsq(rows * root, displacement.reshape(-1, 3) * root, rcond=None)[0].T
    found = ops.fit_affine(tf.constant(displacement), tf.constant(weights), ridge=1e-12)[0]
    np.testing.assert_allclose(found - np.eye(3, 4), expected, atol=1e-6)


def test_no_displacement_is_the_identity():
    found = ops.fit_affine(tf.zeros((1, *SHAPE, 3)), tf.ones((1, *SHAPE, 1)))
    np.testing.assert_allclose(found[0], np.eye(3, 4), atol=1e-7)
