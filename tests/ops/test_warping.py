import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import ops
from tf_lungreg.errors import InputError
from tf_lungreg.ops import warping

SHAPE = (6, 9, 7)


def random_pair(rng, batch=2, channels=3, dtype=np.float32, low=-3, high=3):
    """A volume and a grid of another size, with samples inside and outside."""
    volume = rng.normal(size=(batch, *SHAPE, channels)).astype(dtype)
    size = np.array(SHAPE)
    grid = rng.uniform(low, size - 1 + high, size=(batch, 5, 4, 8, 3)).astype(dtype)
    return volume, grid


def by_scipy(volume, grid, order, mode):
    out = np.empty((*grid.shape[:4], volume.shape[-1]), volume.dtype)
    for b in range(len(volume)):
        for c in range(volume.shape[-1]):
            out[b, ..., c] = ndimage.map_coordinates(
                volume[b, ..., c], np.moveaxis(grid[b], -1, 0), order=order, mode=mode
            )
    return out


def by_simpleitk(volume, grid, interpolator, outside):
    """The volume's single batch and channel, resampled through a displacement field."""
    image = sitk.GetImageFromArray(volume[0, ..., 0])
    shape = grid.shape[1:4]
    identity = ops.identity_grid(shape).numpy()[0]
    displacement = (grid[0] - identity)[..., ::-1].astype(np.float64)  # ITK's order is x, y, z
    field = sitk.GetImageFromArray(np.ascontiguousarray(displacement), isVector=True)
    reference = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkFloat32)
    transform = sitk.DisplacementFieldTransform(field)
    resampled = sitk.Resample(image, reference, transform, interpolator, outside)
    return sitk.GetArrayFromImage(resampled)


def test_linear_matches_scipy_with_continued_border(rng):
    volume, grid = random_pair(rng)
    expected = by_scipy(volume, grid, 1, "nearest")
    np.testing.assert_allclose(ops.warp(volume, grid), expected, atol=1e-5)


@pytest.mark.parametrize("block", [1, 7, 160, 319, 320])  # of 320 samples
def test_the_samples_are_the_same_however_many_at_a_time(rng, monkeypatch, block):
    volume, grid = random_pair(rng)
    arguments = tf.constant(volume), tf.constant(grid)
    expected = by_scipy(volume, grid, 1, "nearest")
    _, slopes = sample_with_slopes(*arguments)
    monkeypatch.setattr(warping, "_BLOCK", block)
    found, found_slopes = sample_with_slopes(*arguments)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(found_slopes, slopes, atol=1e-5)


def sample_with_slopes(volume, grid):
    with tf.GradientTape() as tape:
        tape.watch(grid)
        sampled = ops.warp(volume, grid)
    return sampled, tape.gradient(sampled, grid)


def test_linear_matches_simpleitk_with_constant_outside(rng):
    volume, grid = random_pair(rng, batch=1, channels=1)
    expected = by_simpleitk(volume, grid, sitk.sitkLinear, -7.0)
    found = ops.warp(volume, grid, outside=-7.0)[0, ..., 0].numpy()
    assert (expected == -7.0).any() and (expected != -7.0).any()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_constant_outside_begins_half_a_voxel_out_as_in_simpleitk():
    volume = np.arange(1, 28, dtype=np.float32).reshape(1, 3, 3, 3, 1)
    grid = np.ones((1, 2, 2, 8, 3), np.float32)
    grid[..., 2] = [-0.51, -0.49, -0.2, 0, 2, 2.2, 2.49, 2.51]
    expected = by_simpleitk(volume, grid, sitk.sitkLinear, 99.0)
    np.testing.assert_allclose(ops.warp(volume, grid, outside=99.0)[0, ..., 0], expected, atol=1e-4)


def test_nearest_matches_simpleitk_and_keeps_labels(rng):
    volume = rng.integers(0, 200, (1, *SHAPE, 1)).astype(np.uint8)
    _, grid = random_pair(rng, batch=1)
    found = ops.warp(volume, grid, "nearest", outside=0)
    assert found.dtype == tf.uint8
    expected = by_simpleitk(volume, grid, sitk.sitkNearestNeighbor, 0)
    np.testing.assert_array_equal(found[0, ..., 0], expected)


def test_nearest_rounds_halves_up():
    volume = np.arange(8, dtype=np.int32).reshape(1, 2, 2, 2, 1)
    grid = np.zeros((1, 1, 1, 2, 3), np.float32)
    grid[..., 0] = [0.5, 0.4999]
    np.testing.assert_array_equal(ops.warp(volume, grid, "nearest")[0, 0, 0, :, 0], [4, 0])


def test_a_coordinate_that_is_no_number_gives_a_sample_that_is_none(rng):
    volume, grid = random_pair(rng)
    grid[1, 2, 3, 4, 0] = np.nan
    found = ops.warp(volume, grid).numpy()
    assert np.isnan(found[1, 2, 3, 4]).all() and np.isnan(found).sum() == found.shape[-1]
    assert np.isfinite(ops.warp(volume, grid, "nearest")).all()


def test_identity_returns_the_volume(rng):
    volume, _ = random_pair(rng)
    grid = tf.repeat(ops.identity_grid(SHAPE), 2, axis=0)
    np.testing.assert_allclose(ops.warp(volume, grid), volume, atol=1e-6)


def off_lattice_grid(rng):
    """Coordinates inside and outside, none nearer than 0.05 to a kink."""
    size = np.array(SHAPE)
    cell = rng.integers(-2, size + 1, size=(2, 4, 3, 5, 3))
    return cell + rng.uniform(0.05, 0.95, size=cell.shape)


def test_gradients_match_finite_differences(rng):
    volume = rng.normal(size=(2, *SHAPE, 3))
    grid = off_lattice_grid(rng)
    weight = rng.normal(size=(2, 4, 3, 5, 3))

    def value(v, g):
        return tf.reduce_sum(ops.warp(v, g) * weight)

    v, g = tf.constant(volume), tf.constant(grid)
    with tf.GradientTape() as tape:
        tape.watch([v, g])
        total = value(v, g)
    found = tape.gradient(total, [v, g])
    for number, (point, step) in enumerate(((volume, 1e-3), (grid, 1e-6))):
        for _ in range(40):
            index = tuple(rng.integers(0, n) for n in point.shape)
            up, down = point.copy(), point.copy()
            up[index] += step
            down[index] -= step
            arguments = (
                [(up, grid), (down, grid)] if number == 0 else [(volume, up), (volume, down)]
            )
            expected = (value(*arguments[0]) - value(*arguments[1])) / (2 * step)
            scale = np.abs(found[number]).max()
            assert abs(found[number].numpy()[index] - expected) < 1e-6 * scale


def test_grid_gradient_off_lattice_matches_finite_differences_everywhere(rng):
    volume, grid = rng.normal(size=(1, *SHAPE, 1)), off_lattice_grid(rng)[:1]
    g = tf.constant(grid)
    with tf.GradientTape() as tape:
        tape.watch(g)
        total = tf.reduce_sum(ops.warp(volume, g))
    found = tape.gradient(total, g).numpy()
    for axis in range(3):
        step = np.zeros(3)
        step[axis] = 1e-4  # the value is linear in a coordinate within a cell
        up, down = ops.warp(volume, grid + step), ops.warp(volume, grid - step)
        expected = (up - down)[..., 0] / 2e-4
        np.testing.assert_allclose(found[..., axis], expected, rtol=1e-6, atol=1e-6)


def test_gradient_on_the_lattice_is_the_mean_of_both_slopes(rng):
    volume = rng.normal(size=(1, *SHAPE, 2))
    grid = ops.identity_grid(SHAPE, tf.float64)
    weight = rng.normal(size=(1, *SHAPE, 2))
    with tf.GradientTape() as tape:
        tape.watch(grid)
        total = tf.reduce_sum(ops.warp(volume, grid) * weight)
    found = tape.gradient(total, grid).numpy()
    step = 1e-3
    for axis in range(3):
        offset = np.eye(3)[axis] * step
        up, here, down = (ops.warp(volume, grid + k * offset).numpy() for k in (1, 0, -1))
        mean_slope = ((up - here) / step + (here - down) / step) / 2
        expected = (mean_slope * weight).sum(-1)
        np.testing.assert_allclose(found[..., axis], expected, rtol=1e-6, atol=1e-9)


def test_grid_gradient_is_zero_outside(rng):
    volume = rng.normal(size=(1, *SHAPE, 1)).astype(np.float32)
    for outside in ("border", 3.0):
        grid = tf.constant(rng.uniform(-4, -1, size=(1, 3, 3, 3, 3)).astype(np.float32))
        with tf.GradientTape() as tape:
            tape.watch(grid)
            total = tf.reduce_sum(ops.warp(volume, grid, outside=outside))
        np.testing.assert_array_equal(tape.gradient(total, grid), np.zeros(grid.shape))


@pytest.mark.parametrize("compiler", [False, True])
def test_graph_and_xla_agree_with_eager(rng, compiler):
    volume, grid = random_pair(rng)

    def value_and_gradients(v, g):
        with tf.GradientTape() as tape:
            tape.watch([v, g])
            out = ops.warp(v, g)
            total = tf.reduce_sum(out**2)
        return out, *tape.gradient(total, [v, g])

    arguments = tf.constant(volume), tf.constant(grid)
    eager = value_and_gradients(*arguments)
    graph = tf.function(value_and_gradients, jit_compile=compiler)(*arguments)
    for a, b in zip(eager, graph):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_sizes_may_be_unknown_when_traced(rng):
    volume, grid = random_pair(rng)
    spec = [tf.TensorSpec([None] * 5), tf.TensorSpec([None, None, None, None, 3])]
    traced = tf.function(ops.warp, input_signature=spec)
    np.testing.assert_allclose(traced(volume, grid), ops.warp(volume, grid), atol=1e-6)


def test_half_precision_volume_keeps_its_type_and_the_grid_its_precision(rng):
    volume, grid = random_pair(rng, low=0, high=0)
    half = tf.cast(volume, tf.float16)
    found = ops.warp(half, grid)
    assert found.dtype == tf.float16
    np.testing.assert_allclose(tf.cast(found, tf.float32), ops.warp(volume, grid), atol=5e-3)


@pytest.mark.parametrize(
    "volume_shape, grid_shape, arguments, word",
    [
        ((1, 4, 4, 4), (1, 4, 4, 4, 3), {}, "volume"),
        ((1, 4, 1, 4, 1), (1, 4, 4, 4, 3), {}, "volume"),
        ((1, 4, 4, 4, 1), (1, 4, 4, 4, 2), {}, "grid"),
        ((1, 4, 4, 4, 1), (1, 4, 4, 4, 3), {"interpolation": "cubic"}, "interpolation"),
        ((1, 4, 4, 4, 1), (1, 4, 4, 4, 3), {"outside": "mirror"}, "outside"),
    ],
)
def test_unusable_arguments_are_named(volume_shape, grid_shape, arguments, word):
    with pytest.raises(InputError, match=word):
        ops.warp(tf.zeros(volume_shape), tf.zeros(grid_shape), **arguments)
