"""Every orientation and every way in which a file can be wrong."""

import gzip
import itertools
import warnings
import zlib

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.files import replacing
from tf_lungreg.images.geometry import AXIS_CODES, Frame
from tf_lungreg.images.image import Image, as_image, read_mask


def read_voxels(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).data


def read_frame(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).frame


SHAPE = (5, 6, 7)
ORIENTATIONS = [
    "".join(ends)
    for axes in itertools.permutations(["RL", "AP", "SI"])
    for ends in itertools.product(*axes)
]


def voxels(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).normal(100, 300, shape).astype(np.float32)


def oblique_affine(codes="PIL", angles=(8, -6, 10)):
    """A RAS affine whose axes point nearest to the codes, with different spacings."""
    directions = {"R": (1, 0, 0), "A": (0, 1, 0), "S": (0, 0, 1)}
    directions.update({"L": (-1, 0, 0), "P": (0, -1, 0), "I": (0, 0, -1)})
    affine = np.eye(4)
    rotation = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = rotation @ np.array([directions[c] for c in codes]).T * [1.5, 2.5, 0.8]
    affine[:3, 3] = -37, 51, -1200
    return affine


def save_nifti(path, data=None, affine=None, **header):
    image = nib.Nifti1Image(
        voxels() if data is None else data, oblique_affine() if affine is None else affine
    )
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


def assert_same_voxels(volume, data, world_to_index):
    """Every loaded voxel is the file's voxel at the same world position."""
    assert nib.aff2axcodes(volume.frame.affine) == AXIS_CODES
    assert volume.data.shape == volume.frame.shape
    assert volume.data.dtype == np.float32 and volume.data.flags.c_contiguous
    for index in np.ndindex(volume.data.shape):
        world = (volume.frame.affine @ [*index, 1])[:3]
        there = np.array(world_to_index(world))
        rounded = np.rint(there).astype(int)
        assert np.abs(there - rounded).max() < 1e-3
        assert (rounded >= 0).all()
        assert volume.data[index] == data[tuple(rounded)]


def refused(call, path, *words, kind=InputError):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert str(path) in message and "\n" not in message, message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_nifti_orientations(tmp_path, codes):
    data, affine = voxels(), oblique_affine(codes)
    path = save_nifti(tmp_path / "a.nii", data, affine)
    assert nib.aff2axcodes(nib.load(path).affine) == tuple(codes)
    volume = Image.read(path, AXIS_CODES)
    inverse = np.linalg.inv(affine)
    assert_same_voxels(volume, data, lambda world: (inverse @ [*world, 1])[:3])
    header = Image.read(path, AXIS_CODES).frame
    assert header.shape == volume.frame.shape
    np.testing.assert_array_equal(header.affine, volume.frame.affine)
    assert volume.name == str(path)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".mhd"])
@pytest.mark.parametrize("codes", ["RAS", "SLA", "PIL", "ARI"])
def test_itk_orientations(tmp_path, codes, suffix):
    data, affine = voxels(), oblique_affine(codes)
    path = tmp_path / f"a{suffix}"
    image = itk_image(data, affine)
    sitk.WriteImage(image, str(path))
    volume = Image.read(path, AXIS_CODES)
    assert_same_voxels(
        volume,
        data,
        lambda ras: image.TransformPhysicalPointToContinuousIndex([-ras[0], -ras[1], ras[2]]),
    )
    assert Image.read(path, AXIS_CODES).frame.same_grid(volume.frame, 0)


def itk_image(data, affine):
    image = sitk.GetImageFromArray(data.T)  # data in the order x, y, z
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    flip = np.diag([-1.0, -1.0, 1.0])
    image.SetSpacing(spacing.tolist())
    image.SetDirection((flip @ affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin((flip @ affine[:3, 3]).tolist())
    return image


def save_dicom(folder, data, affine, series="1", skip=(), tilt=0.0):
    folder.mkdir(exist_ok=True)
    image = itk_image(data, affine)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    axes = np.reshape(image.GetDirection(), (3, 3))
    for k in range(data.shape[2]):
        if k in skip:
            continue
        part = image[:, :, k]
        position = image.TransformContinuousIndexToPhysicalPoint((0, tilt * k, k))
        tags = {
            "0008|0060": "CT",
            "0008|0008": "DERIVED\\SECONDARY",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.{series}",
            "0020|0013": str(k),
            "0020|0032": "\\".join(f"{p:.6f}" for p in position),
            "0020|0037": "\\".join(f"{d:.8f}" for d in [*axes[:, 0], *axes[:, 1]]),
        }
        for tag, value in tags.items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{series}-{k}.dcm"))
        writer.Execute(part)
    return image


def test_dicom_series(tmp_path):
    data = voxels((6, 5, 4)).astype(np.int16)
    affine = oblique_affine("LPS")
    image = save_dicom(tmp_path / "series", data, affine)
    volume = Image.read(tmp_path / "series", AXIS_CODES)
    assert_same_voxels(
        volume,
        data,
        lambda ras: image.TransformPhysicalPointToContinuousIndex([-ras[0], -ras[1], ras[2]]),
    )
    save_dicom(tmp_path / "series", data, affine, series="2")
    refused(
        lambda: Image.read(tmp_path / "series", AXIS_CODES).data,
        tmp_path / "series",
        "2 DICOM series",
        "one",
    )


def test_dicom_with_a_missing_slice_or_a_tilted_gantry(tmp_path):
    data, affine = voxels((6, 5, 8)).astype(np.int16), oblique_affine("LPS")
    save_dicom(tmp_path / "gap", data, affine, skip=(4,))
    refused(lambda: Image.read(tmp_path / "gap", AXIS_CODES).data, tmp_path / "gap", "even stack")
    save_dicom(tmp_path / "tilt", data, affine, tilt=0.2)
    refused(lambda: Image.read(tmp_path / "tilt", AXIS_CODES).data, tmp_path / "tilt", "even stack")


def test_a_folder_without_dicom(tmp_path, capfd):
    (tmp_path / "notes.txt").write_text("no image", encoding="utf-8")
    refused(
        lambda: Image.read(tmp_path, AXIS_CODES).data, tmp_path, "0 DICOM series", "one is needed"
    )
    assert capfd.readouterr() == ("", "")  # ITK has its own words for it
    assert sitk.ProcessObject.GetGlobalWarningDisplay()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_intensity_scaling(tmp_path, name):
    data = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.int16)
    raw = bytearray(save_nifti(tmp_path / "raw.nii", data).read_bytes())
    raw[112:120] = np.array([0.5, -1024], "<f4").tobytes()  # scl_slope, scl_inter
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    stored = Image.read(tmp_path / name, AXIS_CODES)
    plain = Image.read(tmp_path / "raw.nii", AXIS_CODES)
    np.testing.assert_array_equal(stored.data, plain.data * 0.5 - 1024)
    assert set(np.unique(plain.data)) == set(np.unique(data))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float64, ">i2"])
@pytest.mark.filterwarnings("ignore:.*does not say where the image lies")
def test_types_and_a_trailing_axis(tmp_path, dtype):
    data = np.abs(voxels()).clip(0, 200).astype(dtype)
    path = save_nifti(tmp_path / "a.nii.gz", data[..., None])
    np.testing.assert_array_equal(Image.read(path, AXIS_CODES).data, data.astype(np.float32))
    image = sitk.JoinSeries(itk_image(data.astype("=i4"), oblique_affine()))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    volume = Image.read(tmp_path / "a.nrrd", AXIS_CODES)
    np.testing.assert_array_equal(volume.data, data.astype("=i4"))
    np.testing.assert_allclose(volume.frame.affine, oblique_affine(), atol=1e-6)


def test_loaded_data_do_not_depend_on_the_file(tmp_path):
    path = save_nifti(tmp_path / "a.nii")
    volume = Image.read(path, AXIS_CODES)
    before = volume.data.copy()
    path.write_bytes(b"\0" * path.stat().st_size)
    np.testing.assert_array_equal(volume.data, before)
    volume.data[:] = 0  # writable


def test_no_orientation_in_the_header_warns(tmp_path):
    image = nib.Nifti1Image(voxels(), None)
    image.header["pixdim"][1:4] = 2, 3, 4
    nib.save(image, tmp_path / "a.nii")
    with pytest.warns(UserWarning, match=r"a\.nii: .*no orientation.*LAS"):
        Image.read(tmp_path / "a.nii", AXIS_CODES).data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Image.read(save_nifti(tmp_path / "b.nii"), AXIS_CODES).data


SHAPE_CASES = [
    ((5, 6), "2D"),
    ((5, 6, 7, 2), "4D"),
    ((5, 6, 1, 3), "4D"),
    ((5, 6, 7, 1, 3), "5D"),
    ((5, 1, 7), "at least 2"),
    ((5, 6, 1), "at least 2"),
]


@pytest.mark.parametrize(("shape", "word"), SHAPE_CASES)
def test_wrong_shapes(tmp_path, shape, word):
    path = save_nifti(tmp_path / "a.nii.gz", voxels(shape))
    for load in (read_voxels, read_mask, read_frame):
        refused(lambda load=load: load(path), path, word, "3D", str(shape))


def test_an_empty_axis(tmp_path):
    path = save_nifti(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[44:46] = b"\0\0"  # dim[2]
    path.write_bytes(raw)
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "3D")


def test_2d_itk_images(tmp_path):
    path = tmp_path / "a.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(30, dtype=np.uint8).reshape(5, 6)), str(path))
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "2D", "3D")


@pytest.mark.parametrize("suffix", [".tif", ".vtk", ".gipl", ".mrc", ".nia", ".h5", ".mnc"])
def test_formats_without_a_full_geometry(tmp_path, suffix):
    """SimpleITK reads them, most of them without any orientation."""
    path = tmp_path / f"a{suffix}"
    sitk.WriteImage(itk_image(voxels(), oblique_affine()), str(path))
    refused(
        lambda: Image.read(path, AXIS_CODES).data, path, "NIfTI, MetaImage", "where the image lies"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["a.nii", "a.mha"])
def test_bad_numbers(tmp_path, name, value):
    data = voxels()
    data[1, 2, 3] = data[0, 0, 0] = value
    path = tmp_path / name
    if name.endswith("nii"):
        save_nifti(path, data)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(data), str(path))
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "2 of 210", "NaN or infinite")


def test_numbers_too_large_for_float32(tmp_path):
    path = save_nifti(tmp_path / "a.nii", voxels().astype(np.float64) * 1e300)
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "exceeds float32")
    image = Image.read(path, exact=True)  # labels are not computed with
    assert np.isfinite(image.data).all()
    refused(lambda: as_image(image, "fixed"), path, "exceeds float32")
    raw = bytearray(save_nifti(path).read_bytes())
    raw[112:120] = np.float32([3e38, 0]).tobytes()  # scl_slope, scl_inter
    (tmp_path / "b.nii").write_bytes(raw)
    refused(lambda: Image.read(tmp_path / "b.nii").data, "b.nii", "exceeds float32")


def test_colours_and_complex_numbers(tmp_path):
    rgb = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = save_nifti(tmp_path / "rgb.nii", rgb)
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "RGB", "scalar")
    path = save_nifti(tmp_path / "complex.nii", voxels().astype(np.complex64))
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "complex", "scalar")
    path = tmp_path / "rgb.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((*SHAPE, 3), "u1"), isVector=True), str(path))
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "RGB", "scalar")
    path = tmp_path / "complex.mha"
    sitk.WriteImage(sitk.GetImageFromArray(voxels().astype(np.complex64)), str(path))
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "complex", "scalar")


def test_bad_affines(tmp_path):
    sheared = oblique_affine()
    sheared[:3, 0] += 0.2 * sheared[:3, 1]
    path = save_nifti(tmp_path / "sheared.nii", voxels(), sheared)
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "sheared")
    image = nib.Nifti1Image(voxels(), oblique_affine())
    image.header["srow_x"] = image.header["srow_y"] = image.header["srow_z"] = 0
    nib.save(image, tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[280:328] = b"\0" * 48  # srow_x, srow_y, srow_z
    (tmp_path / "singular.nii").write_bytes(raw)
    refused(
        lambda: Image.read(tmp_path / "singular.nii", AXIS_CODES).data, "singular.nii", "affine"
    )


@pytest.mark.parametrize("load", [read_voxels, read_mask, read_frame])
@pytest.mark.parametrize("name", ["none.nii.gz", "none.mha", "none"])
def test_missing_files(tmp_path, load, name):
    refused(lambda: load(tmp_path / name), tmp_path / name, kind=MissingFileError)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd", "a.dcm", "a.txt", "a"])
@pytest.mark.parametrize("content", [b"", b"no image\n" * 99, bytes(1000), b"\x1f\x8b" + b"7" * 99])
def test_not_an_image(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "image")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "packed.mha", "a.nrrd"])
def test_truncated_at_any_place(tmp_path, name):
    path = tmp_path / name
    if ".nii" in name:
        save_nifti(path)
    else:
        sitk.WriteImage(itk_image(voxels(), oblique_affine()), str(path), name == "packed.mha")
    raw = path.read_bytes()
    for keep in [0, 1, 10, 100, 340, 348, 352, 400, len(raw) // 2, len(raw) - 9, len(raw) - 1]:
        path.write_bytes(raw[:keep])
        refused(lambda: Image.read(path, AXIS_CODES).data, path)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.mhd", "a.nrrd"])
def test_a_flipped_bit_in_compressed_voxels_is_noticed(tmp_path, name):
    path = tmp_path / name
    if ".nii" in name:
        save_nifti(path)
    else:
        sitk.WriteImage(itk_image(voxels(), oblique_affine()), str(path), True)
    data = Image.read(path, AXIS_CODES).data
    file = path.with_suffix(".zraw") if name == "a.mhd" else path
    raw, rng = file.read_bytes(), np.random.default_rng(0)
    start = {"a.mha": raw.find(b"LOCAL\n") + 6, "a.nrrd": raw.find(b"\n\n") + 2}.get(name, 20)
    for position in rng.choice(np.arange(start, len(raw)), 60, replace=False):
        damaged = bytearray(raw)
        damaged[position] ^= 1 << int(rng.integers(8))
        file.write_bytes(damaged)
        try:
            loaded = Image.read(path, AXIS_CODES).data
        except InputError as error:
            assert str(path) in str(error)
        else:
            np.testing.assert_array_equal(loaded, data)


def test_compressed_voxels_that_ask_for_a_dictionary(tmp_path):
    """MetaIO would wait for it without end."""
    path = tmp_path / "a.mha"
    sitk.WriteImage(itk_image(voxels(), oblique_affine()), str(path), True)
    raw = path.read_bytes()
    start = raw.index(b"LOCAL\n") + 6
    path.write_bytes(raw[:start] + b"\x78\x20" + raw[start + 2 :])
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "compressed voxels")


def test_a_nrrd_of_several_streams(tmp_path):
    """As bgzip writes them; NrrdIO reads them, too."""
    path = tmp_path / "a.nrrd"
    sitk.WriteImage(itk_image(voxels(), oblique_affine()), str(path), True)
    data, raw = Image.read(path, AXIS_CODES).data, path.read_bytes()
    start = raw.index(b"\n\n") + 2
    whole = gzip.decompress(raw[start:])
    path.write_bytes(raw[:start] + gzip.compress(whole[:99]) + gzip.compress(whole[99:]))
    np.testing.assert_array_equal(Image.read(path, AXIS_CODES).data, data)


@pytest.mark.parametrize("content", ["short", "long", "gzip"])
def test_compressed_voxels_of_another_number(tmp_path, content):
    path = tmp_path / "a.mha"
    sitk.WriteImage(itk_image(voxels(), oblique_affine()), str(path), True)
    data, raw = Image.read(path, AXIS_CODES).data, path.read_bytes()
    start = raw.index(b"LOCAL\n") + 6
    whole = zlib.decompress(raw[start:])
    stream = {
        "short": zlib.compress(whole[:-1]),
        "long": zlib.compress(whole + b"0"),
        "gzip": gzip.compress(whole),
    }[content]
    size = b"CompressedDataSize = %d"
    path.write_bytes(raw[:start].replace(size % len(raw[start:]), size % len(stream)) + stream)
    if content == "gzip":
        np.testing.assert_array_equal(Image.read(path, AXIS_CODES).data, data)
    else:
        refused(lambda: Image.read(path, AXIS_CODES).data, path, "compressed voxels")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_damaged_header_never_raises_anything_else(tmp_path, name):
    path = save_nifti(tmp_path / name)
    raw = path.read_bytes() if name == "a.nii" else gzip.decompress(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(250):
        damaged = bytearray(raw)
        for position in rng.integers(0, 352, 3):
            damaged[position] = int(rng.integers(256))
        path.write_bytes(damaged if name == "a.nii" else gzip.compress(damaged, 1))
        try:
            Image.read(path, AXIS_CODES).data
        except InputError as error:
            assert str(path) in str(error) and "\n" not in str(error)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_absurd_sizes_are_refused_before_reading(tmp_path, name):
    path = save_nifti(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[42:48] = np.array([32767, 32767, 32767], "<i2").tobytes()
    (tmp_path / name).write_bytes(raw if name == "a.nii" else gzip.compress(raw))
    refused(
        lambda: Image.read(tmp_path / name, AXIS_CODES).data,
        tmp_path / name,
        "truncated or damaged",
    )


def test_absurd_itk_sizes_are_refused_before_reading(tmp_path):
    path = tmp_path / "a.mha"
    sitk.WriteImage(itk_image(voxels(), oblique_affine()), str(path))
    path.write_bytes(path.read_bytes().replace(b"DimSize = 5 6 7", b"DimSize = 9999 9999 9999"))
    refused(lambda: Image.read(path, AXIS_CODES).data, path, "truncated or damaged")


def test_masks(tmp_path):
    data = np.random.default_rng(0).choice([0, 0.2, 0.5, 0.6, 1], SHAPE).astype(np.float32)
    mask = read_mask(save_nifti(tmp_path / "m.nii", data))
    assert mask.data.dtype == bool
    np.testing.assert_array_equal(mask.data, data > 0.5)


@pytest.mark.parametrize("change", [-1, 0.25, 1024.5])
def test_an_image_is_no_mask(tmp_path, change):
    """A CT has negative values; one that was rescaled has fractions beyond 0 to 1."""
    data = np.round(np.random.default_rng(0).uniform(2, 900, SHAPE)).astype(np.float32)
    data[0, 0, 0] = change
    path = save_nifti(tmp_path / "ct.nii", data)
    refused(lambda: read_mask(path), path, "the values of a mask", "these are an image's")


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_masks_of_many_labels_are_usable(tmp_path, recwarn, dtype):
    labels = np.arange(210, dtype=dtype).reshape(SHAPE) * 60
    mask = read_mask(save_nifti(tmp_path / "m.nii", labels))
    np.testing.assert_array_equal(mask.data, labels > 0)
    over = np.random.default_rng(0).uniform(-0.3, 1.3, SHAPE).astype(np.float32)
    mask = read_mask(save_nifti(tmp_path / "cubic.nii", over))
    np.testing.assert_array_equal(mask.data, over > 0.5)
    assert not recwarn


def test_a_mask_of_as_many_values_as_an_image_is_warned_of(tmp_path):
    data = np.arange(10 * 10 * 10, dtype=np.uint16).reshape(10, 10, 10)
    with pytest.warns(UserWarning, match=r"m\.nii: has 1000 different values .*above 0\.5"):
        read_mask(save_nifti(tmp_path / "m.nii", data))


def test_an_empty_mask(tmp_path):
    path = save_nifti(tmp_path / "m.nii.gz", np.zeros(SHAPE, np.uint8))
    refused(lambda: read_mask(path), path, "empty", "needed")


def test_a_mask_on_the_grid_of_its_image(tmp_path):
    image = Image.read(save_nifti(tmp_path / "image.nii"), AXIS_CODES)
    ones = np.ones(SHAPE, np.uint8)
    ornt = nib.orientations.axcodes2ornt(("L", "P", "S"))
    turned = nib.Nifti1Image(ones, oblique_affine()).as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(oblique_affine()), ornt)
    )
    nib.save(turned, tmp_path / "turned.nii")  # stored in another order, the same voxels
    assert read_mask(tmp_path / "turned.nii", like=image).frame.shape == image.frame.shape
    rounded = oblique_affine().round(4)
    read_mask(save_nifti(tmp_path / "rounded.nii", ones, rounded), like=image)

    moved = oblique_affine()
    moved[1, 3] += 0.1
    for path in (
        save_nifti(tmp_path / "moved.nii", ones, moved),
        save_nifti(tmp_path / "small.nii", ones[:-1]),
    ):
        refused(lambda path=path: read_mask(path, like=image), path, image.name, "grid")


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8, np.int64, bool])
def test_saved_volumes_come_back(tmp_path, name, dtype):
    data = voxels().clip(0, 200).astype(dtype)
    frame = Frame(SHAPE, oblique_affine())
    path = tmp_path / "new" / name
    Image(data, frame).save(path)
    loaded = Image.read(path, AXIS_CODES)
    np.testing.assert_array_equal(loaded.data, data.astype(np.float32))
    assert loaded.frame.same_grid(frame)
    header = nib.load(path).header
    assert header.get_data_dtype() == (np.uint8 if dtype is bool else dtype)
    assert header["sform_code"] == header["qform_code"] == 1
    np.testing.assert_allclose(header.get_qform(), oblique_affine(), atol=1e-3)
    assert header.get_xyzt_units()[0] == "mm"
    assert [p.name for p in path.parent.iterdir()] == [name]
    itk = sitk.ReadImage(str(path))  # and ITK sees the same voxel at the same place
    point = oblique_affine() @ [1, 2, 3, 1] * [-1, -1, 1, 1]
    np.testing.assert_allclose(
        itk.TransformPhysicalPointToContinuousIndex(point[:3].tolist()), (1, 2, 3), atol=1e-3
    )
    assert itk[1, 2, 3] == data[1, 2, 3]


def test_saving_refuses(tmp_path):
    frame = Frame(SHAPE, oblique_affine())
    path = tmp_path / "a.nii.gz"
    Image(voxels(), frame).save(path)
    before = path.read_bytes()
    refused(lambda: Image(voxels(seed=1), frame).save(path), path, "exists")
    assert path.read_bytes() == before
    Image(voxels(seed=1), frame).save(path, overwrite=True)
    assert path.read_bytes() != before
    for name in ("a.mha", "a", "a.nii.gz.txt"):
        refused(lambda name=name: Image(voxels(), frame).save(tmp_path / name), name, ".nii.gz")
    name = tmp_path / "b.nii"
    with pytest.raises(InputError, match=r"head: data of shape \(4, 6, 7\) on .* \(5, 6, 7\)"):
        Image(voxels()[:-1], frame, "head")
    refused(lambda: Image(voxels(), frame).save(path / "b.nii"), path / "b.nii", "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["a.nii.gz"]


def test_replacing_leaves_nothing_when_it_fails(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path, overwrite=True) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_function_of_data_needs_a_frame():
    with pytest.raises(InputError, match="^later: a frame is needed"):
        Image(voxels, np.eye(4), "later")


def test_volumes_compare_by_identity():
    volume = Image(voxels(), Frame(SHAPE, oblique_affine()), "a")
    assert volume == volume and volume != Image(volume.data, volume.frame, "a")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("size", [0, -2, np.nan])
def test_a_header_without_voxel_sizes_is_refused(tmp_path, rng, capfd, ending, size):
    """nibabel would take 0 to be 1 mm and drop the sign of -2, which ITK takes to be 1 mm."""
    image = nib.Nifti1Image(rng.normal(size=(4, 5, 6)).astype(np.float32), None)
    image.header["pixdim"][1:4] = 5
    nib.save(image, tmp_path / "image.nii")
    raw = bytearray((tmp_path / "image.nii").read_bytes())
    raw[80:92] = np.full(3, size, "<f4").tobytes()  # pixdim[1:4]
    raw = gzip.compress(raw) if ending == ".nii.gz" else bytes(raw)
    (tmp_path / f"zero{ending}").write_bytes(raw)
    refused(
        lambda: Image.read(tmp_path / f"zero{ending}", AXIS_CODES).data,
        f"zero{ending}",
        f"no voxel sizes (pixdim holds {size})",
    )
    assert capfd.readouterr().err == ""
