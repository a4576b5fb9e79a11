import numpy as np
import pytest
from scipy.interpolate import RegularGridInterpolator

from tf_lungreg.classification.features import SHAPE, Sampled, make_features, mirrored, sample
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import DIRECTIONS
from tf_lungreg.images.image import Image
from tf_lungreg.transforms.transform import Transform


def test_samples_match_scipy_in_the_box_of_the_mask(tools, rng):
    frame = tools.make_frame()
    field, _ = tools.make_patient(True, 3, frame)
    data = rng.normal(size=frame.shape) > 2.2
    data[3:9, 2:14, 4:10] = True
    mask = Image(data, frame, "none")
    found = sample(field, frame, mask, shape=(3, 4, 5))

    voxels = np.argwhere(data)
    low, high = voxels.min(axis=0) - 0.5, voxels.max(axis=0) + 0.5
    assert found.extent == pytest.approx((high - low) * frame.spacing)
    axes = [a + (b - a) * (np.arange(n) + 0.5) / n for a, b, n in zip(low, high, (3, 4, 5))]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    grid = [np.arange(n) for n in frame.shape]
    ras = RegularGridInterpolator(grid, field.data, bounds_error=False, fill_value=None)(points)
    wanted = np.stack([-ras[..., 1], -ras[..., 2], -ras[..., 0]], axis=-1)  # posterior, ...
    # The outermost cells may lie beyond the last centre, where the border continues.
    inside = ((points >= 0) & (points <= np.array(frame.shape) - 1)).all(axis=-1)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(found.displacement[inside], wanted[inside], atol=1e-4)


def test_mirrored_is_the_field_of_a_mirrored_body(tools, rng):
    frame = tools.make_frame()
    _, mask = tools.make_patient(True, 3, frame)
    field = Transform(rng.normal(size=(*frame.shape, 3)).astype(np.float32), frame)
    across = Transform(field.data[:, :, ::-1] * [-1, 1, 1], frame)  # left is -x in RAS
    turned = Image(mask.data[:, :, ::-1], frame, "none")
    wanted = make_features(sample(across, frame, turned))
    found = mirrored(make_features(sample(field, frame, mask)))
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    assert np.abs(wanted - make_features(sample(field, frame, mask))).max() > 1


def test_without_a_mask_the_box_is_the_volume(tools):
    frame = tools.make_frame()
    field, _ = tools.make_patient(False, 1, frame)
    found = sample(field, frame)
    assert found.displacement.shape == (*SHAPE, 3)
    assert found.extent == pytest.approx(np.array(frame.shape) * frame.spacing)


@pytest.mark.parametrize("unit", ["mm", "lung"])
def test_neither_voxels_nor_position_nor_axes_matter(tools, unit):
    fields = [
        tools.make_patient(True, 5),
        tools.make_patient(True, 5, tools.make_frame((4, 5, 3))),
        tools.make_patient(True, 5, center=(40.0, -70.0, 25.0)),
    ]
    # The first once more, its array stored in another order of the axes.
    field, mask = fields[1]
    turned = type(field)(
        np.ascontiguousarray(field.data[::-1].transpose(2, 0, 1, 3)),
        type(field.frame)(
            np.take(field.frame.shape, (2, 0, 1)),
            field.frame.affine
            @ np.array(
                [[0, -1, 0, field.frame.shape[0] - 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
            ),
        ),
    )
    turned_mask = Image(mask.data[::-1].transpose(2, 0, 1), turned.frame, "none")
    all_of_them = [*fields, (turned, turned_mask)]
    found = [make_features(sample(f, f.frame, m), unit) for f, m in all_of_them]
    scale = np.abs(found[0]).max()
    np.testing.assert_allclose(found[3], found[1], atol=1e-5 * scale)
    # Masks of coarse voxels end up to half a voxel elsewhere.
    np.testing.assert_allclose(found[1], found[0], atol=0.08 * scale)
    np.testing.assert_allclose(found[2], found[0], atol=1e-4 * scale)


def test_lung_units_are_shares_of_the_extent(rng):
    extent = np.array([100.0, 200.0, 50.0])
    sampled = Sampled(rng.normal(size=(2, 3, 4, 3)).astype(np.float32), extent)
    in_mm, in_lungs = make_features(sampled), make_features(sampled, "lung")
    np.testing.assert_allclose(in_lungs * extent, in_mm, rtol=1e-5)
    assert np.abs(in_mm.mean(axis=(0, 1, 2))).max() < 1e-6 < np.abs(in_mm).max()
    with pytest.raises(InputError, match="mm, lung"):
        make_features(sampled, "voxels")


def test_an_image_at_an_angle_has_the_box_that_holds_its_voxels(tools):
    frame = tools.make_frame(angles=(10, -20, 30))
    field, mask = tools.make_patient(False, 2, frame)
    corners = np.array(np.meshgrid(*[[-0.5, 0.5]] * 3)).reshape(3, -1).T
    voxels = (np.argwhere(mask.data)[:, None] + corners).reshape(-1, 3)
    world = voxels @ frame.affine[:3, :3].T @ DIRECTIONS
    assert sample(field, frame, mask).extent == pytest.approx(np.ptp(world, axis=0))
