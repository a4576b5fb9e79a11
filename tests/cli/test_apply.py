"""``tf-lungreg apply``; what it computes is tested with its functions."""

import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import tf_lungreg
from tf_lungreg.cli import main
from tf_lungreg.images.geometry import Frame
from tf_lungreg.transforms.transform import Transform

FAR = np.eye(4)[:, ::-1] * [0, 0, 0, 5000.0]  # a translation along the first axis


@pytest.fixture(autouse=True)
def files(tmp_path, rng, monkeypatch):
    """A transform that shifts by a voxel, an image, a reference and points."""
    monkeypatch.chdir(tmp_path)
    frame = Frame((8, 9, 10), np.diag([2.0, 3, 4, 1]))
    shift = np.broadcast_to(np.float32([2, 0, 0]), (8, 9, 10, 3))
    Transform(np.array(shift), frame).save("d.nii.gz")
    data = rng.integers(0, 900, (8, 9, 10)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, frame.affine), "image.nii")
    nib.save(nib.Nifti1Image(data, Frame((8, 9, 10), frame.affine + FAR).affine), "far.nii")
    (tmp_path / "p.csv").write_text("name,x,y,z\na,4,6,8\n")
    return data


def test_an_image(files, capsys):
    assert main("apply --transform d.nii.gz --image image.nii --out o.nii".split()) == 0
    assert capsys.readouterr().out == "wrote o.nii\n"
    np.testing.assert_allclose(nib.load("o.nii").get_fdata()[:-1], files[1:], atol=1e-4)
    words = "apply --transform d.nii.gz --image image.nii --out i.nii --inverse"
    assert main([*words.split(), "--reference", "image.nii", "--interpolation", "nearest"]) == 0
    np.testing.assert_array_equal(nib.load("i.nii").get_fdata()[1:], files[:-1])


def test_the_value_outside(files):
    words = "apply --transform d.nii.gz --image image.nii --out o.nii --outside -1000"
    assert main(words.split()) == 0
    assert (nib.load("o.nii").get_fdata()[-1] == -1000).all()


@pytest.mark.parametrize(
    ("flags", "x"),
    [("", 6), ("--inverse", 2), ("--coordinates lps", 2), ("--coordinates lps --inverse", 6)],
)
def test_points(tmp_path, flags, x):
    words = f"apply --transform d.nii.gz --points p.csv --out q.csv {flags}"
    assert main(words.split()) == 0
    name, *point = (tmp_path / "q.csv").read_text().splitlines()[1].split(",")
    assert name == "a"
    np.testing.assert_allclose([float(v) for v in point], [x, 6, 8], atol=0.02)


def test_points_of_slicer_state_their_system(tmp_path):
    row = "1,-4,-6,8,0,0,0,1,1,1,0,a,,"
    (tmp_path / "p.fcsv").write_text(f"# CoordinateSystem = LPS\n{row}\n")
    assert main("apply --transform d.nii.gz --points p.fcsv --out q.csv".split()) == 0
    assert (tmp_path / "q.csv").read_text() == "name,x,y,z\na,6.0000,6.0000,8.0000\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--image image.nii --out o.nii --transform none.nii", "none.nii: no such file"),
        ("--image image.nii --out o.nii --transform image.nii", "a displacement field"),
        ("--image p.csv --out o.nii --transform d.nii.gz", "p.csv: not a readable image"),
        (
            "--image image.nii --out o.txt --transform d.nii.gz",
            "o.txt: images are written",
        ),
        ("--image image.nii --out d.nii.gz --transform d.nii.gz", "d.nii.gz: already exists"),
        ("--image image.nii --out o.nii --transform d.nii.gz --inverse", "--reference"),
        ("--points image.nii --out q.csv --transform d.nii.gz", "image.nii: not a readable table"),
        ("--points p.csv --out p.csv --transform d.nii.gz", "p.csv: already exists"),
        ("--image far.nii --out o.nii --transform d.nii.gz", "leads nowhere into this image"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, capsys, words, message):
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert main(["apply", *words.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tf-lungreg apply: ") and message in error and error.count("\n") == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "words",
    [
        "--transform d.nii.gz --image image.nii --out image.nii",
        "--transform d.nii.gz --image image.nii --out sub/../image.nii",
        "--transform d.nii.gz --image image.nii --out link.nii",
        "--transform d.nii.gz --image image.nii --out hard.nii",
        "--transform d.nii.gz --image image.nii --out d.nii.gz",
        "--transform d.nii.gz --image image.nii --reference hard.nii --out image.nii",
        "--transform sub --image image.nii --out sub/displacement.nii.gz",
        "--transform d.nii.gz --points p.csv --out p.csv",
    ],
)
def test_an_input_is_never_overwritten(tmp_path, capsys, words):
    (tmp_path / "sub").mkdir()
    os.link("d.nii.gz", "sub/displacement.nii.gz")
    os.symlink("image.nii", "link.nii")
    os.link("image.nii", "hard.nii")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    assert main(["apply", *words.split(), "--overwrite"]) == 2
    error = capsys.readouterr().err
    assert "would replace" in error and error.count("\n") == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("flags", [[], ["--inverse"]])
def test_points_outside_the_grid_are_told_in_one_line(tmp_path, capsys, flags):
    table = "name,x,y,z\na,4,6,8\nb,4,6,900\n"
    (tmp_path / "p.csv").write_text(table, encoding="utf-8")
    words = ["apply", "--transform", "d.nii.gz", "--points", "p.csv", "--out", "q.csv", *flags]
    assert main(words) == 0
    error = capsys.readouterr().err
    assert error == (
        "warning: p.csv: 1 of 2 points lie outside the transform's grid; "
        "they move as its border does.\n"
    )


def test_a_fold_is_told_in_one_line(rng, capsys):
    noise = np.float32(9 * rng.normal(size=(8, 9, 10, 3)))
    Transform(noise, Frame((8, 9, 10), np.eye(4))).save("fold.nii")
    words = (
        "apply --transform fold.nii --image image.nii --reference image.nii --out o.nii --inverse"
    )
    assert main(words.split()) == 0
    error = capsys.readouterr().err
    assert error.startswith("warning: the inverse misses") and error.count("\n") == 1


def test_it_does_not_load_tensorflow():
    code = (
        "import sys; from tf_lungreg.cli import main\n"
        "assert main('apply --transform d.nii.gz --image image.nii --out o.nii'.split()) == 0\n"
        "assert 'tensorflow' not in sys.modules and 'matplotlib' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(tf_lungreg.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
