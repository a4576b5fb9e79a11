"""``tf-lungreg classify`` on true displacements, and on those of a method that is quick."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.classification.exported import load_classifier
from tf_lungreg.cli import main
from tf_lungreg.cohorts.cohort import load_cohort, split_patients
from tf_lungreg.images.image import Image

DIAGNOSES = ["healthy", "ssc", "ssc"] * 5


@pytest.fixture(scope="module")
def cohort(tools, tmp_path_factory):
    return tools.write_cohort(tmp_path_factory.mktemp("ild") / "cohort", DIAGNOSES)


@pytest.fixture(scope="module")
def classifier(tools, cohort, tmp_path_factory):
    return tools.train_classifier(cohort, tmp_path_factory.mktemp("runs") / "ild")


def test_train_and_predict(cohort, classifier, capsys):
    loaded = load_classifier(classifier)
    card = loaded.card
    assert loaded.path == classifier / "1"
    assert "not a diagnosis" in card["intended_use"]
    train, test = split_patients(load_cohort(cohort))
    assert card["patients"] == {"train": list(train.participants), "test": list(test.participants)}
    assert card["test"]["accuracy"]["of"] == len(test.participants)

    found = []
    for number in (0, 1):
        files = [
            "--displacement",
            f"p{number:02d}.nii.gz",
            "--fixed-mask",
            f"p{number:02d}_mask.nii.gz",
        ]
        words = [w if w.startswith("--") else str(cohort / w) for w in files]
        assert main(["classify", "predict", "--model", str(classifier), *words, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [answer["called"] for answer in found] == DIAGNOSES[:2]
    for answer in found:
        assert answer["probability"] == pytest.approx(np.mean(answer["responses"]), abs=1e-6)
        assert len(answer["responses"]) == 2
    assert main(["classify", "predict", "--model", str(classifier), *words]) == 0
    assert "not a diagnosis" in capsys.readouterr().out


def test_the_saved_model_refuses_what_is_not_finite(classifier):
    loaded = load_classifier(classifier)
    x = np.zeros((1, *loaded.card["settings"]["shape"], 3), np.float32)
    x[0, 1, 2, 3, 1] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="displacement"):
        loaded(x)
    (card,) = loaded.loaded.signatures["card"](query=tf.zeros(1, tf.int32))["card"].numpy()
    assert json.loads(card) == loaded.card


@pytest.mark.long
def test_evaluate_gives_table_3_and_registers_once(tools, cohort, tmp_path, capsys, monkeypatch):
    out, kept = tmp_path / "out", tmp_path / "kept"
    words = ["classify", "evaluate", "--cohort", str(cohort), "--methods", "truth,unregistered"]
    words += ["--out", str(out), "--deformations", str(kept), *tools.flags]
    assert main(words) == 0
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    rows = results["table3"]
    assert list(rows) == ["truth", "unregistered"]
    assert rows["truth"]["accuracy"] == rows["truth"]["test"]["accuracy"]["value"] > 75
    # Nothing moves but the whole volume: the features are 0 for everyone, one answer for all.
    assert rows["unregistered"]["test"]["auc"] == 0.5
    assert "| truth |" in (out / "results.md").read_text(encoding="utf-8")
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 2 * len(DIAGNOSES)
    assert len(list(kept.glob("*/*.npz"))) == 2 * len(DIAGNOSES)

    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err

    def fails(*_):
        raise AssertionError("registered again")

    monkeypatch.setattr("tf_lungreg.classification.deformations._sample_pair", fails)
    assert main([*words, "--overwrite"]) == 0
    again = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert again["table3"] == rows


def test_images_are_registered_as_in_the_training(cohort, tmp_path, capsys):
    out = str(tmp_path / "ild")
    words = ["classify", "train", "--cohort", str(cohort), "--method", "unregistered"]
    assert main([*words, "--out", out, "--folds", "2", "--epochs", "1"]) == 0
    image, mask = str(cohort / "p00_image.nii.gz"), str(cohort / "p00_mask.nii.gz")
    words = ["classify", "predict", "--model", out, "--fixed", image, "--moving", image]
    capsys.readouterr()
    assert main([*words, "--fixed-mask", mask]) == 0
    assert "probability of disease" in capsys.readouterr().out
    assert main(words) == 2
    assert "lung mask is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("diagnoses", "message"),
    [
        (["ssc"] * 6, "all patients have one diagnosis, ssc"),
        (["ssc", "n/a", "healthy"] * 3, "no diagnosis of 'p01'"),
        (["ssc", "healthy"] * 2, "at least 2 of each are needed"),
    ],
)
def test_patients_who_do_not_suffice(tools, tmp_path, capsys, diagnoses, message):
    cohort = tools.write_cohort(tmp_path / "cohort", diagnoses)
    words = ["classify", "train", "--cohort", str(cohort), "--method", "truth"]
    assert main([*words, "--out", str(tmp_path / "ild"), *tools.flags]) == 2
    printed = capsys.readouterr()
    assert message in printed.err and printed.err.count("\n") == 1
    assert not (tmp_path / "ild").exists()


def test_a_cohort_without_truth(tools, tmp_path, capsys):
    cohort = tools.write_cohort(tmp_path / "cohort", DIAGNOSES[:9], columns=("mask",))
    words = ["classify", "evaluate", "--cohort", str(cohort), "--methods", "truth"]
    assert main([*words, "--out", str(tmp_path / "out"), *tools.flags]) == 2
    assert "no truth for" in capsys.readouterr().err


def test_files_of_another_kind(cohort, classifier, tools, tmp_path, capsys):
    mask, image = str(cohort / "p00_mask.nii.gz"), str(cohort / "p00_image.nii.gz")
    displacement = str(cohort / "p00.nii.gz")
    Image(np.zeros((4, 4, 4)), tools.make_frame((99, 99, 99)).__class__((4, 4, 4), np.eye(4))).save(
        tmp_path / "empty.nii.gz"
    )
    base = ["classify", "predict", "--model"]
    for words, message in (
        ([str(classifier), "--displacement", image, "--fixed-mask", mask], "a displacement field"),
        ([str(classifier), "--displacement", displacement], "lung mask is needed"),
        ([str(classifier), "--displacement", "none", "--fixed-mask", mask], "none: no such file"),
        ([str(classifier), "--fixed", image, "--moving", image, "--fixed-mask", mask], "true"),
        ([str(classifier), "--fixed", image], "--fixed with --moving"),
        ([str(tmp_path), "--displacement", displacement], "no SavedModel"),
        (
            [str(classifier), "--displacement", displacement]
            + ["--fixed-mask", str(tmp_path / "empty.nii.gz")],
            "the mask is empty",
        ),
    ):
        assert main([*base, *words]) == 2
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1
