"""``tf-lungreg register`` with a small exported model."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import tf_lungreg
from tf_lungreg.cli import main
from tf_lungreg.reporting.result_folder import FILES


@pytest.fixture
def model(exported_small):
    return exported_small


@pytest.fixture
def images(tmp_path, rng, monkeypatch):
    """``fixed.nii.gz`` and ``moving.nii.gz`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUNGREG_MODEL", raising=False)
    for name, shift in (("fixed", 0), ("moving", 8)):
        affine = np.diag([-4.0, -5, 6, 1])
        affine[2, 3] = shift
        data = rng.normal(size=(16, 14, 12)).cumsum(axis=0).astype(np.float32)
        nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{name}.nii.gz")
    return tmp_path


def files_in(folder):
    return {p.name for p in folder.iterdir()}


def test_two_names_are_enough(images, model, monkeypatch, capsys):
    monkeypatch.setenv("LUNGREG_MODEL", str(model.parent))
    assert main(["register", "fixed.nii.gz", "moving.nii.gz"]) == 0
    out = images / "moving_to_fixed"
    assert files_in(out) == set(FILES) - {"transform.h5"}
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["provenance"]["model"] == str(model)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].startswith(f"quality {metrics['quality']['verdict']}")
    assert lines[-1] == f"report  {os.path.join('moving_to_fixed', 'report.html')}"


def test_every_flag(images, model, capsys):
    for name in ("fixed", "moving"):
        image = nib.load(f"{name}.nii.gz")
        mask = nib.Nifti1Image((image.get_fdata() > 0).astype(np.uint8), image.affine)
        nib.save(mask, f"{name}-mask.nii")
        (images / f"{name}.csv").write_text("name,x,y,z\na,-20,-20,30\nb,-30,-35,40\n")
    words = (
        f"register --fixed fixed.nii.gz --moving moving.nii.gz --model {model} --out new/out "
        "--window -3 4 --init world --fixed-mask fixed-mask.nii --moving-mask moving-mask.nii "
        "--landmarks fixed.csv moving.csv --itk-transform"
    )
    assert main(words.split()) == 0
    out = images / "new" / "out"
    assert files_in(out) == set(FILES)
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["settings"]["window"] == [-3, 4] and metrics["settings"]["init"] == "world"
    assert metrics["measures"]["tre_world"] == metrics["measures"]["tre_before"] == 0
    printed = capsys.readouterr().out
    assert f"Dice    {metrics['measures']['dice_after']:.3f}" in printed
    assert f"TRE     {metrics['measures']['tre_after']:.2f} mm" in printed
    assert main(words.split()) == 2  # the folder exists


def test_in_slabs_it_is_the_same(images, model):
    words = ["register", "fixed.nii.gz", "moving.nii.gz", "--model", str(model), "--out"]
    assert main([*words, "whole"]) == 0
    assert main([*words, "slabs", "--memory", "0.0005"]) == 0
    fields = [nib.load(f"{out}/displacement.nii.gz").get_fdata() for out in ("whole", "slabs")]
    assert np.abs(fields[0]).max() > 1  # mm
    np.testing.assert_allclose(*fields, atol=1e-3)
    settings = json.loads((images / "slabs" / "metrics.json").read_text())["settings"]
    assert settings["memory"] == 0.0005


def test_a_word_that_is_no_number_of_gb(images, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["register", "fixed.nii.gz", "moving.nii.gz", "--memory", "4GB"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "--window -1e1 3e1 fixed.nii.gz moving.nii.gz --out out",
        "fixed.nii.gz --out out --window -10 30 moving.nii.gz",
        "--out out --window auto fixed.nii.gz moving.nii.gz",
    ],
)
def test_images_may_follow_the_window(images, model, words):
    assert main(["register", *words.split(), "--model", str(model)]) == 0
    metrics = json.loads((images / "out" / "metrics.json").read_text())
    assert metrics["settings"]["window"] == ("auto" if "auto" in words else [-10, 30])
    assert metrics["provenance"]["inputs"]["fixed"]["path"] == "fixed.nii.gz"


def test_the_working_directory_is_filled_and_not_replaced(images, model, monkeypatch, capsys):
    names = [str(images / name) for name in ("fixed.nii.gz", "moving.nii.gz")]
    (images / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(images / "here" / "below")
    above = str(images / "here")
    assert main(["register", *names, "--model", str(model), "--out", above, "--overwrite"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["register", *names, "--model", str(model), "--out", "."]) == 0
    assert os.path.samefile(".", images / "here" / "below")
    assert "warped.nii.gz" in os.listdir(".")


def test_a_mask_file_after_the_wrong_flag(images, capsys):
    with pytest.raises(SystemExit) as caught:
        main("register fixed.nii.gz moving.nii.gz --mask lungs.nii.gz".split())
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "auto is needed, not 'lungs.nii.gz'" in message and "--fixed-mask" in message


def test_landmarks_in_lps(images, model, capsys):
    for name, rows in (("ras", "a,-20,-20,30\n"), ("lps", "a,20,20,30\n")):
        (images / f"{name}.csv").write_text("name,x,y,z\n" + rows)
        words = f"register fixed.nii.gz moving.nii.gz --model {model} --out {name} "
        words += f"--landmarks {name}.csv {name}.csv --coordinates {name}"
        assert main(words.split()) == 0
    assert "outside" not in capsys.readouterr().err
    errors = [
        json.loads((images / n / "metrics.json").read_text())["measures"]["tre_after"]
        for n in ("ras", "lps")
    ]
    assert errors[0] == errors[1] > 0


@pytest.fixture
def no_pretrained(monkeypatch):
    found = "tf_lungreg.inference.default_model.pretrained_model"
    monkeypatch.setattr(found, lambda preset=None: None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "two images are needed"),
        ("fixed.nii.gz", "two images are needed"),
        ("fixed.nii.gz --moving moving.nii.gz", "two images are needed"),
        ("fixed.nii.gz moving.nii.gz x.nii", "two images are needed"),
        ("fixed.nii.gz none.nii --out out", "none.nii: no such file"),
        ("fixed.nii.gz moving.nii.gz --out out", "train one"),
        ("fixed.nii.gz moving.nii.gz --out out --model .", "no SavedModel"),
        ("fixed.nii.gz moving.nii.gz --out out --model none", "'none' goes with --refine"),
        ("fixed.nii.gz moving.nii.gz --out out --window 3 1", "--window"),
        ("--out out --window fixed.nii.gz moving.nii.gz", "--window: auto, paper or LOW HIGH"),
        ("--out out --window -10 30 fixed.nii.gz", "two images are needed"),
        ("fixed.nii.gz moving.nii.gz --out .", "already exists"),
        ("fixed.nii.gz moving.nii.gz --out . --overwrite", "holds fixed.nii.gz"),
        ("fixed.nii.gz moving.nii.gz --out fixed.nii.gz", "is a file"),
        ("fixed.nii.gz moving.nii.gz --out fixed.nii.gz/x", "fixed.nii.gz: is a file"),
        (f"fixed.nii.gz moving.nii.gz --out out --refine {10**20}", "100000 is the most"),
        ("fixed.nii.gz moving.nii.gz --out out --memory 0", "memory: GB, a number above 0"),
        ("fixed.nii.gz moving.nii.gz --out out --memory nan", "memory: GB, a number above 0"),
        ("fixed.nii.gz moving.nii.gz --out out --memory inf", "memory: GB, a number above 0"),
        (
            "fixed.nii.gz moving.nii.gz --out out --memory 1 --model none --refine 1",
            "memory: goes with an exported model",
        ),
        ("fixed.nii.gz moving.nii.gz --out out --memory 1 --server localhost:1", "--memory"),
        ("--pairs none.csv", "none.csv: no such file"),
        ("--pairs .", ".: is a folder; a table is needed"),
        ("--pairs a.csv --fixed-mask m.nii", "--fixed-mask belongs in the table, a.csv"),
        ("fixed.nii.gz moving.nii.gz --pairs pairs.csv", "the images belong in the table"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(images, no_pretrained, capsys, words, message):
    before = files_in(images)
    assert main(["register", *words.split()]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("tf-lungreg register: ") and message in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert files_in(images) == before


def test_a_warning_is_told_once(images, no_pretrained, capsys):
    nib.save(nib.Nifti1Image(nib.load("fixed.nii.gz").get_fdata(), None), "plain.nii")
    assert main(["register", "plain.nii", "plain.nii"]) == 2  # for want of a model
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("warning: plain.nii: the header has no")


def nested_dicom(depth):
    """A file whose sequences are nested so deep that GDCM's recursion ends the process."""
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\x00"
    meta = b"\x02\x00\x00\x00UL\x04\x00" + struct.pack("<I", len(meta)) + meta
    open_item = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    close_item = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return bytes(128) + b"DICM" + meta + open_item * depth + close_item * depth


@pytest.mark.long
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_file_that_could_kill_the_process_is_one_failed_pair(images, model, capfd, jobs):
    (images / "deep.dcm").write_bytes(nested_dicom(50_000))
    lines = ["a,deep.dcm,moving.nii.gz", "b,fixed.nii.gz,moving.nii.gz", "c,deep.dcm,deep.dcm"]
    (images / "pairs.csv").write_text("\n".join(["name,fixed,moving", *lines]))
    words = ["register", "--pairs", "pairs.csv", "--model", str(model), "--jobs", jobs]
    assert main(words) == 2
    assert files_in(images / "registered") == {"b", "summary.csv"}
    summary = (images / "registered" / "summary.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in summary[1:]] == [
        *(["a", "failed"], ["b", "registered"], ["c", "failed"])
    ]
    assert "a: failed: deep.dcm: the DICOM file is truncated or damaged" in capfd.readouterr().out


@pytest.mark.long
def test_many_pairs_that_are_terminated(images, model, running):
    """Nothing half, no process left, and what is finished is in the summary."""
    names = [f"p{n}" for n in range(40)]
    lines = [f"fixed.nii.gz,moving.nii.gz,{name}" for name in names]
    (images / "pairs.csv").write_text("\n".join(["fixed,moving,name", *lines]))
    words = [sys.executable, "-m", "tf_lungreg", "register", "--pairs", "pairs.csv"]
    words += ["--model", str(model), "--jobs", "2", "--refine", "2"]
    command = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(Path(tf_lungreg.__file__).parents[1])},
    )
    running.append(command)
    assert "registered (1 of 40" in command.stdout.readline()
    command.terminate()
    out, err = command.communicate(timeout=120)  # once no process holds the pipes
    assert command.returncode == 143 and "not begun or not ended" in out
    assert "tf-lungreg register: interrupted" in err
    done = {path.parent.name for path in Path("registered").glob("*/metrics.json")}
    assert done and files_in(images / "registered") == {*done, "summary.csv"}
    rows = (images / "registered" / "summary.csv").read_text().splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == done


@pytest.mark.long
def test_many_pairs_at_a_time(images, model, capfd):
    table = "fixed,moving,name\nfixed.nii.gz,moving.nii.gz,a\nfixed.nii.gz,none.nii,b\n"
    (images / "pairs.csv").write_text(table)
    words = ["register", "--pairs", "pairs.csv", "--model", str(model), "--jobs", "2"]
    assert main(words) == 2
    printed = capfd.readouterr()
    assert files_in(images / "registered") == {"a", "summary.csv"}
    assert "b: failed: none.nii: no such file" in printed.out + printed.err
    assert "1 of 2 pairs could not be registered (b)" in printed.err
