import os
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from tf_lungreg.cohorts import cache as cache_module
from tf_lungreg.cohorts.cache import prepare_scans
from tf_lungreg.cohorts.cohort import Scan
from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import mask_to_network, to_network

SPACING, SHAPE = (5.0, 4.0, 4.5), (8, 16, 8)
AFFINE = np.array([[-2.0, 0.1, 0, 40], [0.1, 2.0, 0, -30], [0, 0, 3.0, 900], [0, 0, 0, 1]])


def write_scan(folder, participant="P1", phase="inhale", seed=0, mask=True):
    rng = np.random.default_rng(seed)
    image, inside = folder / f"{participant}_{phase}.nii.gz", None
    nib.save(nib.Nifti1Image(rng.normal(300, 90, (16, 18, 20)).astype(np.float32), AFFINE), image)
    if mask:
        inside = folder / f"{participant}_{phase}_mask.nii.gz"
        data = rng.integers(0, 2, (16, 18, 20)).astype(np.uint8)
        nib.save(nib.Nifti1Image(data, AFFINE), inside)
    return Scan(participant, phase, image, inside)


def assert_same(one, other):
    assert one.scan == other.scan
    np.testing.assert_array_equal(one.image, other.image)
    assert one.image.dtype == other.image.dtype == np.float32
    assert (one.mask is None) == (other.mask is None)
    if one.mask is not None:
        assert one.mask.dtype == other.mask.dtype == bool
        np.testing.assert_array_equal(one.mask, other.mask)
    for a, b in ((one.frame, other.frame), (one.native_frame, other.native_frame)):
        assert a.shape == b.shape
        np.testing.assert_array_equal(a.affine, b.affine)


@pytest.fixture
def computed(monkeypatch):
    """The names of the scans that were computed, not found."""
    names = []

    def prepare(scan, settings, original=cache_module._prepare):
        names.append(scan.name)
        return original(scan, settings)

    monkeypatch.setattr(cache_module, "_prepare", prepare)
    return names


def test_what_is_prepared(tmp_path):
    scans = [write_scan(tmp_path), write_scan(tmp_path, "P2", seed=1, mask=False)]
    prepared = prepare_scans(scans, SPACING, SHAPE, window=(100, 500), progress=False)
    assert [p.scan for p in prepared] == scans
    volume = Image.read(scans[0].image, AXIS_CODES)
    frame = network_frame(volume.frame, volume.frame, SPACING, SHAPE)[0]
    np.testing.assert_array_equal(prepared[0].image, to_network(volume, frame, (100, 500)))
    np.testing.assert_array_equal(
        prepared[0].mask, mask_to_network(read_mask(scans[0].mask), frame)
    )
    assert prepared[0].frame.same_grid(frame) and prepared[0].native_frame.same_grid(volume.frame)
    assert prepared[0].image.shape == SHAPE and prepared[1].mask is None


def test_a_second_time_comes_from_the_cache(tmp_path, computed):
    scans = [write_scan(tmp_path), write_scan(tmp_path, "P2", seed=1, mask=False)]
    folder = tmp_path / "new" / "cache"
    first = prepare_scans(scans, SPACING, SHAPE, cache=folder, progress=False)
    second = prepare_scans(scans[::-1], SPACING, SHAPE, cache=folder, progress=False)
    assert computed == ["P1_inhale", "P2_inhale"]
    assert len(list(folder.iterdir())) == 2
    for one, other in zip(first, second[::-1]):
        assert_same(one, other)
    prepare_scans(scans, SPACING, SHAPE, progress=False)
    assert len(computed) == 4  # without a folder nothing is kept


def test_whatever_changes_the_result_makes_it_anew(tmp_path, computed, monkeypatch):
    scan, folder = write_scan(tmp_path), tmp_path / "cache"

    def run(spacing=SPACING, shape=SHAPE, window="auto", scan=scan):
        prepare_scans([scan], spacing, shape, window, folder, progress=False)
        return len(computed)

    assert run() == run() == 1
    assert run(spacing=(5.0, 4.0, 4.4)) == 2
    assert run(shape=(8, 8, 16)) == 3
    assert run(window="paper") == run(window="paper") == 4
    assert run(window=(0, 1300)) == run(window=[0.0, 1300.0]) == 5
    assert run(scan=Scan("P1", "inhale", scan.image)) == 6  # without the mask
    write_scan(tmp_path, seed=5)
    assert run() == 7
    os.utime(scan.mask, ns=(0, scan.mask.stat().st_mtime_ns + 1000))
    assert run() == 8
    other = tmp_path / "other"  # the same name, size and time
    other.mkdir()
    copied = [Path(shutil.copy2(file, other)) for file in (scan.image, scan.mask)]
    assert run(scan=Scan("P1", "inhale", *copied)) == 9
    monkeypatch.chdir(tmp_path)
    relative = [file.relative_to(tmp_path) for file in (scan.image, scan.mask)]
    assert run(scan=Scan("P1", "inhale", *relative)) == 9
    monkeypatch.setattr(cache_module, "_VERSION", 99)
    assert run() == 10


def test_damaged_files_are_made_anew(tmp_path, computed):
    scan, folder = write_scan(tmp_path), tmp_path / "cache"
    (first,) = prepare_scans([scan], SPACING, SHAPE, cache=folder, progress=False)
    (file,) = folder.iterdir()
    raw = file.read_bytes()
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 1
    for content in (b"", b"nonsense" * 50, raw[: len(raw) // 2], raw[:-5], bytes(flipped)):
        file.write_bytes(content)
        before = len(computed)
        (again,) = prepare_scans([scan], SPACING, SHAPE, cache=folder, progress=False)
        assert len(computed) == before + 1
        assert_same(first, again)
        assert file.read_bytes() and list(folder.iterdir()) == [file]


def test_the_bar_shows_only_on_a_terminal_when_something_is_computed(tmp_path, capsys, monkeypatch):
    scan, folder = write_scan(tmp_path), tmp_path / "cache"
    prepare_scans([scan], SPACING, SHAPE)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    prepare_scans([scan], SPACING, SHAPE, cache=folder, progress=False)
    assert capsys.readouterr().err == ""
    prepare_scans([scan], SPACING, SHAPE, cache=folder)
    assert capsys.readouterr().err == ""
    prepare_scans([scan], SPACING, SHAPE)
    assert "Preparing scans" in capsys.readouterr().err


def test_bad_scans(tmp_path):
    with pytest.raises(InputError, match="shape"):
        prepare_scans([write_scan(tmp_path)], SPACING, None)
    for cache in (None, tmp_path / "cache"):
        missing = Scan("P1", "inhale", tmp_path / "none.nii.gz")
        with pytest.raises(MissingFileError, match=r"none\.nii\.gz"):
            prepare_scans([missing], SPACING, SHAPE, cache=cache, progress=False)
    scan = write_scan(tmp_path)
    nib.save(nib.Nifti1Image(np.ones((16, 18, 21), np.uint8), AFFINE), scan.mask)
    with pytest.raises(InputError, match=rf"{scan.mask}.*{scan.image}"):
        prepare_scans([scan], SPACING, SHAPE, progress=False)
    corner = np.zeros((16, 18, 20), np.uint8)
    corner[0, 0, 0] = 1
    nib.save(nib.Nifti1Image(corner, AFFINE), scan.mask)
    with pytest.raises(InputError, match=rf"{scan.mask}: no voxel of the mask.*larger grid"):
        prepare_scans([scan], SPACING, (4, 4, 4), progress=False)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="folder cannot be made"):
        prepare_scans(
            [write_scan(tmp_path)],
            SPACING,
            SHAPE,
            cache=tmp_path / "file" / "cache",
            progress=False,
        )
