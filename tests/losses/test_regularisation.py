import numpy as np
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import losses, ops

SHAPE = (8, 10, 9)


def test_each_term_has_the_reduction_of_eq_4_over_the_number_of_voxels(rng):
    affine = rng.normal(size=(2, 3, 4)).astype(np.float32)
    identity = np.broadcast_to(np.eye(3, 4, dtype=np.float32), (2, 3, 4))
    expected = np.abs(affine - identity).reshape(2, 12).sum(axis=1)
    np.testing.assert_allclose(losses.affine_l1(identity, affine), expected, rtol=1e-5)

    phi = rng.uniform(0, 2, size=(2, *SHAPE, 3)).astype(np.float32)
    ones = tf.ones((2, 1, 1, 1, 3))
    expected = np.abs(phi - 1).sum(axis=(1, 2, 3, 4)) / np.prod(SHAPE)
    np.testing.assert_allclose(losses.spatial_gradients_l1(ones, phi), expected, rtol=1e-5)


def test_folding_is_zero_without_and_positive_with_folds(rng):
    identity = ops.identity_grid(SHAPE).numpy()
    noise = ndimage.gaussian_filter(rng.normal(size=(*SHAPE, 3)), (2, 2, 2, 0))
    smooth = tf.constant((identity + noise).astype(np.float32))
    assert ops.jacobian_determinant(smooth).numpy().min() > losses.FOLDING_MARGIN
    np.testing.assert_array_equal(losses.folding(None, smooth), [0])
    rough = tf.Variable((identity + 2 * rng.normal(size=(*SHAPE, 3))).astype(np.float32))
    with tf.GradientTape() as tape:
        value = losses.folding(None, rough)
    determinant = ops.jacobian_determinant(rough).numpy()
    assert value[0] > (determinant <= 0).mean()  # at a fold the shortfall is at least the margin
    assert np.abs(tape.gradient(value, rough)).max() > 0
