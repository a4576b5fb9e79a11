import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import losses
from tf_lungreg.errors import InputError

NAMES = list(losses.SIMILARITIES)


def differentiate(similarity, fixed, warped):
    warped = tf.constant(warped)
    with tf.GradientTape() as tape:
        tape.watch(warped)
        value = similarity(tf.constant(fixed), warped)
    return value.numpy(), tape.gradient(value, warped).numpy()


def test_mse_is_the_squared_difference_over_the_number_of_voxels(rng):
    fixed, warped = rng.uniform(size=(2, 2, 8, 10, 9, 1)).astype(np.float32)
    expected = ((fixed - warped) ** 2).sum(axis=(1, 2, 3, 4)) / 720
    np.testing.assert_allclose(losses.mse(fixed, warped), expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_finite_differences(textured, rng, name):
    similarity = losses.SIMILARITIES[name]
    fixed, warped = textured(1, (2, 5, 7, 6)), textured(2, (2, 5, 7, 6))
    _, gradient = differentiate(similarity, fixed, warped)
    direction = rng.normal(size=warped.shape)
    direction[(warped == 0) | (warped == 1)] = 0  # the range of mi is no part of its gradient
    step = 1e-6
    rise = similarity(fixed, warped + step * direction) - similarity(
        fixed, warped - step * direction
    )
    expected = np.sum(gradient * direction, axis=(1, 2, 3, 4))
    assert np.abs(expected).min() > 1e-4
    np.testing.assert_allclose(rise / (2 * step), expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_the_minimum_is_at_alignment(textured, name, axis):
    volume = textured(3, (1, 16, 20, 18)).astype(np.float32)
    inside = (slice(None), *[slice(3, -3)] * 3)
    values = [
        losses.SIMILARITIES[name](volume[inside], np.roll(volume, shift, axis)[inside]).numpy()[0]
        for shift in (-2, -1, 0, 1, 2)
    ]
    assert values[0] > values[1] > values[2] < values[3] < values[4]


@pytest.mark.parametrize("name", ["ncc", "mi"])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_linear_contrast_changes_nothing(textured, name, dtype, tolerance):
    fixed, warped = (textured(seed, (1, 12, 14, 13)).astype(dtype) for seed in (4, 5))
    warped = (0.6 * fixed + 0.4 * warped).astype(dtype)
    similarity = losses.SIMILARITIES[name]
    expected, slopes = differentiate(similarity, fixed, warped)
    for scale, offset in ((0.05, 0.9), (0.7, 0.1)):
        found, gradient = differentiate(similarity, fixed, dtype(scale) * warped + dtype(offset))
        np.testing.assert_allclose(found, expected, atol=tolerance)
        largest = np.abs(slopes).max()
        np.testing.assert_allclose(scale * gradient, slopes, atol=300 * tolerance * largest)
        found = similarity(dtype(scale) * fixed + dtype(offset), warped)
        np.testing.assert_allclose(found, expected, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_volumes_without_contrast_have_finite_values_and_gradients(textured, name, dtype):
    texture = textured(6, (1, 10, 12, 11)).astype(dtype)
    half = np.where(np.arange(12)[:, np.newaxis, np.newaxis] < 6, dtype(0.1), texture)
    constant = np.full_like(texture, 0.3)
    volumes = (texture, half, constant, np.zeros_like(texture))
    for fixed in volumes:
        for warped in volumes:
            value, gradient = differentiate(losses.SIMILARITIES[name], fixed, warped)
            assert value.dtype == gradient.dtype == dtype and value.shape == (1,)
            assert np.isfinite(value).all() and np.isfinite(gradient).all()
            if name in ("ncc", "mi") and (fixed is constant or warped is constant):
                np.testing.assert_allclose(value, {"ncc": 1, "mi": 0}[name], atol=1e-5)
                np.testing.assert_allclose(gradient, 0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_each_pair_of_a_batch_has_its_own_value_and_sizes_may_be_unknown(textured, name):
    similarity = losses.SIMILARITIES[name]
    fixed, warped = textured(7, (3, 6, 9, 7)), 0.5 * textured(8, (3, 6, 9, 7)) ** 2
    unknown = tf.TensorSpec((None, None, None, None, 1), tf.float64)
    found = tf.function(similarity, input_signature=[unknown, unknown])(fixed, warped)
    expected = [similarity(fixed[i : i + 1], warped[i : i + 1]).numpy()[0] for i in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert len(set(expected)) == 3


@pytest.mark.parametrize(
    "expression, weights",
    [
        ("mse+0.5*ncc", {"mse": 1, "ncc": 0.5}),
        (" 2 * mi + dwm ", {"mi": 2, "dwm": 1}),
        ("3*mse", {"mse": 3}),
        ("1e+1*mse+2e-1*dwm+mi", {"mse": 10, "dwm": 0.2, "mi": 1}),
        (" ncc ", {"ncc": 1}),
    ],
)
def test_a_sum_is_the_weighted_sum_of_its_terms(textured, expression, weights):
    fixed, warped = textured(9, (2, 8, 9, 10)), textured(10, (2, 8, 9, 10))
    expected = sum(w * losses.SIMILARITIES[n](fixed, warped) for n, w in weights.items())
    found = losses.find_similarity(expression)(fixed, warped)
    assert found.shape == (2,)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_name_is_its_function():
    assert losses.find_similarity("mi") is losses.mi


@pytest.mark.parametrize(
    "expression, reason",
    [
        ("ssd", "'ssd' is unknown"),
        ("", "a term is empty"),
        ("mse+", "a term is empty"),
        ("mse++ncc", "a term is empty"),
        ("0.5*", "a term is empty"),
        ("mse-ncc", "'mse-ncc' is unknown"),
        ("ncc*0.5", "'0.5' is unknown"),
        ("-1*mse", "the weight '-1' is"),
        ("mse+0*ncc", "the weight '0' is"),
        ("nan*mse", "the weight 'nan' is"),
        ("inf*mse", "the weight 'inf' is"),
        ("a*mse", "the weight 'a' is"),
        ("*mse", "the weight '' is"),
        ("2*3*mse", r"the weight '2\*3' is"),
        ("mse+0.5*mse", "mse comes twice"),
    ],
)
def test_what_is_no_sum_of_known_names_lists_the_known(expression, reason):
    with pytest.raises(InputError, match=f"{', '.join(NAMES)} .*: {reason}") as caught:
        losses.find_similarity(expression)
    assert repr(expression) in str(caught.value)


@pytest.mark.parametrize("name, none", [("ncc", 1), ("mi", 0)])
def test_rounding_errors_are_no_contrast(textured, name, none):
    texture = textured(11, (1, 8, 9, 10))
    noisy = 0.3 + 1e-8 * texture
    value, gradient = differentiate(losses.SIMILARITIES[name], texture, noisy)
    np.testing.assert_allclose(value, none, atol=1e-9)
    np.testing.assert_allclose(gradient, 0, atol=1e-9)
