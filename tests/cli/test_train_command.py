"""The command as a user types it: results, and one clear line with exit status 2 for mistakes."""

import argparse
import gzip
import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from tf_lungreg.cli import main
from tf_lungreg.cli.train import add_arguments, make_settings
from tf_lungreg.inference.default_model import pretrained_model


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_cohort_folder_trains(cohort, tiny, here, capsys):
    arguments = ["train", "--cohort", str(cohort), "--preset", tiny, "--epochs", "1"]
    assert main([*arguments, "--window", "0", "1300"]) == 0
    out = capsys.readouterr().out
    assert "mean" in out and "runs/phantom-tiny/report.html" in out
    assert (here / "saved_models" / "lungreg" / "1" / "saved_model.pb").exists()
    metrics = json.loads((here / "runs" / "phantom-tiny" / "metrics.json").read_text())
    assert {"dice_before", "dice_after", "folds_lung"} <= set(metrics)

    first = "saved_models/lungreg/1"
    more = ["train", "--cohort", str(cohort), "--init-from", first, "--epochs", "1", "--steps", "1"]
    assert main(more) == 0  # the preset and the grid are those of the model
    settings = json.loads((here / "runs" / "phantom-tiny-2" / "config.json").read_text())
    assert settings["settings"]["preset"] == tiny
    assert (here / "saved_models" / "lungreg" / "2").is_dir()


@pytest.mark.parametrize(
    "flags, preset, starts",
    [
        ([], "general", True),
        (["--no-affine"], "general", True),
        (["--init-from", "none"], "general", False),
        (["--preset", "small"], "small", False),
    ],
)
def test_training_begins_with_the_pretrained_model_unless_told_otherwise(flags, preset, starts):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    config = make_settings(parser.parse_args(flags)).resolved()
    assert config.preset == preset
    assert config.init_from == (str(pretrained_model("general")) if starts else None)


@pytest.fixture
def copy(cohort, here):
    """A copy of the cohort that a test may damage."""
    return shutil.copytree(cohort, here / "mine")


@pytest.mark.long
def test_without_masks_the_image_term_is_all_there_is(copy, tiny, here, capsys):
    table = (copy / "images.tsv").read_text().splitlines()
    column = table[0].split("\t").index("mask")
    rows = [line.split("\t") for line in table]
    bare = ["\t".join(row[:column] + row[column + 1 :]) for row in rows]
    (copy / "images.tsv").write_text("\n".join(bare) + "\n")
    assert main(["train", "--cohort", "mine", "--preset", tiny, "--epochs", "1"]) == 0
    assert "no masks" in capsys.readouterr().out
    metrics = json.loads((here / "runs" / "mine-tiny" / "metrics.json").read_text())
    assert "dice_after" not in metrics and metrics["mse_after"] > 0


def edit_image(folder, change, kind="inhale"):
    """Replaces a file's voxels by what ``change`` makes of them; its path."""
    table = (folder / "images.tsv").read_text().splitlines()
    column = table[0].split("\t").index("mask" if kind == "mask" else "image")
    path = folder / table[1].split("\t")[column]
    image = nib.load(path)
    data = change(np.asanyarray(image.dataobj).copy())
    nib.save(nib.Nifti1Image(data, image.affine), path)
    return path


def nan(data):
    data = data.astype(np.float32)
    data[3, 3, 3] = np.nan
    return data


def drop_table(folder):
    (folder / "images.tsv").unlink()


def drop_image(folder):
    edit_image(folder, lambda data: data).unlink()


def truncate(folder):
    path = edit_image(folder, lambda data: data)
    path.write_bytes(path.read_bytes()[:400])


def not_an_image(folder):
    edit_image(folder, lambda data: data).write_bytes(gzip.compress(b"hello" * 100))


def repeat_patient(folder):
    table = folder / "participants.tsv"
    table.write_text(table.read_text() + table.read_text().splitlines()[1] + "\n")


def one_image(folder):
    for name in ("participants.tsv", "images.tsv"):
        path = folder / name
        path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")


@pytest.mark.parametrize(
    "damage, word",
    [
        (drop_table, "images.tsv"),
        (drop_image, "no such file"),
        (truncate, ".nii.gz"),
        (not_an_image, ".nii.gz"),
        (repeat_patient, "twice"),
        (one_image, "two"),
        (lambda f: edit_image(f, lambda d: d[:, :, 4]), ".nii.gz"),
        (lambda f: edit_image(f, lambda d: np.stack([d, d], -1)), ".nii.gz"),
        (lambda f: edit_image(f, lambda d: d[:, :, :1]), ".nii.gz"),
        (lambda f: edit_image(f, nan), ".nii.gz"),
        (lambda f: edit_image(f, np.zeros_like), ".nii.gz"),
        (lambda f: edit_image(f, np.zeros_like, "mask"), "mask"),
        (lambda f: edit_image(f, lambda d: d[:-1], "mask"), "mask"),
    ],
)
def test_a_bad_cohort_is_one_line_and_nothing_is_written(copy, here, capsys, damage, word):
    damage(copy)
    assert main(["train", "--cohort", "mine"]) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("tf-lungreg train:")]
    assert len(lines) == 1 and word in lines[0]
    assert "Traceback" not in error
    assert not (here / "saved_models").exists()
    assert not list(here.glob("runs/mine*"))


@pytest.mark.parametrize(
    "flags, word",
    [
        (["--cohort", "nowhere"], "nowhere"),
        (["--preset", "huge"], "paper, small"),
        (["--similarity", "ssd"], "mse"),
        (["--anchor", "left"], "anchor"),
        (["--window", "300", "-1000"], "LOW must be below HIGH"),
        (["--window", "lung"], "--window"),
        (["--init-from", "nowhere"], "nowhere"),
        (["--no-affine", "--no-deformable"], "--no-affine"),
        (["--shape", "2", "2", "2"], "shape"),
        (["--recompute"], "paper, small"),
        (["--epochs", "0"], "epochs"),
        (["--seed", "-1"], "seed"),
        (["--seed", str(10**20)], "seed"),
    ],
)
def test_a_bad_flag_is_one_line_and_nothing_is_written(here, capsys, flags, word):
    assert main(["train", *flags]) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0 and word in error
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "flags, word",
    [
        (["--models", "file"], "file: is a file"),
        (["--models", "file/below"], "file: is a file"),
        (["--runs", "file/below"], "file: is a file"),
        (["--name", "../out"], "--name"),
        (["--name", ""], "--name"),
        (["--name", "a/b"], "--name"),
    ],
)
def test_a_bad_place_for_results_is_one_line_before_any_work(
    cohort, tiny, here, capsys, flags, word
):
    (here / "file").write_text("mine")
    assert main(["train", "--cohort", str(cohort), "--preset", tiny, *flags]) == 2
    error = capsys.readouterr().err.strip()
    assert error.count("\n") == 0 and word in error
    assert [p.name for p in here.iterdir()] == ["file"]


def test_a_phantom_below_a_file_is_refused(here, capsys):
    (here / "file").write_text("mine")
    assert main(["phantom", "--out", "file/below", "--shape", "16", "16", "16"]) == 2
    assert "is a file" in capsys.readouterr().err


def test_too_much_for_the_memory_is_one_line(here, capsys, monkeypatch):
    def demand(*_, **__):
        raise MemoryError("Unable to allocate 909 TiB")

    monkeypatch.setattr("tf_lungreg.phantom.write_phantom_cohort", demand)
    assert main(["phantom", "--out", "big"]) == 2
    assert "909 TiB" in capsys.readouterr().err


def test_an_unknown_flag_or_verb_exits_with_2(capsys):
    for arguments in (["train", "--epochs", "many"], ["train", "--speed", "9"], ["fly"], []):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        error = capsys.readouterr().err.strip()
        assert error.startswith("tf-lungreg") and "--help" in error and "\n" not in error
        assert all(word in error for word in arguments)


def test_help_names_every_similarity(capsys):
    from tf_lungreg.losses import SIMILARITIES

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert all(re.search(rf"\b{name}\b", text) for name in SIMILARITIES)


def test_help_names_every_verb(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "train" in out and "phantom" in out
