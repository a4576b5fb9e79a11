"""What asks for more memory than there is, is refused with its size."""

import gzip
import math
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

import tf_lungreg
from tf_lungreg.errors import InputError
from tf_lungreg.images import memory
from tf_lungreg.images.geometry import AXIS_CODES
from tf_lungreg.images.image import Image


def read_voxels(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).data


def read_frame(path, **settings):
    return Image.read(path, AXIS_CODES, **settings).frame


def test_the_smallest_limit_counts(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", ())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert memory.usable_memory() == machine
    for text, expected in (("max\n", machine), ("3000000000\n", 3e9), (f"{2**63}\n", machine)):
        (tmp_path / "limit").write_text(text)
        monkeypatch.setattr(memory, "_CONTAINER_LIMITS", (str(tmp_path / "limit"),))
        assert memory.usable_memory() == expected
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10**6, 10**9))
    assert memory.usable_memory() == 10**6
    monkeypatch.setattr(memory, "resource", None)
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", ())
    monkeypatch.delattr(os, "sysconf")
    assert memory.usable_memory() == math.inf


def test_the_message(monkeypatch):
    monkeypatch.setattr(memory, "usable_memory", lambda: 8e9)
    memory.check_memory("a", 7.9e9, "crop it")
    message = "a: about 8.1 GB of memory are needed, 8 GB can be used here; crop it."
    with pytest.raises(InputError) as caught:
        memory.check_memory("a", 8.1e9, "crop it")
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_every_format_has_the_bound(tmp_path, monkeypatch, name):
    data = np.zeros((20, 30, 40), np.uint8)
    if ".nii" in name:
        nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / name)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(data), str(tmp_path / name))
    Image.read(tmp_path / name, AXIS_CODES).data
    monkeypatch.setattr(memory, "usable_memory", lambda: 100_000)
    for load in (read_voxels, read_frame):
        with pytest.raises(InputError, match=rf"{name}: an image of .* voxels: about .* GB"):
            load(tmp_path / name)


RUN = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
from tf_lungreg.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("role", ["image", "transform", "reference"])
def test_a_gzip_bomb_within_four_gigabytes(tmp_path, role):
    """A file of 1 MB that holds what its header asks for, 1000 × 1000 × 1000 voxels."""
    from tf_lungreg.images.geometry import Frame
    from tf_lungreg.transforms.transform import Transform

    field = Transform(np.zeros((4, 5, 6, 3), np.float32), Frame((4, 5, 6), np.eye(4)))
    field.save(tmp_path / "transform.nii")
    for name in ("image.nii", "reference.nii"):
        nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4)), tmp_path / name)
    header = nib.load(tmp_path / f"{role}.nii").header
    header.set_data_shape((1000, 1000, 1000) if role != "transform" else (1000, 1000, 333, 1, 3))
    header.set_data_dtype(np.uint8)
    header["vox_offset"] = 352
    with gzip.open(tmp_path / "bomb.nii.gz", "wb", compresslevel=9) as stream:
        stream.write(header.binaryblock + bytes(4))
        for _ in range(1000):
            stream.write(bytes(1_000_000))
    assert (tmp_path / "bomb.nii.gz").stat().st_size < 2e6
    files = {each: f"{each}.nii" for each in ("image", "transform", "reference")}
    files[role] = "bomb.nii.gz"
    words = [word for each, name in files.items() for word in (f"--{each}", name)]
    run = subprocess.run(
        [sys.executable, "-c", RUN, "apply", *words, "--out", "out.nii"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(tf_lungreg.__file__).parents[1])},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert run.returncode == 2, run.stderr
    assert "bomb.nii.gz: " in run.stderr and run.stderr.count("\n") == 1
    assert "4.29 GB can be used here" in run.stderr
