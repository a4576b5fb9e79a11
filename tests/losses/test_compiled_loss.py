import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import losses
from tf_lungreg.cohorts.random_pairs import pair_inputs
from tf_lungreg.models import build_registration_model
from tf_lungreg.training import compile_registration_model


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


@pytest.mark.parametrize("similarity", [*losses.SIMILARITIES, "mse + 0.5*ncc"])
def test_the_network_trains_with_each_similarity(textured, tiny, similarity):
    images = tf.constant(textured(0, (3, 16, 24, 24)), tf.float32)
    model = compile_registration_model(build_registration_model(tiny), similarity)
    inputs, targets = pair_inputs(images, tf.constant([[0, 1], [2, 0]]))
    before = [np.array(weight) for weight in model.trainable_weights]
    expected = np.mean(losses.find_similarity(similarity)(inputs["fixed"], inputs["moving"]))
    logs = model.fit(inputs, targets, batch_size=2, epochs=1, verbose=0).history
    # A network starts at the identity, so that its first loss is that of the images as they are.
    np.testing.assert_allclose(logs["warped_loss"], expected, rtol=1e-3)
    after = model.trainable_weights
    assert any(np.abs(np.array(new) - old).max() > 1e-4 for old, new in zip(before, after))
    assert all(np.isfinite(np.array(weight)).all() for weight in after)
