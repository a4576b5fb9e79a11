"""Every layer through one helper: shapes, serialisation, eager against graph, gradients."""

import numpy as np
import pytest
import tensorflow as tf

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
