import numpy as np
import tensorflow as tf

from tf_lungreg import ops

SHAPE = (7, 9, 8)


def test_determinant_of_an_affine_grid_is_that_of_its_matrix(rng):
    linear = np.eye(3) + 0.3 * rng.normal(size=(3, 3))
    points = ops.identity_grid(SHAPE, tf.float64).numpy()
    grid = points @ linear.T + [1.0, -2.0, 3.0]
    found = ops.jacobian_determinant(tf.constant(grid))
    np.testing.assert_allclose(found, np.full((1, *SHAPE), np.linalg.det(linear)), rtol=1e-10)


def test_determinant_matches_numpy_gradient_on_a_random_grid(rng):
    grid = ops.identity_grid(SHAPE, tf.float64).numpy() + 0.4 * rng.normal(size=(2, *SHAPE, 3))
    derivative = np.stack(np.gradient(grid, axis=(1, 2, 3)), axis=-1)
    expected = np.linalg.det(derivative)
    assert (expected <= 0).any() and (expected > 0).any()
    np.testing.assert_allclose(ops.jacobian_determinant(tf.constant(grid)), expected, atol=1e-10)


def test_a_mirrored_axis_is_negative_everywhere():
    grid = ops.identity_grid(SHAPE).numpy().copy()
    grid[..., 1] *= -1
    assert (ops.jacobian_determinant(tf.constant(grid)).numpy() < 0).all()
