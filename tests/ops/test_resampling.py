import numpy as np
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import ops


def test_upsampling_is_linear_interpolation_about_the_same_centre(rng):
    maps = rng.normal(size=(2, 4, 3, 5, 2))
    found = ops.upsample(tf.constant(maps)).numpy()
    assert found.shape == (2, 8, 6, 10, 2)
    places = np.meshgrid(*[(np.arange(2 * n) - 0.5) / 2 for n in (4, 3, 5)], indexing="ij")
    for batch in range(2):
        for channel in range(2):
            expected = ndimage.map_coordinates(
                maps[batch, ..., channel], places, order=1, mode="nearest"
            )
            np.testing.assert_allclose(found[batch, ..., channel], expected, atol=1e-12)


def test_upsampling_in_a_graph_of_free_size(rng):
    function = tf.function(ops.upsample, input_signature=[tf.TensorSpec([None] * 4 + [2])])
    maps = rng.normal(size=(1, 3, 2, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(function(maps), ops.upsample(tf.constant(maps)), atol=1e-6)
