"""Images in memory give the bits that files give."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

import tf_lungreg as lr
from tf_lungreg.errors import InputError


@pytest.fixture
def scaled_pair(pair, tmp_path):
    """The pair as scaled int16, whose values nibabel and ITK compute, and as floats."""
    for name in ("fixed", "moving"):
        image = nib.load(getattr(pair, name))
        header = nib.Nifti1Header()
        header.set_data_dtype(np.int16)
        header.set_slope_inter(0.37, -12.5)
        stored = nib.Nifti1Image(image.get_fdata(), image.affine, header)
        nib.save(stored, tmp_path / f"scaled_{name}.nii.gz")
    return [str(tmp_path / f"scaled_{name}.nii.gz") for name in ("fixed", "moving")]


def both(first, second):
    for name in ("warped", "jacobian", "displacement"):
        a, b = getattr(first, name), getattr(second, name)
        yield a.data, b.data


@pytest.mark.parametrize("kind", ["nibabel", "nibabel array", "image", "lazy image"])
def test_an_image_in_memory_gives_the_bits_of_its_file(scaled_pair, tools, kind):
    read = {
        "nibabel": nib.load,
        "nibabel array": lambda path: lr.Image.read(path).to_nibabel(),
        "image": lambda path: lr.Image(lr.Image.read(path).data, nib.load(path).affine),
        "lazy image": lr.Image.read,
    }[kind]
    model = tools.known_model(tools.SOME_AFFINE, 0.2)
    by_files = lr.register(*scaled_pair, model)
    in_memory = lr.register(*map(read, scaled_pair), model)
    for expected, found in both(by_files, in_memory):
        np.testing.assert_array_equal(found, expected)


def test_an_image_of_sitk_gives_what_its_file_gives(pair, tools, tmp_path):
    """ITK keeps positions in float64, NIfTI in float32: a file of ITK's own is compared."""
    paths = []
    for name in ("fixed", "moving"):
        paths.append(str(tmp_path / f"{name}.mha"))
        sitk.WriteImage(sitk.ReadImage(str(getattr(pair, name))), paths[-1])
    model = tools.known_model(tools.SOME_AFFINE, 0.2)
    by_files = lr.register(*paths, model)
    in_memory = lr.register(*map(sitk.ReadImage, paths), model)
    for expected, found in both(by_files, in_memory):
        np.testing.assert_array_equal(found, expected)


def test_masks_in_memory_and_the_record(scaled_pair, tools):
    model = tools.known_model(tools.SOME_AFFINE, 0.2)
    images = [lr.Image.read(path) for path in scaled_pair]
    masks = [lr.Image(image.data > np.median(image.data), image.affine) for image in images]
    turned = [mask.reoriented(("P", "I", "L")) for mask in masks]  # put right by their affines
    expected = lr.register(*images, model, fixed_mask=masks[0], moving_mask=masks[1])
    found = lr.register(*images, model, fixed_mask=turned[0], moving_mask=turned[1])
    assert found.measures.dice_after == expected.measures.dice_after > 0.3
    records = found.provenance.inputs
    assert records["fixed"]["path"] == scaled_pair[0] and records["fixed_mask"]["path"] == "array"
    assert len({record["sha256"] for record in records.values()}) == 4
    other = lr.register(*images[::-1], model).provenance.inputs
    assert other["fixed"]["sha256"] == records["moving"]["sha256"]


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.zeros((4, 5, 6)), "fixed: a file, or an image .* not ndarray; .*Image"),
        (None, "not NoneType"),
        (sitk.Image(8, 8, sitk.sitkFloat32), "fixed: a 2D image"),
        (sitk.Image([8, 8, 8], sitk.sitkVectorFloat32), "fixed: the voxels are RGB or vector"),
        (sitk.Image([8, 8, 8], sitk.sitkLabelUInt8), "fixed: a label map .*LabelMapToLabel"),
        (nib.Nifti1Image(np.zeros((4, 5, 6, 2)), np.eye(4)), "fixed: a 4D image"),
        (nib.AnalyzeImage(np.zeros((4, 5, 6), np.int16), np.eye(4)), "fixed: an Analyze image"),
        (nib.Nifti1Image(np.zeros((4, 5, 6)), None), "fixed: an image .* without an affine"),
        (lr.Image(np.full((4, 5, 6), np.nan), np.eye(4)), "array: 120 of 120 voxels are NaN"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(pair, tools, bad, message):
    with pytest.raises(InputError, match=message) as caught:
        lr.register(bad, pair.moving, tools.known_model())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data, affine, message",
    [
        (np.zeros((4, 5)), np.eye(4), r"shape \(4, 5\)"),
        (np.zeros((4, 5, 6), complex), np.eye(4), "type complex128"),
        (np.zeros((4, 5, 6)), np.zeros((4, 4)), "singular"),
        (np.zeros((4, 5, 6)), np.eye(3), r"\(4, 4\)"),
        (np.zeros((4, 5, 6)), np.diag([1, 1, 1, 2]), "last row"),
    ],
)
def test_an_image_that_cannot_be(data, affine, message):
    with pytest.raises(InputError, match=message):
        lr.Image(data, affine)


def test_masked_voxels_are_refused(pair):
    image = lr.Image.read(pair.fixed)
    masked = np.ma.masked_greater(image.data, np.median(image.data))
    for data in (masked, lambda: masked):
        with pytest.raises(
            InputError, match=r"^array: a masked array with \d+ masked voxels.*filled"
        ):
            lr.Image(data, image.frame).data
    whole = lr.Image(np.ma.masked_array(image.data), image.affine).data
    assert type(whole) is np.ndarray


@pytest.mark.parametrize(
    ("given", "kept"), [("f2", "f4"), ("g", "f8"), (">f4", "f4"), (">i2", "i2"), ("?", "?")]
)
def test_types_that_scipy_lacks_are_converted(pair, given, kept):
    image = lr.Image.read(pair.moving)
    data = np.round(image.data).astype(given)
    for again in (lr.Image(data, image.affine), lr.Image(lambda: data, image.frame)):
        assert again.data.dtype == np.dtype(kept) and again.data.dtype.isnative
        np.testing.assert_array_equal(again.data, data)
        warped = lr.Transform.translation([1, 2, 3]).warp(again, reference=image.frame)
        assert warped.data.dtype == ("f4" if kept == "i2" else kept)


def test_a_function_that_reads_voxels_is_checked_as_well(pair):
    frame = lr.Image.read(pair.fixed).frame
    with pytest.raises(InputError, match="a frame is needed"):
        lr.Image(lambda: np.zeros((4, 5, 6)), np.eye(4))
    with pytest.raises(InputError, match="type complex128"):
        lr.Image(lambda: np.zeros((4, 5, 6), complex), frame).data


def test_an_image_goes_to_sitk_and_back(pair, rng):
    image = lr.Image.read(pair.fixed)
    again = lr.Image.from_sitk(image.to_sitk())
    np.testing.assert_array_equal(again.data, image.data)
    np.testing.assert_allclose(again.affine, image.affine, atol=1e-9)
    itk = sitk.ReadImage(str(pair.fixed))
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(image.to_sitk()), sitk.GetArrayFromImage(itk)
    )
    for of in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(image.to_sitk(), of)(), getattr(itk, of)(), atol=1e-4)


@pytest.mark.parametrize("label", [7, 2**40 + 3])
def test_a_result_is_applied_to_images_in_memory(pair, tools, tmp_path, label):
    result = lr.register(pair.fixed, pair.moving, tools.known_model(tools.SOME_AFFINE, 0.2))
    data = np.zeros(pair.moving_frame.shape, np.int64)
    data[3:9] = label
    image = nib.Nifti1Image(data, pair.moving_frame.affine, dtype=np.int64)
    nib.save(image, tmp_path / "labels.nii")
    expected = result.apply(tmp_path / "labels.nii", interpolation="nearest").data
    assert set(np.unique(expected)) == {0, label}
    itk = lr.Image(data, pair.moving_frame.affine).to_sitk()
    for given in (image, itk, lr.Image(data, pair.moving_frame.affine)):
        for apply in (result.apply, result.displacement.warp):
            found = apply(given, interpolation="nearest").data
            assert found.dtype == np.int64
            assert np.mean(found != expected) < 1e-3  # ITK keeps positions in float64
    assert result.apply(image).data.dtype == np.float32
    for apply in (result.apply, result.displacement.warp):
        with pytest.raises(InputError, match="^image: .* not ndarray; .*Image.data, affine"):
            apply(data)


def test_the_place_by_the_qform_in_memory(pair, tools):
    """The setting counts for images of nibabel, and for what a result is applied to."""
    image = nib.load(pair.moving)
    moved = nib.Nifti1Image(image.get_fdata(), image.affine)
    shifted = image.affine.copy()
    shifted[0, 3] += 20
    moved.set_qform(shifted, code=1)
    with pytest.warns(UserWarning, match="The qform is used") as told:
        result = lr.register(pair.fixed, moved, tools.known_model(), nifti_frame="qform")
    assert len(told) == 1
    np.testing.assert_allclose(result.moving.affine, shifted, atol=1e-3)
    with pytest.warns(UserWarning, match="The qform is used"):
        again = result.apply(moved)
    np.testing.assert_array_equal(again.data, result.warped.data)


def test_a_name_that_is_no_settings(pair):
    names = "its settings are window, init, refine, .*memory"
    with pytest.raises(TypeError, match=rf"^register\(\) got .* argument 'refined'; {names}"):
        lr.register(pair.fixed, pair.moving, refined=3)


def test_a_transform_after_another(rng, tools):
    frame = tools.make_frame((9, 8, 7), "LPS")
    fields = [tools.smooth_noise(rng, (9, 8, 7, 3), (2, 2, 2, 0)).astype(np.float32) for _ in "ab"]
    first, second = (lr.Transform(field, frame) for field in fields)
    voxels = rng.integers((0, 0, 0), frame.shape, (20, 3))
    points = voxels @ frame.affine[:3, :3].T + frame.affine[:3, 3]
    expected = second.map_points(first.map_points(points))
    np.testing.assert_allclose(second.compose(first).map_points(points), expected, atol=1e-4)
    assert np.abs(first.compose(second).map_points(points) - expected).max() > 1e-2


def test_a_result_is_measured_later_as_at_once(scaled_pair, tools, tmp_path):
    model = tools.known_model(tools.SOME_AFFINE, 0.2)
    images = [lr.Image.read(path) for path in scaled_pair]
    masks = [lr.Image(image.data > np.median(image.data), image.affine) for image in images]
    tables = []
    for name, image in zip("ab", images):
        tables.append(tmp_path / f"{name}.csv")
        points = image.frame.center + np.array([[2.0, 1, 3], [-4, 2, 1], [3, -5, 2]])
        rows = "\n".join(f"p{i},{x},{y},{z}" for i, (x, y, z) in enumerate(points))
        tables[-1].write_text(f"name,x,y,z\n{rows}\n", encoding="utf-8")
    truth = {"fixed_mask": masks[0], "moving_mask": masks[1], "landmarks": tuple(tables)}
    at_once = lr.register(*images, model, **truth).measures
    later = lr.measure(lr.register(*images, model), **truth)
    assert later == at_once
    assert later.tre_after > 0 and later.dice_after > 0.3 and later.folds_lung is not None
