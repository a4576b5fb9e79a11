"""The one sampler and its border rule."""

import numpy as np
import pytest
from scipy import ndimage

from tf_lungreg.images.geometry import within
from tf_lungreg.images.image import Image
from tf_lungreg.images.preparation import resample
from tf_lungreg.images.sampling import Sampler, is_inside, sample_linear


def test_the_border_is_that_of_sitk(tools, rng):
    """Positions on a lattice of eighths of a voxel, the very edges among them."""
    frame = tools.make_frame((4, 5, 6), "LPS", angles=(0, 0, 0))
    image = Image(rng.uniform(1, 2, frame.shape), frame)
    steps = [np.arange(-8, 8 * n + 8) / 8 for n in frame.shape]
    for axis, places in enumerate(steps):
        voxels = np.full((len(places), 3), 1.0)
        voxels[:, axis] = places
        points = voxels @ frame.affine[:3, :3].T + frame.affine[:3, 3]
        itk = [
            image.to_sitk().TransformPhysicalPointToContinuousIndex((p * [-1, -1, 1]).tolist())
            for p in points
        ]
        np.testing.assert_allclose(itk, voxels, atol=1e-6)
        edges = [-0.5, frame.shape[axis] - 0.5]
        expected = (places >= edges[0]) & (places < edges[1])
        np.testing.assert_array_equal(within(places, frame.shape[axis]), expected)
        np.testing.assert_array_equal(is_inside(points, frame), expected)
        found = Sampler(image.data, "linear", outside=-9.0)(voxels)
        np.testing.assert_array_equal(found != -9, expected)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_resampling_has_the_same_border(tools, rng, order):
    """Half a voxel of shift puts target voxels at the very edges of the source."""
    source = tools.make_frame((6, 7, 8), "LPS", angles=(0, 0, 0))
    image = Image(rng.uniform(1, 2, source.shape).astype(np.float32), source)
    half = source.affine.copy()
    half[:3, 3] -= half[:3, :3] @ [0.5, 1.5, 0.5]
    target = type(source)((8, 10, 10), half)
    found = resample(image, target, order, outside=-9.0) != -9
    voxels = np.stack(np.indices(target.shape), -1) - [0.5, 1.5, 0.5]
    expected = within(voxels, np.array(source.shape)).all(-1)
    np.testing.assert_array_equal(found, expected)
    assert 0 < expected.mean() < 1


def test_linear_samples_of_each_component(rng):
    data = rng.normal(size=(5, 6, 7, 2, 3)).astype(np.float32)
    voxels = rng.uniform(-2, 8, (4, 9, 3))
    found = sample_linear(data, voxels, np.float64)
    assert found.shape == (4, 9, 2, 3) and found.dtype == np.float64
    one = ndimage.map_coordinates(
        data[..., 1, 2].astype(float), np.moveaxis(voxels, -1, 0), order=1, mode="nearest"
    )
    np.testing.assert_allclose(found[..., 1, 2], one, rtol=1e-12)
    assert sample_linear(data[..., 0, 0], voxels).shape == (4, 9)
