"""Windows against hand-made numbers, resampling against SimpleITK."""

import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial.transform import Rotation

from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import DIRECTIONS, Frame
from tf_lungreg.images.image import Image
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import (
    apply_window,
    is_hounsfield,
    mask_to_network,
    resample,
    to_network,
    window_limits,
)


def make_frame(shape, spacing, angles=(0, 0, 0), center=(0, 0, 0)):
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = rotation @ DIRECTIONS * np.array(spacing)
    affine[:3, 3] = center - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Frame(shape, affine)


def smooth_noise(shape, sigma=1.0, seed=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    return (100 * ndimage.gaussian_filter(noise, sigma)).astype(np.float32)


def to_itk(data, frame):
    """An ITK image with the same voxels at the same places; ITK counts W, H, D here."""
    image = sitk.GetImageFromArray(data)
    flip = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(frame.spacing[::-1].tolist())
    directions = flip @ frame.affine[:3, :3] / frame.spacing
    image.SetDirection(directions[:, ::-1].ravel().tolist())
    image.SetOrigin((flip @ frame.affine[:3, 3]).tolist())
    return image


def itk_resample(data, source, target, interpolator, outside=0.0):
    reference = to_itk(np.zeros(target.shape, np.float32), target)
    moved = sitk.Resample(
        to_itk(data, source), reference, sitk.Transform(), interpolator, outside, sitk.sitkFloat32
    )
    return sitk.GetArrayFromImage(moved)


SOURCE = make_frame((21, 26, 31), (2.5, 1.1, 1.7), (12, -20, 35), (10, -40, 900))
# Finer than the source, so that nothing is smoothed, turned against it, and larger than it.
FINE = make_frame((40, 46, 52), (1.05, 1.0, 1.08), (-5, 15, 25), (13, -38, 903))


def deep_inside(target, source, margin):
    index = np.moveaxis(np.indices(target.shape), 0, -1) @ target.voxel_to(source)[:3, :3].T
    index += target.voxel_to(source)[:3, 3]
    return ((index > margin) & (index < np.array(source.shape) - 1 - margin)).all(axis=-1)


@pytest.mark.parametrize(
    ("order", "interpolator", "margin"),
    [(0, sitk.sitkNearestNeighbor, -0.5), (1, sitk.sitkLinear, 0), (3, sitk.sitkBSpline, 6)],
)
def test_resample_is_itks(order, interpolator, margin):
    data = smooth_noise(SOURCE.shape, 0.7)
    ours = resample(Image(data, SOURCE, "a"), FINE, order, outside=-77)
    theirs = itk_resample(data, SOURCE, FINE, interpolator, -77)
    assert ours.dtype == np.float32 and ours.shape == FINE.shape
    where = deep_inside(FINE, SOURCE, margin)
    assert 1000 < where.sum() < where.size
    np.testing.assert_allclose(ours[where], theirs[where], atol=2e-2 if order == 3 else 1e-3)
    outside = ~deep_inside(FINE, SOURCE, -0.5)
    assert 1000 < outside.sum()
    np.testing.assert_array_equal(ours[outside], -77)
    np.testing.assert_array_equal(theirs[outside], -77)


def test_the_border_continues_outside():
    data = smooth_noise(SOURCE.shape, 0.7)
    border = resample(Image(data, SOURCE, "a"), FINE, order=1)
    index = np.moveaxis(np.indices(FINE.shape), 0, -1) @ FINE.voxel_to(SOURCE)[:3, :3].T
    index += FINE.voxel_to(SOURCE)[:3, 3]
    clamped = np.clip(index, 0, np.array(SOURCE.shape) - 1)
    expected = ndimage.map_coordinates(
        data.astype(np.float64), np.moveaxis(clamped, -1, 0), order=1
    )
    np.testing.assert_allclose(border, expected, atol=1e-3)
    cubic = resample(Image(data, SOURCE, "a"), FINE)  # no ringing beyond the border
    assert cubic.min() > data.min() - 0.2 * np.ptp(data)
    assert cubic.max() < data.max() + 0.2 * np.ptp(data)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_the_own_grid_changes_nothing(order):
    data = smooth_noise(SOURCE.shape, 0.3)
    np.testing.assert_allclose(resample(Image(data, SOURCE, "a"), SOURCE, order), data, atol=1e-4)


def test_a_linear_ramp_in_the_world_stays_one():
    coarse = make_frame((9, 8, 11), (3.0, 4.0, 2.5), (3, 5, -8), (11, -40, 901))
    gradient = np.array([1.5, -0.7, 0.4])

    def ramp(frame):
        world = np.moveaxis(np.indices(frame.shape), 0, -1) @ frame.affine[:3, :3].T
        return ((world + frame.affine[:3, 3]) @ gradient).astype(np.float32)

    large = make_frame((41, 61, 61), (1.5, 1.2, 1.1), (12, -20, 35), (10, -40, 900))
    got = resample(Image(ramp(large), large, "a"), coarse)
    where = deep_inside(coarse, large, 8)
    assert where.sum() > 100
    np.testing.assert_allclose(got[where], ramp(coarse)[where], atol=2e-2)


@pytest.mark.parametrize("angles", [(0, 0, 0), (0, 0, 90), (30, 10, -50)])
def test_shrinking_smooths_away_what_the_grid_cannot_hold(angles):
    noise = np.random.default_rng(0).normal(size=(48, 48, 48)).astype(np.float32)
    source = make_frame(noise.shape, (1, 1, 1), angles)
    target = make_frame((8, 8, 8), (4, 4, 4))
    got = resample(Image(noise, source, "a"), target)
    # the mean of 4³ independent voxels would have 1/8; without smoothing it would be near 1
    assert got.std() < 0.2
    assert resample(Image(noise, source, "a"), target, order=0).std() > 0.8


def test_the_smoothing_of_each_axis():
    """The response to a point is a Gaussian of the stated width along that axis alone."""
    source = make_frame((61, 61, 61), (1.0, 1.0, 1.0))
    point = np.zeros(source.shape, np.float32)
    point[30, 30, 30] = 1
    for axis, ratio in ((0, 2), (1, 3), (2, 4)):
        spacing = np.ones(3)
        spacing[axis] = ratio
        profile = {}  # by distance from the point; shifted grids fill the gaps of each other
        for shift in range(ratio):
            target = make_frame((13, 13, 13), spacing, center=shift * DIRECTIONS[:, axis])
            got = resample(Image(point, source, "a"), target)
            line = np.moveaxis(got, axis, 0)[:, 6, 6]
            profile.update({(i - 6) * ratio + shift: value for i, value in enumerate(line)})
            line[:] = 0
            np.testing.assert_allclose(got, 0, atol=1e-5)  # nothing spreads along the others
        x, y = np.array(list(profile)), np.array(list(profile.values()))
        assert y.sum() == pytest.approx(1, abs=1e-3)
        assert (y * x**2).sum() == pytest.approx((ratio**2 - 1) / (8 * np.log(2)), rel=0.01)


def test_anisotropic_sources_are_smoothed_in_their_own_axes():
    # Thick slices along the source's D, turned by 90 degrees onto the target's H.
    data = smooth_noise((20, 40, 40), 0)
    source = make_frame(data.shape, (4, 1, 1), (90, 0, 0))
    got = resample(Image(data, source, "a"), make_frame((20, 30, 20), (2, 2, 2)))
    sigma = np.sqrt(3) / (2 * np.sqrt(2 * np.log(2)))
    smoothed = ndimage.gaussian_filter(data, (0, sigma, sigma), mode="nearest")
    expected = itk_resample(
        smoothed, source, make_frame((20, 30, 20), (2, 2, 2)), sitk.sitkBSpline, 0.0
    )
    np.testing.assert_allclose(got[4:-4, 8:-8, 4:-4], expected[4:-4, 8:-8, 4:-4], atol=0.05)


def test_masks_take_the_nearest_voxel():
    mask = smooth_noise(SOURCE.shape, 2) > 0
    for target in (FINE, make_frame((9, 9, 9), (5, 5, 5), (3, 4, 5), (12, -40, 900))):
        got = mask_to_network(Image(mask, SOURCE, "m"), target)
        expected = itk_resample(mask.astype(np.uint8), SOURCE, target, sitk.sitkNearestNeighbor)
        assert got.dtype == bool
        np.testing.assert_array_equal(got, expected > 0)


def test_midway_between_two_voxels_the_next_one_is_taken():
    mask = np.random.default_rng(0).random((20, 22, 24)) > 0.5
    source = make_frame(mask.shape, (1.1, 1.3, 0.7), center=(0.1, 33.3, -900.7))
    half = make_frame((10, 11, 12), (2.2, 2.6, 1.4), center=(0.1, 33.3, -900.7))
    np.testing.assert_array_equal(
        mask_to_network(Image(mask, source, "m"), half), mask[1::2, 1::2, 1::2]
    )
    shifted = make_frame(mask.shape, (1.1, 1.3, 0.7), center=(0.1 - 0.35, 33.3 - 0.55, -901.35))
    got = mask_to_network(Image(mask, source, "m"), shifted)
    np.testing.assert_array_equal(got[:-1, :-1, :-1], mask[1:, 1:, 1:])
    assert not got[-1].any() and not got[:, -1].any() and not got[:, :, -1].any()


def test_outside_must_be_a_number_or_border():
    with pytest.raises(InputError, match="outside: 'border' or a number is needed, not 'zero'"):
        resample(Image(smooth_noise(SOURCE.shape), SOURCE, "a"), FINE, outside="zero")


def ct(padding=None):
    rng = np.random.default_rng(0)
    data = rng.normal(40, 30, (20, 30, 40))  # soft tissue
    data[:, :10] = rng.normal(-1000, 10, data[:, :10].shape)  # air
    data[5:15, 15:25, 10:30] = rng.normal(-850, 60, (10, 10, 20))  # lung
    data[0, 0] = 3071  # metal
    if padding is not None:
        data[:, :, :5] = padding
    return data.astype(np.float32)


def mri():
    rng = np.random.default_rng(1)
    return np.abs(rng.normal(0, 20, (20, 30, 40)) + 600 * (rng.random((20, 30, 40)) > 0.5)).astype(
        np.float32
    )


@pytest.mark.parametrize("padding", [None, -2000, -3024, -1024])
def test_hounsfield_units_are_recognised(padding):
    assert is_hounsfield(ct(padding))
    assert window_limits(ct(padding)) == (-1000, 300)


def test_a_lung_cut_from_its_ct_is_still_in_hounsfield_units():
    data = np.zeros((50, 50, 50), np.float32)
    data[20:32, 20:32, 20:32] = -800  # 1.4 % of the voxels
    assert window_limits(data) == (-1000, 300)


def test_other_data_take_their_percentiles():
    data = mri()
    scored = (data - data.mean()) / data.std()
    for image in (data, scored, scored * 10, ct() + 1024):
        assert not is_hounsfield(image)
        low, high = window_limits(image)
        assert (low, high) == pytest.approx(tuple(np.percentile(image, [0.5, 99.5])))


def test_other_windows():
    assert window_limits(mri(), "paper") == (0, 1300)
    assert window_limits(mri(), (10, 200.5)) == (10, 200.5)
    assert window_limits(mri(), [-3, np.float32(7)]) == (-3, 7)


def test_a_mask_like_image_falls_back_to_its_extremes():
    data = np.zeros((30, 30, 30), np.float32)
    data[3, 4, 5:9] = 7
    assert window_limits(data) == (0, 7)


@pytest.mark.parametrize(
    "window", ["bright", (5, 5), (9, 1), (1,), (1, 2, 3), ("a", 3), (0, np.nan), (0, np.inf), None]
)
def test_windows_that_are_none(window):
    with pytest.raises(InputError, match="window: 'auto', 'paper' or two numbers LOW < HIGH"):
        window_limits(mri(), window)


@pytest.mark.parametrize(
    ("value", "window"),
    [(5, "auto"), (-900, "auto"), (5, (0, 10)), (0, "paper")],
)
def test_constant_images(value, window):
    with pytest.raises(InputError, match=r"^scan\.nii: nothing to register.*constant.*choose"):
        window_limits(np.full((4, 5, 6), value, np.float32), window, "scan.nii")


@pytest.mark.parametrize("window", [(2000, 3000), (-50, -10)])
def test_images_outside_the_window(window):
    with pytest.raises(InputError, match=r"^scan\.nii: nothing to register.*constant in the win"):
        window_limits(mri().clip(0, 900), window, "scan.nii")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_apply_window(dtype):
    data = np.array([[-3000, -1000, -350], [300, 301, 3000]], dtype=dtype)
    before = data.copy()
    got = apply_window(data, (-1000, 300))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [[0, 0, 0.5], [1, 1, 1]])
    np.testing.assert_array_equal(data, before)


def test_to_network_windows_before_it_resamples():
    source = make_frame(ct().shape, (3, 2.5, 2), (5, -8, 12), (4, 5, -900))
    frame = network_frame(source, source, (5, 4, 4.5))[0]
    plain = to_network(Image(ct(), source, "a"), frame)
    metal = ct()
    metal[metal == 3071] = 30000  # the brightness of metal does not matter
    np.testing.assert_array_equal(to_network(Image(metal, source, "a"), frame), plain)
    assert plain.dtype == np.float32 and plain.shape == frame.shape
    assert plain.min() == 0 and plain.max() == 1
    windowed = Image(((ct() + 1000) / 1300).clip(0, 1), source, "a")
    np.testing.assert_allclose(plain, resample(windowed, frame).clip(0, 1), atol=1e-5)
    with pytest.raises(InputError, match=r"^scan\.nii"):
        to_network(Image(np.ones_like(metal), source, "scan.nii"), frame)


def test_to_network_keeps_the_anatomy_in_place():
    """A bright ball is found where it was, in mm, along every axis."""
    source = make_frame((40, 50, 60), (2.5, 2.1, 1.9), (7, -9, 14), (30, -20, 500))
    ball = np.array([55.0, -32.0, 522.0])
    world = np.moveaxis(np.indices(source.shape), 0, -1) @ source.affine[:3, :3].T
    world += source.affine[:3, 3]
    data = 1000 * np.exp(-(((world - ball) / 8) ** 2).sum(axis=-1)).astype(np.float32)
    frame = network_frame(source, source, (7.5, 6.42, 6.42), (16, 24, 24))[0]
    got = to_network(Image(data, source, "a"), frame, (0, 1000))
    weights = got.astype(np.float64) ** 2
    index = [(weights * i).sum() / weights.sum() for i in np.indices(frame.shape)]
    np.testing.assert_allclose((frame.affine @ [*index, 1])[:3], ball, atol=0.3)


def test_memory_stays_within_a_few_copies():
    data = smooth_noise((96, 96, 96), 0)
    volume = Image(data, make_frame(data.shape, (1, 1, 1)), "a")
    frame = make_frame((24, 24, 24), (4, 4, 4))
    tracemalloc.start()
    to_network(volume, frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * data.nbytes
