import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.errors import InputError

SHAPE = (5, 8, 6)


def random_gradients(rng, dtype=np.float64):
    return rng.uniform(0, 2, size=(2, *SHAPE, 3)).astype(dtype)


@pytest.mark.parametrize("anchor", ops.ANCHORS)
def test_unit_gradients_are_the_identity(anchor):
    grid = ops.integrate(tf.ones((2, 64, 20, 192, 3)), anchor)
    expected = np.broadcast_to(ops.identity_grid((64, 20, 192)), grid.shape)
    np.testing.assert_allclose(grid, expected, atol=1e-5)


def test_corner_is_the_sum_of_all_steps_before(rng):
    phi = random_gradients(rng)
    grid = ops.integrate(tf.constant(phi), "corner").numpy()
    for b, i, j, k in [(0, 0, 0, 0), (1, 4, 7, 5), (0, 2, 3, 1)]:
        expected = [phi[b, :i, j, k, 0].sum(), phi[b, i, :j, k, 1].sum(), phi[b, i, j, :k, 2].sum()]
        np.testing.assert_allclose(grid[b, i, j, k], expected, atol=1e-12)


def test_steps_of_corner_and_center_are_the_gradients(rng):
    phi = random_gradients(rng)
    for anchor in ("corner", "center"):
        grid = ops.integrate(tf.constant(phi), anchor).numpy()
        for axis in range(3):
            steps = np.diff(grid[..., axis], axis=axis + 1)
            expected = np.delete(phi[..., axis], -1, axis=axis + 1)
            np.testing.assert_allclose(steps, expected, atol=1e-12)


def test_center_has_no_mean_displacement_on_any_line(rng):
    u = ops.displacement(ops.integrate(tf.constant(random_gradients(rng)), "center")).numpy()
    for axis in range(3):
        np.testing.assert_allclose(u[..., axis].mean(axis=axis + 1), 0, atol=1e-12)


def test_ends_stay_and_steps_are_proportional_to_the_gradients(rng):
    phi = random_gradients(rng)
    grid = ops.integrate(tf.constant(phi), "ends").numpy()
    for axis, size in enumerate(SHAPE):
        coordinate = np.moveaxis(grid[..., axis], axis + 1, -1)
        np.testing.assert_allclose(coordinate[..., 0], 0, atol=1e-12)
        np.testing.assert_allclose(coordinate[..., -1], size - 1, rtol=1e-12)
        steps = np.moveaxis(phi[..., axis], axis + 1, -1)[..., :-1]
        expected = steps * (size - 1) / steps.sum(-1, keepdims=True)
        np.testing.assert_allclose(np.diff(coordinate, axis=-1), expected, atol=1e-12)


def test_ends_ignores_a_uniform_change(rng):
    phi = random_gradients(rng)
    found = ops.integrate(tf.constant(0.5 * phi), "ends")
    np.testing.assert_allclose(found, ops.integrate(tf.constant(phi), "ends"), atol=1e-12)


@pytest.mark.parametrize("anchor", ops.ANCHORS)
def test_every_coordinate_grows_along_its_axis(rng, anchor):
    phi = random_gradients(rng)
    phi[rng.uniform(size=phi.shape) < 0.3] = 0
    grid = ops.integrate(tf.constant(phi), anchor).numpy()
    for axis in range(3):
        assert np.diff(grid[..., axis], axis=axis + 1).min() >= -1e-12


def test_ends_of_a_line_without_steps_is_finite():
    phi = tf.Variable(tf.zeros((1, *SHAPE, 3)))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(ops.integrate(phi, "ends"))
    assert np.isfinite(total) and np.isfinite(tape.gradient(total, phi)).all()


def test_unknown_anchor_lists_the_known():
    with pytest.raises(InputError, match="corner, center, ends"):
        ops.integrate(tf.ones((1, 4, 4, 4, 3)), "middle")
