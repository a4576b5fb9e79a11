import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import losses, ops
from tf_lungreg.data.pairs import pair_inputs
from tf_lungreg.errors import InputError
from tf_lungreg.models import build_registration_model
from tf_lungreg.training import compile_registration_model

SHAPE = (8, 10, 9)


def test_each_term_has_the_reduction_of_eq_4_over_the_number_of_voxels(rng):
    fixed, warped = rng.uniform(size=(2, 2, *SHAPE, 1)).astype(np.float32)
    found = losses.mse(tf.constant(fixed), tf.constant(warped))
    expected = ((fixed - warped) ** 2).sum(axis=(1, 2, 3, 4)) / np.prod(SHAPE)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

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


def test_unknown_similarity_lists_the_known():
    with pytest.raises(InputError, match="mse"):
        losses.find_similarity("ssd")


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_compiled_loss_is_the_weighted_sum_of_the_logged_terms(rng, gamma):
    images = tf.constant(rng.uniform(size=(3, 16, 16, 16, 1)).astype(np.float32))
    model = build_registration_model("small")
    model.get_layer("gradient_logits").kernel.assign(
        tf.random.stateless_normal((3, 3, 3, 8, 3), (1, 2))
    )
    model.get_layer("affine_parameters").bias.assign(tf.range(12.0) / 10)
    alpha, beta = 0.3, 0.02
    compile_registration_model(model, alpha=alpha, beta=beta, gamma=gamma)
    inputs, targets = pair_inputs(images, tf.constant([[0, 1], [2, 0]]))
    logs = model.evaluate(inputs, targets, batch_size=2, verbose=0, return_dict=True)

    outputs = model(inputs)
    expected = {
        "warped": np.mean((outputs["warped"] - targets["warped"]) ** 2),
        "affine": np.abs(outputs["affine"] - np.eye(3, 4)).sum() / 2,
        "spatial_gradients": 3 * np.abs(outputs["spatial_gradients"] - 1).mean(),
    }
    weights = {"warped": 1, "affine": alpha, "spatial_gradients": beta}
    if gamma:
        expected["grid"] = np.mean(losses.folding(None, outputs["grid"]))
        weights["grid"] = gamma
    for name, value in expected.items():
        assert value > 0
        np.testing.assert_allclose(logs[f"{name}_loss"], value, rtol=1e-3)
    total = sum(weights[name] * value for name, value in expected.items())
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-3)
