"""A displacement field against SimpleITK, by way of its file."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.images import sampling
from tf_lungreg.images.image import Image
from tf_lungreg.transforms.transform import Transform
from tf_lungreg.transforms.transform_files import write_affine, write_displacement


@pytest.fixture
def field(tools, rng):
    frame = tools.make_frame((12, 15, 11), "SAL", (4, 5, -300))  # left-handed
    data = np.stack([4 * tools.smooth_noise(rng, frame.shape) for _ in range(3)], axis=-1)
    return Transform(data + np.float32([6, -3, 9]), frame)


@pytest.fixture
def image(tools, rng, tmp_path):
    frame = tools.make_frame((20, 18, 22), "PIR", (9, 3, -292), angles=(-4, 9, 15))
    data = 100 * tools.smooth_noise(rng, frame.shape)
    return Image.read(tools.save(tmp_path / "image.nii", data, frame))


def inner(values):
    return values[1:-1, 1:-1, 1:-1]


def test_points_as_simpleitk_maps_them(tools, field, rng, tmp_path):
    field.save(tmp_path / "d.nii.gz")
    corner = field.frame.affine[:3, 3]
    voxels = rng.uniform(1, 9, (30, 3))
    points = voxels @ field.frame.affine[:3, :3].T + corner
    expected = tools.itk_points(tools.read_field(tmp_path / "d.nii.gz"), points)
    np.testing.assert_allclose(field.map_points(points), expected, atol=2e-3)
    assert np.abs(field.map_points(points) - points).mean() > 4


def test_points_outside_keep_the_displacement_of_the_border(field):
    affine = field.frame.affine
    last = affine[:3, :3] @ (np.array(field.frame.shape) - 1) + affine[:3, 3]
    far = last + 100 * affine[:3, :3].sum(axis=1)
    np.testing.assert_allclose(field.map_points(far) - far, field.data[-1, -1, -1], rtol=1e-5)


def test_a_translation(rng):
    points = rng.normal(size=(2, 5, 3)) * 100
    moved = Transform.translation([1, -2, 3]).map_points(points)
    np.testing.assert_allclose(moved, points + [1, -2, 3])


@pytest.mark.parametrize(
    "points, message",
    [
        (np.zeros((3, 5)), r"shape \(3, 5\) .* shape \(..., 3\) .* transpose the array"),
        ([[1, 2]], r"shape \(1, 2\)"),
        ([1, 2, 3, 4, 5, 6], r"shape \(6,\)"),
        (5.0, r"shape \(\)"),
        (None, "type object"),
        ([[1, 2, 3], [4, 5]], "numbers of shape"),
        ([["a", "b", "c"]], "numbers of shape"),
        ([[1, 2, 3j]], "type complex128"),
        ([[1, 2, np.nan], [1, 2, 3]], "1 of 2 hold NaN or infinity"),
        ([np.inf, 2, 3], "1 of 1 hold NaN or infinity"),
    ],
)
def test_what_is_no_points_is_refused(field, points, message):
    for of in (field.map_points, field.displacement):
        with pytest.raises(InputError, match=f"^points: .*{message}"):
            of(points)


@pytest.mark.parametrize("vector", [[1, 2], [[1, 2, 3]], [1, np.nan, 3], None])
def test_a_translation_is_one_vector(vector):
    with pytest.raises(InputError, match="^vector: .*"):
        Transform.translation(vector)


def test_no_points_are_none(field):
    assert field.map_points(np.empty((0, 3))).shape == (0, 3)


def test_the_saved_field_comes_back(field, tmp_path):
    field.save(tmp_path / "d.nii.gz")
    again = Transform.read(tmp_path / "d.nii.gz")
    np.testing.assert_array_equal(again.data, field.data)
    assert again.frame.same_grid(field.frame)


def test_what_the_file_says(field, tmp_path):
    field.save(tmp_path / "d.nii.gz")
    image = nib.load(tmp_path / "d.nii.gz")
    assert image.shape == (*field.frame.shape, 1, 3)
    assert image.get_data_dtype() == np.float32
    assert image.header["intent_code"] == 1007
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    np.testing.assert_array_equal(
        image.get_fdata()[..., 0, :], field.data * np.float32([-1, -1, 1])
    )


def test_a_part_of_a_transform_says_so(field, tmp_path, recwarn):
    path = tmp_path / "n.nii.gz"
    write_displacement(path, field.data, field.frame)
    Transform.read(path)
    assert not recwarn
    write_displacement(path, field.data, field.frame, part=True)
    assert b"without affine.tfm" in nib.load(path).header["descrip"].item()
    with pytest.warns(UserWarning, match=r"n\.nii\.gz: only a part .*displacement\.nii\.gz"):
        again = Transform.read(path)
    np.testing.assert_array_equal(again.data, field.data)


def test_intent_1006_would_be_read_mirrored(tools, field, tmp_path):
    """Why the intent is 1007: of 1006, ITK flips the signs of x and y."""
    field.save(tmp_path / "d.nii.gz")
    image = nib.load(tmp_path / "d.nii.gz")
    image.header["intent_code"] = 1006
    nib.save(image, tmp_path / "wrong.nii.gz")
    right, wrong = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name)))
        for name in ("d.nii.gz", "wrong.nii.gz")
    )
    np.testing.assert_allclose(wrong, right * [-1, -1, 1], atol=1e-5)
    with pytest.raises(InputError, match="intent 1006"):
        Transform.read(tmp_path / "wrong.nii.gz")


@pytest.mark.parametrize("interpolation", ["linear", "nearest", "cubic"])
def test_images_as_simpleitk_samples_them(tools, field, image, tmp_path, interpolation):
    field.save(tmp_path / "d.nii.gz")
    interpolators = {
        "linear": sitk.sitkLinear,
        "nearest": sitk.sitkNearestNeighbor,
        "cubic": sitk.sitkBSpline,
    }
    reference = tmp_path / "reference.nii"
    tools.save(reference, np.zeros(field.frame.shape, np.float32), field.frame)
    outside = 0 if interpolation == "nearest" else image.data.min()
    expected = tools.itk_resample(
        image.name,
        reference,
        tools.read_field(tmp_path / "d.nii.gz"),
        outside,
        interpolators[interpolation],
    )
    found = field.warp(image, interpolation).data
    assert (found == outside).any()  # some points lie outside
    error = inner(np.abs(found - expected)) / np.ptp(image.data)
    # Coordinates in files are float32: a sample at an edge may fall to the other side.
    assert np.quantile(error, 0.999) < 1e-3 and (error > 1e-3).sum() <= 2


def test_masks_stay_masks(field, image):
    mask = Image(image.data > 0, image.frame, "mask")
    warped = field.warp(mask)
    expected = field.warp(Image(mask.data.astype(np.float32), image.frame, ""), "nearest")
    assert warped.data.dtype == bool
    np.testing.assert_array_equal(warped.data, expected.data == 1)


def test_integers_stay_so_only_with_nearest(field, image):
    """Linear samples of integers were cut to whole numbers."""
    counts = Image(np.round(image.data).astype(np.int16), image.frame, "counts")
    floats = Image(counts.data.astype(np.float32), image.frame, "floats")
    for interpolation in ("linear", "cubic"):
        found = field.warp(counts, interpolation)
        assert found.data.dtype == np.float32
        np.testing.assert_array_equal(found.data, field.warp(floats, interpolation).data)
    labels = field.warp(counts, "nearest")
    assert labels.data.dtype == np.int16
    np.testing.assert_array_equal(labels.data, field.warp(floats, "nearest").data)


def test_another_reference(tools, field, image):
    frame = tools.make_frame((7, 8, 9), "RAS", (4, 5, -300), spacing=(3, 3, 3))
    found = field.warp(image, reference=frame)
    assert found.frame is frame and found.data.shape == frame.shape
    index = (3, 4, 5)
    point = field.map_points((frame.affine @ [*index, 1])[:3])
    voxel = (np.linalg.inv(image.frame.affine) @ [*point, 1])[:3]
    expected = sampling.Sampler(image.data)(voxel)
    np.testing.assert_allclose(found.data[index], expected, rtol=1e-4)


def test_the_jacobian_is_simpleitks(tools, field):
    # SimpleITK's filter takes no account of the image's direction: it gets the vectors' components
    # along the voxel axes, which leaves the determinant the same.
    axes = field.frame.affine[:3, :3] / field.frame.spacing
    image = sitk.GetImageFromArray((field.data @ axes).transpose(2, 1, 0, 3), isVector=True)
    image.SetSpacing(field.frame.spacing.tolist())
    expected = tools.itk_array(sitk.DisplacementFieldJacobianDeterminant(image))
    found = field.jacobian()
    assert found.dtype == np.float32 and found.std() > 0.3
    np.testing.assert_allclose(inner(found), inner(expected), atol=1e-4)


def test_slabs_change_nothing(field, image, monkeypatch):
    whole = field.warp(image).data, field.jacobian()
    monkeypatch.setattr(sampling, "_SLAB", 1)
    assert len(list(sampling.slabs(field.frame.shape))) == field.frame.shape[0]
    np.testing.assert_array_equal(field.warp(image).data, whole[0])
    np.testing.assert_array_equal(field.jacobian(), whole[1])


def test_the_affine_file(tools, rng, tmp_path):
    affine = np.eye(4)
    affine[:3] += 0.2 * rng.normal(size=(3, 4))
    affine[:3, 3] *= 100
    write_affine(tmp_path / "affine.tfm", affine)
    points = 100 * rng.normal(size=(5, 3))
    found = tools.itk_points(sitk.ReadTransform(str(tmp_path / "affine.tfm")), points)
    np.testing.assert_allclose(found, points @ affine[:3, :3].T + affine[:3, 3], atol=1e-9)


def test_the_itk_transform_file(tools, field, tmp_path):
    field.save(tmp_path / "t.h5")
    field.save(tmp_path / "d.nii.gz")
    points = (field.frame.affine @ [[3, 5.5], [4, 7.2], [2, 6.1], [1, 1]])[:3].T
    found = tools.itk_points(sitk.ReadTransform(str(tmp_path / "t.h5")), points)
    np.testing.assert_allclose(found, field.map_points(points), atol=1e-4)


def test_files_that_are_no_field(tools, tmp_path):
    frame = tools.make_frame((5, 6, 7))
    with pytest.raises(MissingFileError, match="none.nii"):
        Transform.read(tmp_path / "none.nii")
    flat = tools.save(tmp_path / "image.nii", np.zeros((5, 6, 7), np.float32), frame)
    with pytest.raises(InputError, match=r"\(5, 6, 7\).*1007"):
        Transform.read(flat)
    text = tmp_path / "text.nii.gz"
    text.write_text("nothing")
    with pytest.raises(InputError, match="not a readable displacement field"):
        Transform.read(text)
    data = np.zeros((5, 6, 7, 3), np.float32)
    data[1, 2, 3, 1] = np.nan
    Transform(data, frame).save(tmp_path / "nan.nii")
    with pytest.raises(InputError, match="NaN"):
        Transform.read(tmp_path / "nan.nii")


def test_an_unknown_interpolation(field, image):
    with pytest.raises(InputError, match="linear, nearest, cubic.*'best'"):
        field.warp(image, "best")
