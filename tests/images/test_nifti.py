"""The place that a NIfTI header states: two of them, units, none; against SimpleITK."""

import gzip
import shutil
import warnings

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from tf_lungreg.cli import main
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import AXIS_CODES, Frame, ras_to_lps
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.transforms.transform import Transform


def read_voxels(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).data


def read_frame(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).frame


SHAPE = (6, 7, 8)
AFFINE = np.array([[-2.0, 0, 0, 40], [0, 0, 1.5, -30], [0, 3, 0, 900], [0, 0, 0, 1]])
OTHER = np.array([[-2.0, 0, 0, 76], [0, 0, 1.5, -30], [0, 3, 0, 900], [0, 0, 0, 1]])  # 36 mm off


def save(path, sform=AFFINE, qform=AFFINE, codes=(1, 1), unit=2, dtype=np.float32):
    data = np.random.default_rng(0).normal(100, 30, SHAPE).astype(dtype)
    image = nib.Nifti1Image(data, sform)
    image.set_qform(qform, code=int(codes[1]))
    image.set_sform(sform, code=int(codes[0]))
    image.header["xyzt_units"] = unit
    nib.save(image, path)
    return path


def itk_frame(path):
    """Where SimpleITK places a file."""
    image = sitk.ReadImage(str(path))
    axes = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine = np.eye(4)
    affine[:3, :3] = ras_to_lps(axes.T).T
    affine[:3, 3] = ras_to_lps(image.GetOrigin())
    return Frame(image.GetSize(), affine)


@pytest.fixture
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("load", [Image.read, read_mask])
def test_two_places_are_told_and_chosen_between(tmp_path, load):
    path = save(tmp_path / "a.nii", AFFINE, OTHER, dtype=np.uint8)

    def frame(**choice):
        with pytest.warns(UserWarning, match=r"a\.nii: .*sform and qform differ, by 36 mm") as told:
            found = load(path, **choice)
        used = choice.get("nifti_frame", "sform")
        assert f"The {used} is used here" in str(told[0].message)
        return found.frame.reoriented(AXIS_CODES)

    in_file_order = Image.read(save(tmp_path / "s.nii"), AXIS_CODES).frame
    assert frame().same_grid(in_file_order)
    assert frame(nifti_frame="sform").same_grid(in_file_order)
    assert frame(nifti_frame="qform").same_grid(
        Image.read(save(tmp_path / "q.nii", OTHER, OTHER), AXIS_CODES).frame
    )


@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (4, 4)])
def test_the_warning_says_what_itk_takes(tmp_path, codes):
    path = save(tmp_path / "a.nii", AFFINE, OTHER, codes)
    with pytest.warns(UserWarning, match="sform and qform") as told:
        frames = {
            choice: Image.read(path, nifti_frame=choice).frame for choice in ("sform", "qform")
        }
    said = str(told[0].message).rstrip(".").split()[-1]
    assert frames[said].same_grid(itk_frame(path))


def test_a_rotation_apart(tmp_path):
    turned = AFFINE.copy()
    angle = np.deg2rad(2)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned[:2, :3] = turn @ turned[:2, :3]
    with pytest.warns(UserWarning, match=r"differ, by [\d.]+ mm"):
        Image.read(save(tmp_path / "a.nii", AFFINE, turned), AXIS_CODES).data


@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1), (2, 1), (4, 1)])
@pytest.mark.parametrize("choice", ["sform", "qform"])
def test_one_place_is_no_matter_of_choice(tmp_path, no_warnings, codes, choice):
    rounded = AFFINE + 1e-3
    rounded[3] = AFFINE[3]
    rounded[:3, :3] = AFFINE[:3, :3]
    path = save(tmp_path / "a.nii", AFFINE, rounded, codes)
    assert Image.read(path, nifti_frame=choice).frame.same_grid(itk_frame(path), 0.01)


def test_another_choice(tmp_path):
    with pytest.raises(InputError, match="nifti_frame: 'sform' or 'qform' is needed, not 'itk'"):
        Image.read(save(tmp_path / "a.nii"), AXIS_CODES, nifti_frame="itk").data


@pytest.mark.parametrize("choice", ["sform", "qform"])
@pytest.mark.parametrize("value", [7, np.nan])  # longer than a unit vector; none at all
def test_a_damaged_qform_counts_as_absent(tmp_path, choice, value):
    raw = bytearray(save(tmp_path / "a.nii").read_bytes())
    raw[256:268] = np.full(3, value, "<f4").tobytes()  # quatern_b, c, d
    (tmp_path / "b.nii").write_bytes(raw)
    with pytest.warns(UserWarning, match=r"b\.nii: the header's qform is invalid .*sform is used"):
        frame = Image.read(tmp_path / "b.nii", nifti_frame=choice).frame
    np.testing.assert_allclose(frame.affine, AFFINE)


def test_a_damaged_sform(tmp_path):
    """It is refused where it counts; the qform may be chosen."""
    raw = bytearray(save(tmp_path / "a.nii").read_bytes())
    raw[280:328] = bytes(48)  # srow_x, srow_y, srow_z
    (tmp_path / "b.nii").write_bytes(raw)
    with pytest.warns(UserWarning, match=r"b\.nii: the header's sform is invalid .*qform is used"):
        frame = Image.read(tmp_path / "b.nii", nifti_frame="qform").frame
    np.testing.assert_allclose(frame.affine, AFFINE, atol=1e-4)
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"b\.nii: .*singular"):
        warnings.simplefilter("error")
        Image.read(tmp_path / "b.nii")


def test_of_a_displacement_field(tmp_path):
    field = Transform(np.zeros((*SHAPE, 3), np.float32), Frame(SHAPE, AFFINE))
    field.save(tmp_path / "d.nii")
    image = nib.load(tmp_path / "d.nii")
    image.set_qform(OTHER, code=1)
    nib.save(image, tmp_path / "e.nii")
    with pytest.warns(UserWarning, match=r"e\.nii: .*differ, by 36 mm"):
        Transform.read(tmp_path / "e.nii")


@pytest.mark.parametrize("choice", ["sform", "qform"])
def test_the_flag_of_apply(tmp_path, capsys, monkeypatch, choice):
    """The image shows up where the chosen place puts it, and the output states it twice."""
    monkeypatch.chdir(tmp_path)
    field = Transform(np.zeros((1, 1, 1, 3), np.float32), Frame((1, 1, 1), np.eye(4)))
    field.save("d.nii")
    save("a.nii", AFFINE, OTHER)
    words = "apply --transform d.nii --image a.nii --reference a.nii --out b.nii --nifti-frame"
    assert main([*words.split(), choice]) == 0
    error = capsys.readouterr().err
    assert error.startswith("warning: a.nii: ") and error.count("\n") == 1
    expected = AFFINE if choice == "sform" else OTHER
    header = nib.load("b.nii").header
    np.testing.assert_allclose(header.get_sform(), expected, atol=1e-4)
    np.testing.assert_allclose(header.get_qform(), expected, atol=1e-4)
    assert itk_frame("b.nii").same_grid(Frame(SHAPE, expected))


@pytest.mark.parametrize(("unit", "factor"), [(1, 1e3), (2, 1), (3, 1e-3), (0, 1), (5, 1), (10, 1)])
@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1)])
def test_units(tmp_path, no_warnings, unit, factor, codes):
    """As ITK scales them: metres, micrometres, everything else millimetres."""
    in_file = AFFINE.copy()
    in_file[:3] /= factor
    path = save(tmp_path / "a.nii", in_file, in_file, codes, unit)
    frame = Image.read(path).frame
    assert frame.same_grid(Frame(SHAPE, AFFINE))
    if unit != 5:  # which ITK does not know
        assert frame.same_grid(itk_frame(path))


def test_an_analyze_image_is_refused(tmp_path):
    """Its axes may point either way: front and back were exchanged without a word."""
    data = np.zeros(SHAPE, np.int16)
    nib.save(nib.AnalyzeImage(data, AFFINE), tmp_path / "a.img")
    nib.save(nib.Spm99AnalyzeImage(data, AFFINE), tmp_path / "b.img")
    for name in ("a.img", "a.hdr", "b.img", "b.hdr"):
        for load in (read_voxels, read_frame):
            with pytest.raises(InputError, match=f"{name}: an Analyze image.*convert it to NIfTI"):
                load(tmp_path / name)


def test_a_file_of_another_kind_in_nifti_s_name(tmp_path):
    scalars = nib.cifti2.ScalarAxis(["a"])
    surface = nib.cifti2.BrainModelAxis.from_mask(np.ones(9), name="cortex_left")
    nib.save(nib.Cifti2Image(np.zeros((1, 9)), (scalars, surface)), tmp_path / "a.dscalar.nii")
    with pytest.raises(InputError, match="a.dscalar.nii: .*Cifti2Image; NIfTI is needed"):
        read_frame(tmp_path / "a.dscalar.nii")


def test_an_image_of_nibabel_without_affine():
    with pytest.raises(InputError, match="^in memory: an image of nibabel without an affine"):
        Image.from_nibabel(nib.Nifti1Image(np.zeros(SHAPE), None), "in memory")


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_pair_of_nifti(tmp_path, no_warnings, ending):
    data = np.random.default_rng(0).normal(100, 30, SHAPE).astype(np.float32)
    pair = nib.Nifti1Pair(data, AFFINE)
    pair.set_qform(AFFINE, code=1)
    nib.save(pair, tmp_path / f"a.img{ending}")
    single = Image.read(save(tmp_path / "single.nii"), AXIS_CODES)
    for name in ("a.img", "a.hdr"):
        volume = Image.read(tmp_path / f"{name}{ending}", AXIS_CODES)
        np.testing.assert_array_equal(volume.data, single.data)
        assert volume.frame.same_grid(single.frame)


def test_a_pair_that_is_not_whole(tmp_path):
    nib.save(nib.Nifti1Pair(np.ones(SHAPE, np.float32), AFFINE), tmp_path / "a.img")
    raw = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").write_bytes(raw[:-1])
    with pytest.raises(InputError, match=r"a\.hdr: .*truncated or damaged|a\.img: .*truncated"):
        Image.read(tmp_path / "a.hdr", AXIS_CODES).data
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError, match=r"a\.hdr"):
        Image.read(tmp_path / "a.hdr", AXIS_CODES).data


def test_gzip_by_name_alone(tmp_path):
    """A compressed pair whose header is not compressed, and the reverse."""
    nib.save(nib.Nifti1Pair(np.ones(SHAPE, np.float32), AFFINE), tmp_path / "a.img")
    with (tmp_path / "a.img").open("rb") as raw, gzip.open(tmp_path / "a.img.gz", "wb") as packed:
        shutil.copyfileobj(raw, packed)
    (tmp_path / "a.img").unlink()
    with pytest.raises(InputError):
        Image.read(tmp_path / "a.img.gz", AXIS_CODES).data


def test_nibabel_has_no_words_of_its_own(tmp_path, capfd, caplog):
    raw = bytearray(save(tmp_path / "a.nii").read_bytes())
    raw[0] = 77  # sizeof_hdr, of which nibabel logs a warning
    (tmp_path / "b.nii").write_bytes(raw)
    Image.read(tmp_path / "b.nii", AXIS_CODES).data
    assert capfd.readouterr() == ("", "") and not caplog.records
