"""Damaged files: a clear error or a right answer, never anything else.

``LUNGREG_FUZZ`` sets how many files each test damages, at least 500; ``nox -s slow`` sets 20,000.
All formats besides single NIfTI files share that number, and have 4 GB of memory.
"""

import gzip
import os
import random
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import tf_lungreg
from tf_lungreg.cohorts.cohort import DIAGNOSES, load_cohort
from tf_lungreg.errors import USER_ERRORS
from tf_lungreg.images.geometry import AXIS_CODES, DIRECTIONS, Frame
from tf_lungreg.images.image import Image
from tf_lungreg.tables.landmarks import read_landmarks

COUNT = max(500, int(os.environ.get("LUNGREG_FUZZ", 0)))
FORMATS = (  # of fuzz_formats.py
    *("series", "compressed series", "JPEG series", "JPEG 2000 series"),
    *("multi-frame", "compressed multi-frame"),
    *("mha", "compressed mha", "mhd", "zraw", "nrrd", "compressed nrrd", "nhdr", "hdr", "img"),
)
LONGEST = 20  # seconds for a file of a kilobyte: anything near it would be a hang
HEADER = 352  # bytes, of NIfTI

PARTICIPANTS = "participant_id\tdiagnosis\tage\np1\thealthy\t41\np2\tssc\t60\np3\tn/a\t7\n"
IMAGES = "participant_id\tphase\timage\tmask\tlandmarks\n" + "".join(
    f"p{n}\t{phase}\tp{n}_{phase}.nii\tn/a\tp{n}_{phase}.csv\n"
    for n in (1, 2, 3)
    for phase in ("inhale", "exhale")
)
LANDMARKS = "name,x,y,z,observer\n" + "".join(
    f"mark{n},{12.5 * n},{-3 * n}e1,{n}.25,{observer}\n" for n in range(6) for observer in (1, 2)
)


def damage(content: bytes, chance: random.Random) -> bytes:
    """One to three of the things that happen to files."""
    content = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3))):
        if not content:
            break
        place = chance.randrange(len(content))
        # A header is where damage means most.
        place = chance.choice((place, place % HEADER % len(content)))
        some = chance.randrange(1, 40)
        kind = chance.randrange(6)
        if kind == 0:
            content[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            content[place] = chance.choice((0, 1, 9, 10, 13, 34, 44, 127, 128, 255))
        elif kind == 2:
            del content[place:]
        elif kind == 3:
            del content[place : place + some]
        elif kind == 4:
            content[place:place] = content[place : place + some]
        else:
            content[place : place + some] = chance.randbytes(some)
    return bytes(content)


def read_damaged(path, content, chance, read, check, count=COUNT):
    """Reads damaged copies; ``check`` sees what reading gave, if it gave anything.

    Returns how often it did; never every time, or the damage would be none.
    """
    answers = 0
    for _ in range(count):
        damaged = damage(content, chance)
        path.write_bytes(damaged)
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = read()
        except USER_ERRORS as error:
            assert str(path.parent) in str(error) and "\n" not in str(error), (error, damaged)
        except Exception as error:
            raise AssertionError(f"{error!r} for {damaged!r}") from error
        else:
            check(answer, damaged)
            answers += 1
        assert time.monotonic() - start < LONGEST, damaged
    assert answers < count
    return answers


@pytest.fixture
def image(tmp_path):
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS * [1.5, 2.5, 0.8]
    affine[:3, 3] = -37, 51, -1200
    data = np.random.default_rng(0).normal(100, 300, (4, 5, 6)).astype(np.float32)
    Image(data, Frame(data.shape, affine)).save(tmp_path / "whole.nii")
    return tmp_path / "whole.nii"


def read_image(path):
    """The image; the header alone must not say anything else."""
    volume = Image.read(path, AXIS_CODES)
    volume.data  # read here, not in the check
    header = Image.read(path, AXIS_CODES).frame
    assert header.shape == volume.frame.shape and header.same_grid(volume.frame, 0)
    return volume


def check_image(volume, damaged):
    """A whole array of finite numbers, at a place that exists."""
    assert volume.data.dtype == np.float32 and volume.data.shape == volume.frame.shape
    assert np.isfinite(volume.data).all() and np.isfinite(volume.frame.affine).all()
    assert (volume.frame.spacing > 0).all() and np.abs(np.linalg.det(volume.frame.affine)) > 0


@pytest.mark.long
def test_nifti(image):
    path = image.with_name("damaged.nii")
    assert read_damaged(
        path, image.read_bytes(), random.Random(1), lambda: read_image(path), check_image
    )


@pytest.mark.long
def test_compressed_nifti(image):
    """Behind gzip's checksum a damaged file is noticed, or else nothing of it was lost."""
    path, whole = image.with_name("damaged.nii.gz"), Image.read(image, AXIS_CODES)
    content = gzip.compress(image.read_bytes(), mtime=0)

    def check(volume, damaged):
        np.testing.assert_array_equal(volume.data, whole.data)
        np.testing.assert_array_equal(volume.frame.affine, whole.frame.affine)

    read_damaged(path, content, random.Random(2), lambda: read_image(path), check)


@pytest.mark.long
@pytest.mark.parametrize("name", FORMATS)
def test_other_formats(tmp_path, name):
    """In a process of its own, which a reader in C++ may end."""
    pytest.importorskip("resource")
    count = max(60, int(os.environ.get("LUNGREG_FUZZ", 0)) // len(FORMATS))
    script = Path(__file__).with_name("fuzz_formats.py")
    run = subprocess.run(
        [sys.executable, str(script), name, str(tmp_path), str(count)],
        env={**os.environ, "PYTHONPATH": str(Path(tf_lungreg.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert run.returncode == 0, (run.returncode, run.stdout[-3000:])


@pytest.mark.long
@pytest.mark.parametrize("name", ["participants.tsv", "images.tsv"])
def test_cohort_tables(tmp_path, name):
    tables = {"participants.tsv": PARTICIPANTS, "images.tsv": IMAGES}
    for table, text in tables.items():
        (tmp_path / table).write_text(text, encoding="utf-8")
    for row in IMAGES.splitlines()[1:]:
        for cell in (row.split("\t")[2], row.split("\t")[4]):
            (tmp_path / cell).touch()

    def check(cohort, damaged):
        names = {scan.participant for scan in cohort.scans}
        assert names == set(cohort.participants) and len(cohort.scans) > 1
        assert len({scan.name for scan in cohort.scans}) == len(cohort.scans)
        assert all(row["diagnosis"] in DIAGNOSES for row in cohort.participants.values())
        for scan in cohort.scans:
            assert scan.image.exists() and (scan.landmarks is None or scan.landmarks.exists())

    path, chance = tmp_path / name, random.Random(3)
    content = tables[name].encode()
    assert read_damaged(path, content, chance, lambda: load_cohort(tmp_path), check)


@pytest.mark.long
def test_landmarks(tmp_path):
    path = tmp_path / "marks.csv"

    def check(marks, damaged):
        assert marks.names and all(marks.names)
        for points in marks.points.values():
            for point in points.values():
                assert point.shape == (3,) and np.isfinite(point).all()

    content = LANDMARKS.encode()
    assert read_damaged(path, content, random.Random(4), lambda: read_landmarks(path), check)
