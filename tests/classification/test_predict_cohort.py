"""``tf-lungreg classify predict --cohort``: everyone's answer, as for each of them alone."""

import csv
import json

import pytest

from tf_lungreg.cli import main

PREDICT = ["classify", "predict", "--model"]


@pytest.mark.long
def test_the_answers_are_those_of_each_patient_alone(
    tools, nine, nine_classifier, tmp_path, capsys
):
    words = [*PREDICT, nine_classifier, "--cohort", str(nine), "--out", str(tmp_path)]
    capsys.readouterr()
    assert main(words) == 0
    assert "not a diagnosis" in capsys.readouterr().out
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["diagnosis"] for row in rows] == tools.nine
    assert {row["part"] for row in rows} == {"train", "new"}
    for row in rows:
        files = [nine / f"{row['participant']}{end}.nii.gz" for end in ("", "_mask")]
        alone = ["--displacement", str(files[0]), "--fixed-mask", str(files[1]), "--json"]
        assert main([*PREDICT, nine_classifier, *alone]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert float(row["probability"]) == pytest.approx(answer["probability"], abs=1e-5)
        assert row["called"] == answer["called"]
        found = [float(row[f"response_{n}"]) for n in (1, 2)]
        assert found == pytest.approx(answer["responses"], abs=1e-5)

    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_new_patients_need_no_diagnosis(tools, nine_classifier, tmp_path, capsys):
    cohort = tools.write_cohort(tmp_path / "new", ["n/a", "n/a"])
    kept = tmp_path / "deformations"
    words = [
        *PREDICT,
        nine_classifier,
        "--cohort",
        str(cohort),
        "--deformations",
        str(kept),
        "--json",
    ]
    capsys.readouterr()
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["diagnosis"] for row in rows] == ["n/a", "n/a"]
    assert len(list(kept.rglob("*.npz"))) == 2


def test_bad_requests(tools, nine, nine_classifier, tmp_path, capsys):
    bare = tools.write_cohort(tmp_path / "bare", tools.nine, columns=("truth",))
    image = str(nine / "p00_image.nii.gz")
    for words, message in (
        (["--cohort", str(bare)], "no mask of 'p00_inhale'"),
        (["--cohort", str(tmp_path / "none")], "none"),
        (["--cohort", str(nine), "--displacement", image], "and --cohort is needed"),
        (["--cohort", str(nine), "--fixed-mask", image], "--fixed-mask"),
        (["--displacement", image, "--deformations", str(tmp_path)], "--cohort only"),
    ):
        assert main([*PREDICT, nine_classifier, *words]) == 2
        printed = capsys.readouterr()
        assert message in printed.err and printed.err.count("\n") == 1
