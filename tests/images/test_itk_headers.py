"""MetaImage and NRRD headers: which file they name, and what they say of the image's place."""

import os
import re
import time
import warnings

import numpy as np
import pytest
import SimpleITK as sitk

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image


def read_voxels(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).data


def read_frame(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).frame


SHAPE = (4, 5, 6)
SECRET = "root:x:0:0:root:/root:/bin/bash\n"


@pytest.fixture
def data(rng):
    return rng.integers(0, 1000, SHAPE).astype(np.int16)


@pytest.fixture
def save(tmp_path, data):
    """Writes an image by SimpleITK, and changes its header's text."""

    def write(name, *changes, compress=False):
        image = sitk.GetImageFromArray(data.T)
        image.SetSpacing([0.7, 0.8, 2.5])
        image.SetOrigin([-40, 30, 900])
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        sitk.WriteImage(image, str(path), compress)
        raw = path.read_bytes()
        for old, new in changes:
            assert re.search(old.encode(), raw)
            raw = re.sub(old.encode(), new.encode(), raw)
        path.write_bytes(raw)
        return path

    return write


def refused(path, *words, kind=InputError):
    for load in (read_voxels, read_frame):
        with pytest.raises(kind) as caught:
            load(path)
        message = str(caught.value)
        assert message.startswith(str(path)) and "\n" not in message, message
        assert "root" not in message.replace(str(path), "")
        for word in words:
            assert word in message, message


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr", "A.MHA", "A.NRRD"])
@pytest.mark.parametrize("compress", [False, True])
def test_whole_headers(save, data, name, compress):
    path = save(name.lower(), compress=compress)
    path = path.rename(path.with_name(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = Image.read(path)
    np.testing.assert_array_equal(volume.data, data)
    assert Image.read(path).frame.same_grid(volume.frame, 0)


def test_keys_that_itk_writes_for_other_formats(tmp_path, data):
    image = sitk.GetImageFromArray(data.T)
    for key in ("dim[0]", "0008|0005", "ITK_FileNotes", "my key"):
        image.SetMetaData(key, "a: b = c")
    for name in ("a.mha", "a.nrrd"):
        sitk.WriteImage(image, str(tmp_path / name))
        np.testing.assert_array_equal(Image.read(tmp_path / name).data, data)


FIELD = {"mhd": r"ElementDataFile = .*", "nhdr": r"data file: .*"}
OTHER = {
    "absolute": "{secret}",
    "above": "../secret",
    "in a folder": "sub/a.raw",
    "backslash": r"..\\\\secret",
    "home": "~secret",
    "standard input": "-",
    "list": "LIST\na.raw",
    "pattern": "a%d.raw 1 2 1",
    "empty": "",
    "parent": "..",
}


@pytest.mark.parametrize("ending", ["mhd", "nhdr"])
@pytest.mark.parametrize("name", OTHER.values(), ids=OTHER.keys())
def test_no_voxels_from_elsewhere(save, tmp_path, ending, name):
    """/etc/passwd as voxels is a way to read any file by the picture of it."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET * 99)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "sub" / "a.raw").write_text(SECRET * 99)
    field = FIELD[ending].split(" .*")[0]
    path = save(f"in/a.{ending}", (FIELD[ending], f"{field} {name.format(secret=secret)}"))
    words = ["header's own folder"] if name and "LIST" not in name else []
    refused(path, *words)


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
def test_single_files_may_not_name_others_elsewhere_either(save, tmp_path, ending):
    (tmp_path / "secret").write_text(SECRET * 99)
    if ending == "mha":
        change = ("ElementDataFile = LOCAL", f"ElementDataFile = {tmp_path}/secret")
    else:
        change = ("encoding: ", f"data file: {tmp_path}/secret\nencoding: ")
    refused(save(f"in/a.{ending}", change), "header's own folder")


@pytest.mark.parametrize("ending", ["mhd", "nhdr"])
def test_voxels_beside_the_header(save, data, tmp_path, ending, monkeypatch):
    path = save(f"a.{ending}")
    field = FIELD[ending].split(" .*")[0]
    os.rename(tmp_path / "a.raw", tmp_path / "my voxels.raw")
    refused(path, "not beside it", kind=MissingFileError)
    for name in ("my voxels.raw", "./my voxels.raw"):
        raw = re.sub(FIELD[ending], f"{field} {name}", path.read_text())
        path.write_text(raw)
        monkeypatch.chdir(tmp_path.parent)
        np.testing.assert_array_equal(Image.read(path).data, data)
        monkeypatch.chdir(tmp_path)
        np.testing.assert_array_equal(Image.read(path.name).data, data)


@pytest.mark.parametrize(
    ("ending", "line"),
    [
        ("mhd", "junk"),
        ("mhd", "junk\nElementDataFile = a.raw"),
        ("mhd", "= a"),
        ("mhd", "NDims = 3"),
        ("nhdr", "junk"),
        ("nhdr", "type:float"),
        ("nhdr", "dimension: 3"),
        ("nhdr", "content: a\rdata file: secret"),
    ],
)
def test_lines_that_itk_may_understand_in_another_way(save, ending, line):
    first = {"mhd": "ObjectType = Image\n", "nhdr": "NRRD0004\n"}[ending]
    path = save(f"a.{ending}", (first, f"{first}{line}\n"))
    refused(path, "of its header is not of the form")


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr"])
def test_another_file_under_the_name(tmp_path, name, capfd):
    (tmp_path / name).write_text(SECRET * 9)
    refused(tmp_path / name, "not a readable image")
    (tmp_path / name).write_text("NRRD0004\ntype: root\n" + SECRET)
    refused(tmp_path / name, "not a readable image")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.mha", "DimSize = 4 5 6", "DimSize = 4 5 root"),
        ("a.mhd", "ElementType = MET_SHORT", "ElementType = root"),
        ("a.nrrd", "sizes: 4 5 6", "sizes: 4 5 root"),
        ("a.nhdr", "type: short", "type: root"),
    ],
)
def test_errors_do_not_quote_the_header(save, name, old, new, capfd):
    refused(save(name, (old, new)))
    assert "root" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("name", "old", "new", "word"),
    [
        ("a.mha", "TransformMatrix = .*", "Comment = a", "no TransformMatrix"),
        ("a.mhd", "Offset = .*", "Comment = a", "no Offset"),
        ("a.nrrd", "space: .*", "space dimension: 3", "no anatomical space"),
        ("a.nrrd", "space: .*", "space: scanner-xyz", "no anatomical space"),
        ("a.nhdr", "space origin: .*", "content: a", "no space origin"),
        ("a.nhdr", "space origin: .*", "space origin: none", "no space origin"),
    ],
)
def test_a_header_without_a_place_is_told(save, name, old, new, word):
    path = save(name, (old, new))
    with pytest.warns(UserWarning, match=rf"{name}: the header does not say where.*\({word}\)"):
        Image.read(path, AXIS_CODES).data


def test_spacings_alone_are_no_place(save):
    changes = ("(?m)^space.*\n", ""), ("kinds: ", "spacings: 1 1 2\nkinds: ")
    with pytest.warns(UserWarning, match="no space directions, no space origin, no anatomical"):
        Image.read(save("a.nrrd", *changes), AXIS_CODES).data


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.mha", "ElementSpacing = .*", "Comment = a"),
        ("a.nrrd", "space(.|\n)*\nkinds: .*", "content: a"),
        ("a.nrrd", r"(space directions: .*) \(.*\)", r"\1 none"),
        ("a.nhdr", r"space directions: \(.*?\)", "space directions: none"),
        ("a.nhdr", r"(space directions: .*) \(.*\)", r"\1 (nan,nan,nan)"),
        ("a.nhdr", r"(space directions: .*) \(.*\)", r"\1"),
        ("a.nhdr", "space(.|\n)*\nkinds: .*", "spacings: 1 1 nan"),
        ("a.nhdr", "space(.|\n)*\nkinds: .*", "spacings: 1 1 -2"),
        ("a.nhdr", "space(.|\n)*\nkinds: .*", "spacings: 1 1"),
    ],
)
def test_a_header_without_voxel_sizes_is_refused(save, name, old, new):
    refused(save(name, (old, new)), "no voxel sizes")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.mha", "DimSize", "DistanceUnits = um\nDimSize"),
        ("a.mhd", "DimSize", "DistanceUnits = cm\nDimSize"),
        ("a.nrrd", "space origin", 'space units: "m" "m" "m"\nspace origin'),
        ("a.nhdr", "space origin", 'space units: "mm" "mm" "um"\nspace origin'),
    ],
)
def test_other_units_are_refused(save, name, old, new):
    """ITK takes the numbers for mm."""
    refused(save(name, (old, new)), "not in mm")


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(("slope", "offset"), [(2.5, -1024), (None, -100), (-1, None)])
def test_the_intensities_of_a_metaimage(save, data, slope, offset, exact):
    """MetaIO defines them; ITK ignores them."""
    named = {"Slope": slope, "Offset": offset}
    lines = "".join(
        f"ElementToIntensityFunction{name} = {value}\n"
        for name, value in named.items()
        if value is not None
    )
    path = save("a.mha", ("ElementDataFile", f"{lines}ElementDataFile"))
    expected = data * (1 if slope is None else slope) + (offset or 0)
    np.testing.assert_allclose(Image.read(path, exact=exact).data, expected)


@pytest.mark.parametrize(
    ("field", "numbers"),
    [
        ("ElementSpacing", "1 1"),
        ("ElementSpacing", "1 1 -2"),
        ("ElementSpacing", "1 1 nan"),
        ("ElementSpacing", "1,0 1,0 2,0"),
        ("DimSize", "4 5"),
        ("DimSize", "4 5 x"),
        ("Offset", "10"),
        ("Offset", "10 a 30"),
        ("TransformMatrix", "1 0 0 0"),
        ("NDims", "three"),
        ("ElementToIntensityFunctionSlope", "0"),
        ("ElementToIntensityFunctionOffset", "nan"),
    ],
)
def test_fields_with_other_numbers_are_refused(save, field, numbers, capfd):
    old = f"{field} = .*\n" if "Function" not in field else "ElementDataFile"
    new = f"{field} = {numbers}\n" + ("ElementDataFile" if "Function" in field else "")
    refused(save("a.mhd", (old, new)), field)
    assert capfd.readouterr() == ("", "")  # MetaIO prints what it does not understand


def test_an_axis_of_values_has_no_direction(save, data):
    """One value a voxel, as some programs write: an axis of length 1 in front of the others."""
    path = save(
        "a.nhdr",
        ("dimension: 3", "dimension: 4"),
        ("sizes: ", "sizes: 1 "),
        ("space directions: ", "space directions: none "),
        ("kinds: ", "kinds: scalar "),
    )
    np.testing.assert_array_equal(Image.read(path).data, data)


def test_mm_are_accepted(save):
    Image.read(save("a.mha", ("DimSize", "DistanceUnits = mm\nDimSize")), AXIS_CODES).data
    units = 'space units: "mm" "mm" "mm"\nspace origin'
    Image.read(save("a.nrrd", ("space origin", units)), AXIS_CODES).data


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("a.mha", "DimSize = 4 5 6", "DimSize = 400 500 600"),
        ("a.mhd", "DimSize = 4 5 6", "DimSize = 4 5 7"),
        ("a.nrrd", "sizes: 4 5 6", "sizes: 400 500 600"),
        ("a.nhdr", "sizes: 4 5 6", "sizes: 4 5 7"),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_a_header_that_asks_for_more_than_the_file_holds(save, name, old, new, compress):
    if compress and new.endswith("7"):
        new = new.replace("7", "70000")
    refused(save(name, (old, new), compress=compress), "truncated or damaged")


def test_bzip2_is_refused(save):
    """45 bytes of it can stand for 45 MB."""
    refused(save("a.nrrd", ("encoding: raw", "encoding: bzip2")), "encoding is not read")


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
@pytest.mark.parametrize("content", [" " * 999_999, "a" + " " * 999_999, "NRRD0004\n" * 99_999])
def test_long_headers_are_refused_quickly(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    start = time.monotonic()
    refused(tmp_path / name, "not a readable image")
    assert time.monotonic() - start < 5
