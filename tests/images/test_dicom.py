"""DICOM series and multi-frame files: slope * stored + intercept, at the place of each slice."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import AXIS_CODES, apply_affine, ras_to_lps
from tf_lungreg.images.image import Image


def read_voxels(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).data


def read_frame(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).frame


CT, MR, PET = (f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("2", "4", "128"))
ENHANCED_CT, ENHANCED_MR = (f"1.2.840.10008.5.1.4.1.1.{number}.1" for number in ("2", "4"))
STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
ROOT = "1.2.826.0.1.3680043.2.1125"
COLUMNS, ROWS, COUNT = 5, 6, 7
SPACING = (0.75, 1.5)  # between columns, between rows
STEP = 2.5
ORIGIN = np.array([-31.0, 17.5, -1200.0])
ACROSS = np.array([0.8, 0.6, 0.0])  # of rising column; LPS
DOWN = np.array([0.0, 0.0, -1.0])  # of rising row: a coronal stack
NORMAL = np.cross(ACROSS, DOWN)


@pytest.fixture
def stored(rng):
    """Stored values of a stack, (slices, rows, columns)."""
    return rng.integers(0, 60000, (COUNT, ROWS, COLUMNS)).astype(np.uint16)


def positions(count=COUNT, step=STEP, tilt=0.0):
    return [ORIGIN + k * (step * NORMAL + tilt * DOWN) for k in range(count)]


def dataset(kind, stored, path, series="1"):
    """What both kinds of file have; ``stored`` is (rows, columns) or (frames, rows, columns)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.{abs(hash(path.name))}"
    encoding = {"is_implicit_VR": False, "is_little_endian": True}  # pydicom 2 wants it twice
    out = FileDataset("", {}, preamble=bytes(128), file_meta=meta, **encoding)
    out.SOPClassUID, out.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    out.SeriesInstanceUID, out.StudyInstanceUID = f"{ROOT}.{series}", f"{ROOT}.9"
    out.SeriesDescription, out.Modality = f"Thorax {series}", "CT"
    out.Rows, out.Columns = stored.shape[-2:]
    out.SamplesPerPixel, out.PhotometricInterpretation = 1, "MONOCHROME2"
    out.BitsAllocated = out.BitsStored = 8 * stored.itemsize
    out.HighBit, out.PixelRepresentation = out.BitsStored - 1, int(stored.dtype.kind == "i")
    out.PixelData = stored.tobytes()
    return out


def place(position, into):
    into.ImagePositionPatient = [f"{p:.6f}" for p in position]


def orient(into):
    into.ImageOrientationPatient = [f"{d:.8f}" for d in (*ACROSS, *DOWN)]


def rescale(slope, intercept, into):
    into.RescaleSlope, into.RescaleIntercept = str(slope), str(intercept)


def save_series(folder, stored, places, slopes=None, intercepts=None, kind=CT, series="1"):
    folder.mkdir(exist_ok=True)
    for k, (plane, position) in enumerate(zip(stored, places)):
        path = folder / f"{series}-{3 * k % 17:02d}"  # names in no order, without ending
        out = dataset(kind, plane, path, series)
        place(position, out)
        orient(out)
        out.PixelSpacing = list(SPACING[::-1])
        if slopes is not None:
            rescale(slopes[k], intercepts[k], out)
        out.save_as(path)
    return folder


def frame_groups(position=None, slope=None, intercept=0, oriented=True):
    """The functional groups of a frame, or the shared ones."""
    out = Dataset()
    if position is not None:
        out.PlanePositionSequence = [Dataset()]
        place(position, out.PlanePositionSequence[0])
    if oriented:
        out.PlaneOrientationSequence, out.PixelMeasuresSequence = [Dataset()], [Dataset()]
        orient(out.PlaneOrientationSequence[0])
        out.PixelMeasuresSequence[0].PixelSpacing = list(SPACING[::-1])
    if slope is not None:
        out.PixelValueTransformationSequence = [Dataset()]
        rescale(slope, intercept, out.PixelValueTransformationSequence[0])
    return out


def save_multi_frame(path, stored, places, slopes=None, intercepts=None, kind=ENHANCED_CT):
    path.parent.mkdir(exist_ok=True)
    out = dataset(kind, stored, path)
    out.NumberOfFrames = len(stored)
    shared = slopes is None
    out.SharedFunctionalGroupsSequence = [frame_groups(None, 2 if shared else None, -1000)]
    out.PerFrameFunctionalGroupsSequence = [
        frame_groups(p, None if shared else slopes[k], shared or intercepts[k], oriented=False)
        for k, p in enumerate(places)
    ]
    out.save_as(path)
    return path


def check_volume(path, values, places):
    """Every voxel of the file is found at its place, to float32."""
    volume = Image.read(path, AXIS_CODES)
    assert Image.read(path, AXIS_CODES).frame.same_grid(volume.frame, 0)
    assert volume.data.dtype == np.float32 and volume.data.shape == volume.frame.shape
    row, column = np.mgrid[:ROWS, :COLUMNS]
    for plane, position in zip(values, places):
        lps = (
            position + column[..., None] * SPACING[0] * ACROSS + row[..., None] * SPACING[1] * DOWN
        )
        voxels = apply_affine(np.linalg.inv(volume.frame.affine), ras_to_lps(lps))
        np.testing.assert_allclose(voxels, np.rint(voxels), atol=1e-4)
        found = volume.data[tuple(np.rint(voxels).astype(int).reshape(-1, 3).T)]
        np.testing.assert_allclose(found, plane.ravel(), rtol=1e-6, atol=1e-4)


def refused(path, *words):
    for load in (read_voxels, read_frame):
        with pytest.raises(InputError) as caught:
            load(path)
        message = str(caught.value)
        assert message.startswith(str(path)) and "\n" not in message, message
        for word in words:
            assert word in message, message


RESCALES = [
    ([1, 3, 1, 2, 1, 3, 1], [0] * 7),
    ([1] * 7, [0, -1024, 0, -1024, 500, 0, 0]),
    ([1, 0.0004, 1, 0.0004, 0.5, 1, 1], [0] * 7),
    ([0.0004, 1, 3, 1, 1, 1, 1.25], [0.5, -1024, 0, 0, 0, -70000, 0]),
]


@pytest.mark.parametrize("kind", [CT, MR, PET])
@pytest.mark.parametrize(("slopes", "intercepts"), RESCALES)
def test_each_slice_has_its_own_rescaling(tmp_path, stored, slopes, intercepts, kind):
    save_series(tmp_path / "s", stored, positions(), slopes, intercepts, kind)
    values = [s * plane.astype(float) + i for plane, s, i in zip(stored, slopes, intercepts)]
    check_volume(tmp_path / "s", values, positions())


def test_slices_without_rescaling(tmp_path, stored):
    signed = stored.astype(np.int16)
    check_volume(save_series(tmp_path / "s", signed, positions()), signed, positions())


@pytest.mark.parametrize("kind", [ENHANCED_CT, ENHANCED_MR])
@pytest.mark.parametrize(("slopes", "intercepts"), RESCALES)
def test_each_frame_has_its_own_rescaling(tmp_path, stored, slopes, intercepts, kind):
    path = save_multi_frame(tmp_path / "a" / "m.dcm", stored, positions(), slopes, intercepts, kind)
    values = [s * plane.astype(float) + i for plane, s, i in zip(stored, slopes, intercepts)]
    for source in (path, path.parent):
        check_volume(source, values, positions())


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
@pytest.mark.parametrize("compressed", [False, True])
def test_shuffled_frames(tmp_path, rng, stored, dtype, compressed):
    stored = stored.astype(dtype)
    order = rng.permutation(COUNT)
    places = [positions()[k] for k in order]
    path = save_multi_frame(tmp_path / "m", stored, places)
    if compressed:
        file = pydicom.dcmread(path)
        file.compress(pydicom.uid.RLELossless)
        file.save_as(path)
    check_volume(path, 2.0 * stored - 1000, places)


def save_either(kind, folder, stored, places):
    if kind == "series":
        return save_series(folder, stored, places)
    return save_multi_frame(folder / "m.dcm", stored, places)


@pytest.mark.parametrize("kind", ["series", "multi-frame"])
def test_what_is_no_even_upright_stack(tmp_path, stored, kind):
    gap = [p for k, p in enumerate(positions(COUNT + 1)) if k != 4]
    refused(save_either(kind, tmp_path / "gap", stored, gap), "even stack", "missing")
    tilted = positions(tilt=0.5)
    refused(save_either(kind, tmp_path / "tilt", stored, tilted), "mm from", "tilted gantry")
    doubled = [*positions()[:-1], positions()[2]]
    refused(save_either(kind, tmp_path / "two", stored, doubled), "1 of 7", "several phases")
    here = [ORIGIN] * COUNT
    refused(save_either(kind, tmp_path / "one", stored, here), "6 of 7", "another one does")
    one = save_either(kind, tmp_path / "single", stored[:1], positions(1))
    refused(one, "a single DICOM slice", "all slices")


def change(path, **values):
    file = pydicom.dcmread(path)
    for name, value in values.items():
        if value is None:
            del file[name]
        else:
            setattr(file, name, value)
    file.save_as(path)


CHANGES = [
    ({"ImagePositionPatient": None}, "ImagePositionPatient is missing"),
    ({"ImageOrientationPatient": None}, "ImageOrientationPatient is missing"),
    ({"ImageOrientationPatient": [1, 0, 0, 0, 0.5, 0]}, "no unit vectors"),
    ({"PixelSpacing": None}, "PixelSpacing is missing"),
    ({"PixelSpacing": [-1.5, 0.75]}, "PixelSpacing is [-1.5, 0.75]"),
    ({"PixelSpacing": [1.5, 0]}, "PixelSpacing is [1.5, 0.0]"),
    ({"RescaleSlope": 0}, "the rescale slope is 0"),
    ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette"),
    ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "RGB"),
    ({"ModalityLUTSequence": [Dataset()]}, "Modality LUT"),
    ({"BitsAllocated": 1}, "bits"),
    ({"BitsStored": 12, "HighBit": 15}, "12 bits a pixel that end at bit 15"),
    ({"NumberOfFrames": 3}, "3 frames, positions of 0"),
    ({"Columns": COLUMNS + 30}, "bytes of voxels"),
]


@pytest.mark.parametrize(("values", "word"), CHANGES)
def test_a_slice_that_cannot_be_used(tmp_path, stored, values, word):
    folder = save_series(tmp_path / "s", stored, positions())
    bad = sorted(folder.iterdir())[2]
    change(bad, **values)
    with pytest.raises(InputError) as caught:
        Image.read(folder, AXIS_CODES).data
    assert word in str(caught.value) or "different size" in str(caught.value)
    assert bad.name in str(caught.value)


def test_a_scout_in_the_series(tmp_path, stored):
    folder = save_series(tmp_path / "s", stored, positions())
    change(sorted(folder.iterdir())[3], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    refused(folder, "differ in ImageOrientationPatient", "scout")
    folder = save_series(tmp_path / "t", stored, positions())
    change(sorted(folder.iterdir())[3], PixelSpacing=[1.5, 0.76])
    refused(folder, "differ in PixelSpacing")


def test_a_truncated_or_nested_file(tmp_path, stored):
    folder = save_series(tmp_path / "s", stored, positions())
    bad = folder / "1-00"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:-9])
    refused_file(folder, bad, "truncated or damaged")
    rows = whole.index(b"\x28\x00\x02\x00US")
    cuts = ((rows, "cut off"), (300, "a whole file"), (140, "a whole file"), (0, "empty"))
    for length, word in cuts:
        bad.write_bytes(whole[:length])
        refused_file(folder, bad, word)
    # GDCM would take the memory of an element that is longer than the file, and a second a slice.
    bad.write_bytes(whole[:rows] + b"\x28\0\x02\0\0\0\0\x60" * 2)
    refused_file(folder, bad, "truncated or damaged")
    (folder / "._1-03.dcm").write_bytes(b"\0\5\x16\7")  # macOS adds such files


@pytest.mark.parametrize("tag", [b"\x08\x00\x40\x11", b"\xe1\x7f\x01\x10"])
@pytest.mark.parametrize("kind", [b"SQ", b"UN"])
def test_sequences_nested_too_deeply(tmp_path, stored, tag, kind):
    """GDCM, and the process with it, would die of them, before the pixels and after them."""
    folder = save_series(tmp_path / "s", stored, positions())
    bad = folder / "1-00"
    nested = tag + kind + b"\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    whole = bad.read_bytes()
    end = whole.index(b"\x08\x00\x60\x00") if tag[0] == 8 else len(whole)
    bad.write_bytes(whole[:end] + 50_000 * nested + whole[end:])
    refused_file(folder, bad, "truncated or damaged")


def compress(path):
    """Replaces the pixels by row + 7 * column, as lossless JPEG."""
    file = pydicom.dcmread(path)
    assert (ROWS, COLUMNS, file.BitsAllocated) == (6, 5, 16)
    file.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    file.PixelData = bytes.fromhex(
        "feff00e000000000feff00e044000000ffd8ffc3000b100006000501011100ffc40016000101010000000000"
        "0000000000000000030110ffda0008010100010000ceeef5dddebbbbd7777aeeef5dddff00ffd900"
    )
    file["PixelData"].is_undefined_length = True
    file.save_as(path)
    return np.add.outer(np.arange(ROWS), 7 * np.arange(COLUMNS))


def test_compressed_pixels(tmp_path, stored):
    folder = save_series(tmp_path / "s", stored, positions(), [2] * COUNT, [-1000] * COUNT)
    planes = [compress(path) for path in sorted(folder.iterdir())]
    check_volume(folder, 2.0 * np.array(planes) - 1000, positions())


def test_compressed_pixels_that_end_the_process(tmp_path, stored):
    """GDCM dies of a JPEG with 127 bits a pixel."""
    folder = save_series(tmp_path / "s", stored, positions())
    bad = folder / "1-00"
    compress(bad)
    whole = bad.read_bytes()
    bits = whole.index(b"\xff\xc3") + 4
    bad.write_bytes(whole[:bits] + b"\x7f" + whole[bits + 1 :])
    refused_file(folder, bad, "cannot be decoded")


@pytest.mark.parametrize("name", ["FloatPixelData", "DoubleFloatPixelData"])
def test_floating_point_pixels_are_not_called_damaged(tmp_path, stored, name):
    folder = save_series(tmp_path / "s", stored, positions())
    bad = folder / "1-00"
    file = pydicom.dcmread(bad)
    pixels = stored[0].astype(np.float32 if name == "FloatPixelData" else np.float64)
    del file.PixelData, file.BitsStored, file.HighBit, file.PixelRepresentation
    file.BitsAllocated = 8 * pixels.itemsize
    setattr(file, name, pixels.tobytes())
    file.save_as(bad)
    refused_file(folder, bad, "floating-point numbers")


def refused_file(folder, file, word):
    with pytest.raises(InputError) as caught:
        Image.read(folder, AXIS_CODES).data
    assert str(caught.value).startswith(str(file)) and word in str(caught.value)


def test_a_small_file_that_announces_a_large_image(tmp_path, stored):
    """Compressed pixels may announce 1032 times their size at most."""
    folder = save_series(tmp_path / "s", stored, positions())
    for path in folder.iterdir():
        file = pydicom.dcmread(path)
        file.compress(pydicom.uid.RLELossless)
        file.Rows = file.Columns = 14000
        file.save_as(path)
    refused(folder, "bytes of voxels", "truncated or damaged")


def test_compressed_pixels_with_a_part_longer_than_the_file(tmp_path, stored):
    """GDCM would take 2 GB for it."""
    source = path = save_multi_frame(tmp_path / "m.dcm", stored, positions())
    file = pydicom.dcmread(path)
    file.compress(pydicom.uid.RLELossless)
    file.save_as(path)
    raw = path.read_bytes()
    item = raw.rindex(b"\xfe\xff\x00\xe0")
    Image.read(source, AXIS_CODES).data
    path.write_bytes(raw[: item + 4] + b"\0\0\0\x7f" + raw[item + 8 :])
    with pytest.raises(InputError) as caught:
        Image.read(source, AXIS_CODES).data
    assert str(caught.value).startswith(f"{path}: the compressed pixels are truncated or damaged")


def test_a_deflated_file(tmp_path, stored):
    folder = save_series(tmp_path / "s", stored, positions())
    path = folder / "1-00"
    file = pydicom.dcmread(path)
    file.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    file.save_as(path)
    refused_file(folder, path, "deflated")


def test_two_series_are_named(tmp_path, stored):
    folder = save_series(tmp_path / "s", stored, positions())
    save_series(folder, stored[:3], positions(3), series="22")
    refused(folder, "2 DICOM series", "'Thorax 1', 7 files", "'Thorax 22', 3 files", "22-00")


def test_a_disc_is_looked_into(tmp_path, stored):
    """DICOMDIR, and patient, study and series as folders in folders."""
    disc = tmp_path / "disc"
    for series in ("SE0", "SE1"):
        place = disc / "PT0" / "ST0" / series
        place.parent.mkdir(parents=True, exist_ok=True)
        save_series(place, stored, positions())
    listing = dataset(CT, stored[0], disc / "DICOMDIR")
    for name in ("Rows", "Columns", "PixelData"):
        del listing[name]
    directory = "1.2.840.10008.1.3.10"
    listing.SOPClassUID = listing.file_meta.MediaStorageSOPClassUID = directory
    listing.DirectoryRecordSequence = [Dataset()]
    listing.save_as(disc / "DICOMDIR")
    found = "subfolders PT0/ST0/SE0, PT0/ST0/SE1"
    refused(disc, "0 DICOM series", found)
    refused(disc / "PT0", "0 DICOM series", "subfolders ST0/SE0, ST0/SE1")
    refused(disc / "DICOMDIR", "a DICOMDIR", found, "the folder of one series")


def test_a_study_is_looked_into_to_a_depth(tmp_path, stored, monkeypatch):
    for name, folders in (("six", "abcdef"), ("seven", "abcdefg")):
        series = tmp_path.joinpath(name, *folders)
        series.mkdir(parents=True)
        save_series(series, stored, positions())
    refused(tmp_path / "six", "in its subfolders a/b/c/d/e/f)")
    refused(tmp_path / "seven", "in its subfolders neither")
    monkeypatch.setattr("tf_lungreg.images.dicom._LOOKED_AT", 3)
    refused(tmp_path / "six", "in its subfolders neither")


def test_a_study_is_looked_into_one_level_down(tmp_path, stored):
    study = tmp_path / "study"
    study.mkdir()
    (study / "notes.txt").write_text("no image", encoding="utf-8")
    refused(study, "0 DICOM series", "in its subfolders neither")
    save_series(study / "inhale", stored, positions())
    save_series(study / "exhale", stored, positions())
    refused(study, "0 DICOM series", "in its subfolders exhale, inhale")


def test_other_files_of_a_series_are_left_out(tmp_path, stored):
    folder = save_series(tmp_path / "s", stored, positions())
    (folder / "notes.txt").write_text("no image", encoding="utf-8")
    (folder / "DICOMDIR").mkdir()
    report = dataset(STRUCTURED_REPORT, stored[0], folder / "report")
    for name in ("Rows", "Columns", "PixelData"):
        del report[name]
    report.save_as(folder / "report.dcm")
    check_volume(folder, stored, positions())


@pytest.mark.parametrize("signed", [False, True])
def test_values_are_not_inverted_for_display(tmp_path, stored, signed):
    """MONOCHROME1 asks for dark and bright to be exchanged on a screen, not in the values."""
    stored = stored.view(np.int16) if signed else stored
    places = positions()
    folder = save_series(tmp_path / "s", stored, places, [2] * COUNT, [-1000] * COUNT)
    for file in folder.iterdir():
        change(file, PhotometricInterpretation="MONOCHROME1")
    multi = save_multi_frame(tmp_path / "m" / "a.dcm", stored, places)
    change(multi, PhotometricInterpretation="MONOCHROME1")
    for path in (folder, multi):
        check_volume(path, 2.0 * stored - 1000, places)


def test_one_rescaling_for_all_frames_at_the_top(tmp_path, stored):
    path = save_multi_frame(tmp_path / "m" / "a.dcm", stored, positions())
    file = pydicom.dcmread(path)
    del file.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    rescale(3, -1024, file)
    file.save_as(path)
    check_volume(path, 3.0 * stored - 1024, positions())


def mapping(slope=None, intercept=-1000.0):
    """A real world value mapping, by a table if there is no slope."""
    out = Dataset()
    out.RealWorldValueFirstValueMapped, out.RealWorldValueLastValueMapped = 0, 65535
    if slope is None:
        out.RealWorldValueLUTData = [0.0] * 4
    else:
        out.RealWorldValueSlope, out.RealWorldValueIntercept = slope, intercept
    return out


def save_mapped(kind, folder, stored, mappings, **rescaling):
    """A file or series with these mappings, and no Modality LUT unless one is given."""
    if kind == "series":
        path = save_series(folder, stored, positions(), **rescaling)
        for file in path.iterdir():
            change(file, RealWorldValueMappingSequence=mappings)
        return path
    path = save_multi_frame(folder / "a.dcm", stored, positions(), **rescaling)
    file = pydicom.dcmread(path)
    if not rescaling:
        del file.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence
    groups = file if kind == "multi-frame, at the top" else file.SharedFunctionalGroupsSequence[0]
    groups.RealWorldValueMappingSequence = mappings
    file.save_as(path)
    return path


@pytest.mark.parametrize("kind", ["series", "multi-frame", "multi-frame, at the top"])
def test_a_real_world_value_mapping_alone(tmp_path, stored, kind, recwarn):
    path = save_mapped(kind, tmp_path / "linear", stored, [mapping(2.0)])
    check_volume(path, 2.0 * stored - 1000, positions())
    rescaling = {"slopes": [3.0] * COUNT, "intercepts": [-1024.0] * COUNT}
    path = save_mapped(kind, tmp_path / "both", stored, [mapping(2.0)], **rescaling)
    check_volume(path, 3.0 * stored - 1024, positions())
    assert not [w for w in recwarn if "mapping" in str(w.message)]
    for name, mappings in (("two", [mapping(2.0), mapping(0.1)]), ("table", [mapping()])):
        path = save_mapped(kind, tmp_path / name, stored, mappings)
        with pytest.warns(UserWarning, match="several real world value mappings .* stored values"):
            check_volume(path, stored, positions())
