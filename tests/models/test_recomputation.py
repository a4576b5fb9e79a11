"""Gradient checkpointing: the same network, weights, outputs and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.weights import named_weights

IMAGES = ("moving", "fixed")

# affine, deformable, and whether TensorFlow's compiler, with which Keras 3 trains, is used
CASES = [(True, True, True), (True, True, False), (True, False, False), (False, True, False)]


@pytest.fixture
def both(tiny, share_weights):
    """A function that builds the network without and with it, of the same random weights."""

    def build(**kwargs):
        models = [build_registration_model(tiny, recompute=on, **kwargs) for on in (False, True)]
        share_weights(models, scale=0.05)
        return models

    return build


def outputs_and_gradients(model, pair, compiler):
    """Of a loss that every output moves."""

    @tf.function(jit_compile=compiler)
    def compute(pair):
        with tf.GradientTape() as tape:
            outputs = model(pair, training=True)
            loss = tf.add_n([tf.reduce_mean((v - 0.5) ** 2) for v in outputs.values()])
        return outputs, tape.gradient(loss, model.trainable_variables)

    return compute(pair)


@pytest.mark.parametrize("affine, deformable, compiler", CASES)
def test_outputs_and_gradients_are_the_same(rng, both, affine, deformable, compiler):
    plain, recomputing = both(affine=affine, deformable=deformable)
    assert list(named_weights(plain)) == list(named_weights(recomputing))
    shape = (2, 8, 16, 12, 1)
    pair = {name: tf.constant(rng.random(shape), tf.float32) for name in IMAGES}
    expected, gradients = outputs_and_gradients(plain, pair, compiler)
    found, others = outputs_and_gradients(recomputing, pair, compiler)
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-5)
    assert len(others) == len(gradients)
    largest = max(np.abs(g).max() for g in gradients)
    assert largest > 1e-3 and np.abs(expected["grid"]).max() > 0
    for one, other in zip(gradients, others):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6 * largest)


def test_it_goes_with_mixed_precision(rng, both):
    pair = {name: tf.constant(rng.random((1, 8, 8, 8, 1)), tf.float32) for name in IMAGES}
    found = [outputs_and_gradients(model, pair, False) for model in both(mixed_precision=True)]
    (expected, gradients), (outputs, others) = found
    np.testing.assert_allclose(outputs["grid"], expected["grid"], atol=1e-5)
    largest = max(np.abs(g).max() for g in gradients)
    for one, other in zip(gradients, others):
        np.testing.assert_allclose(other, one, atol=1e-2 * largest)  # bfloat16 has 8 bits


def test_the_compiler_leaves_the_second_convolutions(both):
    """Those of all but the last layer; merged with the first ones they would save nothing."""
    pair = {name: tf.random.uniform((1, 8, 8, 8, 1)) for name in IMAGES}
    plain, recomputing = (convolutions(model, pair) for model in both())
    assert recomputing - plain == 7


def convolutions(model, pair):
    """How many convolutions, forward and backward, are left in a compiled step."""

    @tf.function(jit_compile=True)
    def step(pair):
        with tf.GradientTape() as tape:
            outputs = model(pair, training=True)
            found = (outputs[name] for name in ("affine", "spatial_gradients"))
            loss = tf.add_n([tf.reduce_mean(value**2) for value in found])
        return tape.gradient(loss, model.trainable_variables)

    text = step.experimental_get_compiler_ir(pair)(stage="optimized_hlo")
    return text.count(" convolution(")


@pytest.mark.parametrize("preset", ["fast", "general"])
def test_with_other_networks_it_is_refused(preset):
    with pytest.raises(InputError, match="recompute: .*paper, small"):
        build_registration_model(preset, recompute=True)
