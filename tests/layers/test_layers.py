"""Every layer through one helper: shapes, serialisation, eager against graph, gradients."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import layers, ops

SHAPE = (6, 8, 7)


def volume(rng, channels=1):
    return tf.constant(rng.normal(size=(2, *SHAPE, channels)).astype(np.float32))


def grid(rng):
    identity = ops.identity_grid(SHAPE).numpy()
    return tf.constant((identity + rng.normal(size=(2, *SHAPE, 3))).astype(np.float32))


def affine(rng):
    return tf.constant((np.eye(3, 4) + 0.1 * rng.normal(size=(2, 3, 4))).astype(np.float32))


def check_layer(layer, inputs, output_shape, trainable=0, differentiable=True):
    """What every layer of the package promises."""
    first = layer(inputs)
    assert tuple(first.shape) == output_shape
    assert np.isfinite(first).all() and np.std(first) > 0
    assert len(layer.trainable_variables) == trainable

    config = tf.keras.utils.serialize_keras_object(layer)
    restored = tf.keras.utils.deserialize_keras_object(config)
    assert type(restored) is type(layer) and restored.get_config() == layer.get_config()
    restored(inputs)
    restored.set_weights(layer.get_weights())
    np.testing.assert_allclose(restored(inputs), first, atol=1e-6)

    np.testing.assert_allclose(tf.function(layer)(inputs), first, atol=1e-5)

    watched = tf.nest.flatten(inputs)
    with tf.GradientTape() as tape:
        tape.watch(watched)
        total = tf.reduce_sum(tf.cast(layer(inputs), tf.float32) ** 2)
    gradients = tape.gradient(total, watched + layer.trainable_variables)
    if differentiable:
        for gradient in gradients:
            assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0

    symbolic = tf.nest.map_structure(
        lambda x: tf.keras.Input((None,) * (len(x.shape) - 2) + (x.shape[-1],)), inputs
    )
    if not any(len(x.shape) == 3 for x in watched):  # matrices have fixed sizes
        model = tf.keras.Model(symbolic, restored(symbolic))
        np.testing.assert_allclose(model(inputs), first, atol=1e-5)
    return first.numpy()


def test_spatial_gradients(rng):
    found = check_layer(layers.SpatialGradients(), volume(rng, 3), (2, *SHAPE, 3))
    assert found.min() > 0 and found.max() < 2
    np.testing.assert_allclose(layers.SpatialGradients()(tf.zeros((1, 2, 2, 2, 3))), 1)


@pytest.mark.parametrize("anchor", ops.ANCHORS)
def test_cumulative_integration(rng, anchor):
    inputs = tf.abs(volume(rng, 3))
    found = check_layer(layers.CumulativeIntegration(anchor), inputs, (2, *SHAPE, 3))
    np.testing.assert_allclose(found, ops.integrate(inputs, anchor))


def test_affine_matrix(rng):
    numbers = tf.constant(rng.normal(size=(2, 12)).astype(np.float32))
    found = check_layer(layers.AffineMatrix(0.5), numbers, (2, 3, 4))
    expected = np.eye(3, 4) + 0.5 * numbers.numpy().reshape(2, 3, 4)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_affine_grid(rng):
    inputs = [affine(rng), volume(rng)]
    found = check_layer(layers.AffineGrid(), inputs, (2, *SHAPE, 3), differentiable=False)
    np.testing.assert_allclose(found, ops.affine_grid(inputs[0], SHAPE), atol=1e-6)


def test_grid_composition(rng):
    inputs = [grid(rng), grid(rng)]
    found = check_layer(layers.GridComposition(), inputs, (2, *SHAPE, 3))
    np.testing.assert_allclose(found, ops.compose(*inputs), atol=1e-5)


@pytest.mark.parametrize("interpolation, outside", [("linear", "border"), ("linear", 0.5)])
def test_spatial_transformer(rng, interpolation, outside):
    inputs = [volume(rng, 2), grid(rng)]
    layer = layers.SpatialTransformer3D(interpolation, outside)
    found = check_layer(layer, inputs, (2, *SHAPE, 2))
    np.testing.assert_allclose(found, ops.warp(*inputs, interpolation, outside), atol=1e-6)


def test_squeeze_excitation(rng):
    inputs = volume(rng, 32)
    layer = layers.SqueezeExcitation3D(reduction=4)
    found = check_layer(layer, inputs, (2, *SHAPE, 32), trainable=4)
    weights = found / inputs.numpy()
    assert weights.min() > 0 and weights.max() < 1
    np.testing.assert_allclose(weights.std(axis=(1, 2, 3)), 0, atol=1e-4)  # one a channel
    assert [tuple(w.shape) for w in layer.weights] == [(32, 8), (8,), (8, 32), (32,)]


def test_instance_normalization(rng):
    inputs = 3 * volume(rng, 5) + 2
    found = check_layer(layers.instance_normalization(), inputs, (2, *SHAPE, 5), trainable=2)
    values = inputs.numpy()
    mean = values.mean(axis=(1, 2, 3), keepdims=True)
    variance = values.var(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(found, (values - mean) / np.sqrt(variance + 1e-3), atol=1e-4)


def test_constant_layers(rng):
    phi = layers.UnitSpatialGradients()(volume(rng))
    np.testing.assert_array_equal(phi, np.ones((2, *SHAPE, 3)))
    matrix = layers.IdentityAffine()(volume(rng))
    np.testing.assert_array_equal(matrix, np.broadcast_to(np.eye(3, 4), (2, 3, 4)))


def test_local_correlation(rng):
    inputs = [volume(rng, 4), volume(rng, 4)]
    found = check_layer(layers.LocalCorrelation3D(1), inputs, (2, *SHAPE, 27))
    assert np.abs(found).max() <= 1 + 1e-5
    same = layers.LocalCorrelation3D(1)([inputs[0], 5 * inputs[0]]).numpy()
    np.testing.assert_allclose(same[..., 13], 1, atol=1e-5)  # contrast does not count


def test_expected_shift(rng):
    found = check_layer(layers.ExpectedShift(1), volume(rng, 27), (2, *SHAPE, 3), trainable=1)
    assert np.abs(found).max() <= 1 + 1e-5


def test_displacement_gradients(rng):
    displacement = 0.2 * volume(rng, 3)
    found = check_layer(layers.DisplacementGradients(), displacement, (2, *SHAPE, 3))
    assert found.min() >= 0 and found.max() <= 2
    steps = np.diff(displacement[..., 1], axis=2)
    np.testing.assert_allclose(found[:, :, :-1, :, 1], 1 + np.tanh(steps), atol=1e-5)


def test_displaced_sampling(rng):
    maps, shift = volume(rng, 2), volume(rng, 3)
    found = check_layer(layers.DisplacedSampling3D(), [maps, shift], (2, *SHAPE, 2))
    expected = ops.warp(maps, ops.identity_grid(SHAPE) + shift)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_displaced_sampling_reads_maps_beyond_the_displacement(rng):
    maps, shift = volume(rng, 2), volume(rng, 3)[:, 2:-2, 2:-2, 2:-2]
    inner = tuple(n - 4 for n in SHAPE)
    found = check_layer(layers.DisplacedSampling3D(margin=2), [maps, shift], (2, *inner, 2))
    whole = ops.warp(
        maps, ops.identity_grid(SHAPE) + np.pad(shift, [(0, 0), *[(2, 2)] * 3, (0, 0)])
    )
    np.testing.assert_allclose(found, whole[:, 2:-2, 2:-2, 2:-2], atol=1e-6)


def test_border_continuation(rng):
    maps = volume(rng, 2)
    found = check_layer(layers.BorderContinuation3D(3), maps, (2, *(n + 6 for n in SHAPE), 2))
    np.testing.assert_array_equal(found, np.pad(maps, [(0, 0), *[(3, 3)] * 3, (0, 0)], "edge"))


def test_linear_upsampling_is_cut_to_the_volume(rng):
    inputs = [volume(rng, 2), tf.zeros((2, 11, 16, 13, 1))]
    layer = layers.LinearUpsampling3D(2.0)
    found = layer(inputs)
    np.testing.assert_allclose(found, 2 * ops.upsample(inputs[0])[:, :11, :, :13], atol=1e-6)
    assert layer.get_config()["scale"] == 2.0


def blocks_of(points_of_volume, block):
    """Mean position of the voxels of each block, (d, h, w, 3)."""
    for axis in range(3):
        shape = list(points_of_volume.shape)
        shape[axis : axis + 1] = [shape[axis] // block, block]
        points_of_volume = points_of_volume.reshape(shape).mean(axis=axis + 1)
    return points_of_volume


def test_an_affine_fitted_to_blocks_is_that_of_the_volume(rng):
    """The displacement of each block's centre under a known matrix gives the matrix again."""
    matrix, shape, block = affine(rng)[:1], (16, 24, 20), 4
    grid = ops.affine_grid(matrix, shape)[0].numpy()
    identity = ops.identity_grid(shape)[0].numpy()
    shift = (blocks_of(grid, block) - blocks_of(identity, block)) / block  # voxels of blocks
    weights = rng.uniform(0.5, 1, size=(*shift.shape[:3], 1))
    inputs = [tf.constant(x[None], tf.float32) for x in (shift, weights)]
    found = layers.FittedAffine(block)(inputs)
    np.testing.assert_allclose(found, matrix, atol=5e-3)  # the ridge prefers the identity


def test_alignment_of_blocks_is_that_of_the_volume(rng):
    """Coordinates of blocks, sampled at the inverse, are the inverse's of the blocks' places."""
    shape, block = (16, 24, 20), 2
    matrix = tf.constant([[[1.02, 0.05, 0, 0.04], [0, 0.97, -0.03, -0.05], [0.02, 0, 1.03, 0.02]]])
    places = blocks_of(ops.identity_grid(shape)[0].numpy(), block)
    layer = layers.BackAlignment3D(block)
    found = layer([tf.constant(places[None]), matrix]).numpy()[0]
    whole = np.vstack([matrix[0], [0, 0, 0, 1]])
    inverse = tf.constant(np.linalg.inv(whole)[None, :3], tf.float32)
    expected = blocks_of(ops.affine_grid(inverse, shape)[0].numpy(), block)
    inner = (slice(3, -3),) * 3  # beyond the border there is nothing to sample
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-3)


def test_faded_gradients_give_the_displacement_back(rng):
    """Borders that move included: the margin lies outside what is looked at."""
    shape, margin = (40, 44, 36), 8
    field = np.stack([_smooth(rng, shape, 5.0) for _ in range(3)], axis=-1)
    for axis, border in enumerate((5.0, -6.0, 4.0)):
        field[..., axis] += border
    displacement = tf.constant(field[np.newaxis], tf.float32)
    gradients = layers.FadedGradients(margin)(displacement)
    assert 0 <= float(tf.reduce_min(gradients)) and float(tf.reduce_max(gradients)) <= 2
    found = ops.displacement(ops.integrate(gradients, "ends")).numpy()[0]
    inner = (slice(margin, -margin),) * 3
    assert np.abs(field[inner]).max() > 5
    assert np.abs(found - field)[inner].max() < 0.01


def test_faded_gradients_never_leave_their_range(rng):
    found = check_layer(layers.FadedGradients(2), 3 * volume(rng, 3), (2, *SHAPE, 3))
    assert found.min() >= 0 and found.max() <= 2
    assert found.min() < 0.05 and found.max() > 1.95


def test_rescaled_affine_is_the_same_map_on_finer_voxels(rng):
    """A block's centre goes where the matrix of the blocks says."""
    matrix, blocks = affine(rng), volume(rng)
    whole = layers.RescaledAffine(2)([matrix, blocks])
    fine = ops.affine_grid(whole, [2 * n for n in SHAPE]).numpy()
    centres = fine.reshape(2, SHAPE[0], 2, SHAPE[1], 2, SHAPE[2], 2, 3).mean(axis=(2, 4, 6))
    expected = 2 * ops.affine_grid(matrix, SHAPE).numpy() + 0.5
    np.testing.assert_allclose(centres, expected, atol=1e-4)


def test_local_normalization(rng):
    found = check_layer(layers.LocalNormalization3D(2, 0.1), volume(rng, 2), (2, *SHAPE, 2))
    assert np.abs(found).max() < 12


def test_local_deviation(rng):
    inputs = volume(rng, 3)
    found = check_layer(layers.LocalDeviation3D(1), inputs, (2, *SHAPE, 3))
    np.testing.assert_allclose(found, inputs - ops.box_mean(inputs, 1), atol=1e-6)


def test_matching_step(rng):
    inputs = [volume(rng), volume(rng)]
    found = check_layer(layers.MatchingStep3D(2, 0.3), inputs, (2, *SHAPE, 4))
    expected = ops.matching_step(*inputs, 2, 0.3)
    np.testing.assert_allclose(found, np.concatenate(expected, axis=-1), atol=1e-6)


def test_a_detached_displacement_gets_no_gradient(rng):
    maps, shift = volume(rng, 2), 0.3 * volume(rng, 3)
    for detached in (False, True):
        layer = layers.DisplacedSampling3D(detached)
        with tf.GradientTape() as tape:
            tape.watch([maps, shift])
            total = tf.reduce_sum(layer([maps, shift]) ** 2)
        of_maps, of_shift = tape.gradient(total, [maps, shift])
        assert np.abs(of_maps).max() > 0
        assert (of_shift is None) == detached


def _smooth(rng, shape, size):
    """A random field without steps of more than 0.9 from voxel to voxel."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), 8, mode="nearest")
    return size * field / np.abs(field).max()
