"""A saved transform on further files."""

import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.images.geometry import apply_affine, ras_to_lps
from tf_lungreg.tables.landmarks import read_landmarks
from tf_lungreg.tables.table import read_table, write_table
from tf_lungreg.transforms.application import apply_to_image, apply_to_points
from tf_lungreg.transforms.transform import Transform


@pytest.fixture
def transform(tools, pair, rng, tmp_path):
    shape = pair.fixed_frame.shape
    data = np.stack([2 * tools.smooth_noise(rng, shape, 3) for _ in range(3)], axis=-1)
    shift = pair.moving_frame.center - pair.fixed_frame.center
    field = Transform(data + np.float32(shift), pair.fixed_frame)
    field.save(tmp_path / "displacement.nii.gz")
    return tmp_path / "displacement.nii.gz"


@pytest.fixture
def labels(tools, pair, rng, tmp_path):
    data = np.digitize(tools.smooth_noise(rng, pair.moving_frame.shape), [-1, 0, 1]) * 7
    return tools.save(tmp_path / "labels.nii.gz", data.astype(np.int16), pair.moving_frame)


def test_labels(tools, pair, transform, labels, tmp_path):
    out = tmp_path / "out" / "labels.nii.gz"
    apply_to_image(transform, labels, out, interpolation="nearest")
    image = nib.load(out)
    assert image.get_data_dtype() == np.uint8
    np.testing.assert_allclose(image.affine, nib.load(pair.fixed).affine, atol=1e-5)
    expected = tools.itk_resample(
        labels, pair.fixed, tools.read_field(transform), 0, sitk.sitkNearestNeighbor
    )
    found = image.get_fdata()
    assert set(np.unique(found)) == {0, 7, 14, 21}
    assert np.mean(found[1:-1, 1:-1, 1:-1] != expected[1:-1, 1:-1, 1:-1]) < 2e-3


@pytest.mark.parametrize(("low", "dtype"), [(-5, np.int16), (0, np.uint8), (70000, np.int32)])
def test_the_type_of_labels(tools, pair, transform, tmp_path, low, dtype):
    data = np.full(pair.moving_frame.shape, low, np.int32)
    data[5] += 20
    image = tools.save(tmp_path / "a.nii", data, pair.moving_frame)
    apply_to_image(transform, image, tmp_path / "b.nii", interpolation="nearest")
    found = nib.load(tmp_path / "b.nii")
    assert found.get_data_dtype() == dtype
    assert set(np.unique(found.get_fdata())) == {0, low, low + 20}  # 0 outside


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha"])
@pytest.mark.parametrize(
    ("label", "dtype", "stored"),
    [
        (614454277, np.int32, np.int32),
        (614454277, np.float64, np.int32),
        (2**32 - 3, np.uint32, np.uint32),
        (-(2**40) - 1, np.int64, np.int64),
        (2**60 + 1, np.int64, np.int64),
        (2**64 - 1, np.uint64, np.uint64),
    ],
)
def test_labels_that_float32_cannot_hold(
    tools, pair, transform, tmp_path, label, dtype, stored, ending
):
    data = np.full(pair.moving_frame.shape, label, dtype)
    data[8:] = 3
    image = tmp_path / f"a{ending}"
    if ending == ".mha":
        nib.save(nib.Nifti1Image(data, pair.moving_frame.affine, dtype=dtype), tmp_path / "a.nii")
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii")), str(image))
    else:
        nib.save(nib.Nifti1Image(data, pair.moving_frame.affine, dtype=dtype), image)
    apply_to_image(transform, image, tmp_path / "b.nii", interpolation="nearest")
    found = nib.load(tmp_path / "b.nii")
    assert found.get_data_dtype() == stored
    labels = set(np.unique(np.asanyarray(found.dataobj)).tolist())
    assert labels == {0, 3, label}


@pytest.mark.parametrize(
    ("interpolation", "outside", "value"),
    [
        ("nearest", None, 0),
        ("nearest", 7, 7),
        ("nearest", -2, -2),
        ("nearest", 70000, 70000),
        ("nearest", 0.5, 0.5),
        ("linear", None, 2),
        ("linear", -5, -5),
        ("cubic", -5, -5),
    ],
)
def test_what_lies_outside(tools, pair, transform, tmp_path, interpolation, outside, value):
    """A lobe map that ends before the image paints none of its labels beyond it."""
    data = np.full(pair.moving_frame.shape, 2, np.uint8)
    data[9:] = 5
    image = tools.save(tmp_path / "a.nii", data, pair.moving_frame)
    apply_to_image(
        transform, image, tmp_path / "b.nii", interpolation=interpolation, outside=outside
    )
    field = tools.read_field(transform)
    reference = tools.itk_resample(image, pair.fixed, field, -9, sitk.sitkNearestNeighbor)
    beyond = reference == -9
    assert 0.05 < beyond.mean() < 0.95
    found = nib.load(tmp_path / "b.nii").get_fdata()
    right = np.isclose(found[beyond], value)
    assert right.mean() > 0.99  # a voxel at the very border may differ
    if interpolation == "nearest":
        assert set(np.unique(found)) == {value, 2, 5}


def test_onto_a_reference_of_any_order(tools, pair, transform, tmp_path):
    frame = tools.make_frame((9, 8, 7), "IRP", (3, -9, 400), spacing=(3, 3, 3))
    reference = tools.save(tmp_path / "r.nii", np.zeros((9, 8, 7), np.int16), frame)
    apply_to_image(transform, pair.moving, tmp_path / "o.nii", reference, "cubic")
    expected = tools.itk_resample(
        pair.moving, reference, tools.read_field(transform), -9e9, sitk.sitkBSpline
    )
    found = nib.load(tmp_path / "o.nii").get_fdata()
    inside = expected > -8e9
    assert inside.mean() > 0.5
    # A reference within the field's grid: both interpolate the field alike.
    assert np.abs(found - expected)[inside].max() < 2e-3 * np.ptp(pair.moving_data)


def test_image_there_and_back(tools, pair, transform, tmp_path):
    """A smooth image through the transform and its inverse is nearly itself."""
    frame = tools.make_frame((30, 30, 30), "LPS", pair.fixed_frame.center, spacing=(1.5,) * 3)
    points = apply_affine(frame.affine, np.stack(np.indices(frame.shape), -1))
    data = (np.sin(points / 15).sum(axis=-1) * 100).astype(np.float32)
    image = tools.save(tmp_path / "fixed image.nii", data, frame)
    there, back = tmp_path / "there.nii", tmp_path / "back.nii"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apply_to_image(transform, image, there, pair.moving, inverse=True)
    np.testing.assert_allclose(nib.load(there).affine, nib.load(pair.moving).affine, atol=1e-5)
    apply_to_image(transform, there, back, image)
    inside = (slice(12, 18),) * 3
    error = np.abs(nib.load(back).get_fdata() - data)[inside]
    assert error.max() < 0.1 * np.ptp(data[inside])


@pytest.mark.parametrize("coordinates", ["ras", "lps"])
def test_points(tools, transform, rng, tmp_path, pair, coordinates):
    voxels = rng.uniform(2, 10, (8, 3))
    points = apply_affine(pair.fixed_frame.affine, voxels)
    turn = ras_to_lps if coordinates == "lps" else np.array
    rows = [
        {"name": f"p{i // 2}", **dict(zip("xyz", p)), "observer": f"o{i % 2}", "note": "a, b"}
        for i, p in enumerate(turn(points))
    ]
    write_table(tmp_path / "p.csv", rows)
    apply_to_points(transform, tmp_path / "p.csv", tmp_path / "q.csv", coordinates)
    mapped = read_table(tmp_path / "q.csv")
    assert [r["name"] for r in mapped] == [r["name"] for r in rows]
    assert {r["note"] for r in mapped} == {"a, b"} and mapped[1]["observer"] == "o1"
    found = turn(np.array([[float(r[a]) for a in "xyz"] for r in mapped]))
    np.testing.assert_allclose(
        found, tools.itk_points(tools.read_field(transform), points), atol=2e-3
    )
    assert np.abs(found - points).max() > 20
    back = tmp_path / "back.csv"
    apply_to_points(transform, tmp_path / "q.csv", back, coordinates, inverse=True)
    again = np.array([[float(r[a]) for a in "xyz"] for r in read_table(back)])
    np.testing.assert_allclose(turn(again), points, atol=0.05)
    assert len(read_landmarks(back).names) == 4


def test_an_inverse_that_does_not_exist_is_warned_of(tools, pair, rng, tmp_path):
    data = [15 * tools.smooth_noise(rng, pair.fixed_frame.shape, 1) for _ in range(3)]
    field = Transform(np.stack(data, axis=-1), pair.fixed_frame)
    field.save(tmp_path / "d.nii")
    with pytest.warns(UserWarning, match="the inverse misses"):
        apply_to_image(tmp_path / "d.nii", pair.fixed, tmp_path / "o.nii", inverse=True)


def test_refusals_leave_nothing(pair, transform, labels, tmp_path):
    before = {p.name for p in tmp_path.iterdir()}
    out = tmp_path / "new" / "o.nii.gz"
    cases = [
        (InputError, (transform, labels, tmp_path / "o.mha")),
        (InputError, (transform, labels, labels)),
        (InputError, (labels, labels, out)),
        (MissingFileError, (tmp_path / "none.nii", labels, out)),
        (MissingFileError, (transform, tmp_path / "none.nii", out)),
        (MissingFileError, (transform, labels, out, tmp_path / "none.nii")),
        (InputError, (transform, labels, out, None, "best")),
    ]
    for kind, arguments in cases:
        with pytest.raises(kind):
            apply_to_image(*arguments)
    with pytest.raises(MissingFileError):
        apply_to_points(transform, tmp_path / "none.csv", tmp_path / "q.csv")
    assert {p.name for p in tmp_path.iterdir()} == before


def test_the_field_read_is_the_field_written(transform, pair):
    assert Transform.read(transform).frame.same_grid(pair.fixed_frame)


def test_the_folder_of_results_names_its_field(pair, transform, labels, tmp_path):
    outs = [tmp_path / name for name in ("file.nii", "folder.nii")]
    for given, out in zip((transform, transform.parent), outs):
        apply_to_image(given, labels, out, interpolation="nearest")
    np.testing.assert_array_equal(*(nib.load(out).get_fdata() for out in outs))
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingFileError, match="empty/displacement.nii.gz: no such file"):
        apply_to_image(tmp_path / "empty", labels, tmp_path / "b.nii", interpolation="nearest")


def test_labels_that_are_interpolated_are_told(pair, transform, labels, tmp_path):
    with pytest.warns(UserWarning, match="looks like labels, 4 whole numbers.*nearest"):
        apply_to_image(transform, labels, tmp_path / "a.nii")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apply_to_image(transform, labels, tmp_path / "b.nii", interpolation="nearest")
        apply_to_image(transform, pair.moving, tmp_path / "c.nii")


@pytest.mark.parametrize("outside", [1e30, float("nan"), float("inf"), -1.5, -1])
def test_a_value_outside_that_labels_cannot_have(pair, transform, tools, tmp_path, outside):
    """-1 fits no type that holds 2^64 - 1."""
    data = np.full(pair.moving_frame.shape, 2**64 - 1, np.uint64)
    data[8:] = 3
    image = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(data, pair.moving_frame.affine, dtype=np.uint64), image)
    out = tmp_path / "b.nii"
    with pytest.raises(InputError, match="outside: a .*number"):
        apply_to_image(transform, image, out, interpolation="nearest", outside=outside)
    assert not out.exists()


def test_a_value_outside_that_no_integer_has(pair, transform, labels, tmp_path):
    for outside in (1e30, -0.5):
        out = tmp_path / f"{outside}.nii"
        apply_to_image(transform, labels, out, interpolation="nearest", outside=outside)
        assert set(np.unique(nib.load(out).get_fdata())) == {outside, 0, 7, 14, 21}


def test_the_frame_that_is_chosen_counts_for_the_transform_too(pair, transform, labels, tmp_path):
    moved = nib.load(transform)
    affine = moved.affine.copy()
    affine[:3, 3] += 500
    moved.set_qform(affine, code=1)
    nib.save(moved, tmp_path / "moved.nii.gz")
    arguments = (tmp_path / "moved.nii.gz", labels, tmp_path / "a.nii")
    with pytest.warns(UserWarning, match="The sform is used"):
        apply_to_image(*arguments, interpolation="nearest")
    with pytest.warns(UserWarning, match="The qform is used"), pytest.raises(InputError):
        apply_to_image(*arguments, interpolation="nearest", nifti_frame="qform", overwrite=True)
