"""``tf-lungreg evaluate`` with a small exported model."""

import json
import shlex
import shutil
import sys

import pytest

from tf_lungreg.cli import main
from tf_lungreg.cli.main import make_parser
from tf_lungreg.cohorts.cohort import load_cohort, split_patients
from tf_lungreg.export.reading import CARD
from tf_lungreg.files import write_json


@pytest.fixture
def model(exported_small, tmp_path):
    """A model with voxels so large that a pass takes no time."""
    version = shutil.copytree(exported_small, tmp_path / "model")
    settings = {"spacing": [30.0, 40.0, 40.0], "anchor": "ends"}
    write_json(version / CARD, {"settings": settings})
    return version


def test_two_rows(cohort, model, tmp_path, capsys):
    out = tmp_path / "a folder"
    words = ["evaluate", "--cohort", str(cohort), "--out", str(out), "--window", "0", "1500"]
    words += ["--methods", "unregistered, mine", "--models", f"mine={model}", "--seed", "1"]
    words += ["--combinations", "0", "--spacing", "20", "25", "25"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("unregistered") and lines[1].startswith("mine")
    assert all("Dice" in line and "landmarks" in line for line in lines[:2])
    assert lines[2] == f"tables  {out / 'results.md'}"

    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["patients"] == list(split_patients(load_cohort(cohort), seed=1)[1].participants)
    row = results["table1"]["mine"]
    assert row["record"]["seed"] == 1 and "all_combinations" not in row
    assert row["inhale_exhale"]["seconds"] > 0 and row["inhale_exhale"]["device"][:3] in "CPU GPU"
    settings = json.loads((out / "settings.json").read_text(encoding="utf-8"))
    assert settings["window"] == [0, 1500]
    assert settings["methods"]["unregistered"]["spacing"] == [20, 25, 25]

    # The command that is recorded is this one.
    again = shlex.split(row["record"]["command"])
    assert again[0] == "tf-lungreg"
    parser = make_parser()
    assert vars(parser.parse_args(again[1:])) == vars(parser.parse_args(words))
    assert main(again[1:]) == 0
    assert "2 of 2 registrations are there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--methods proposed", "--models proposed=PATH"),
        ("--methods unregistered,nonsense", "unknown method 'nonsense'"),
        ("--models nothing", "NAME=PATH is needed, not 'nothing'"),
        ("--models a=1 a=2", "given twice"),
        ("--models a=none", "none: no such folder"),
        ("--combinations some", "--combinations"),
        ("--combinations -3", "--combinations"),
        ("--spacing 0 1 1", "--spacing"),
        ("--seed -1", "--seed"),
        ("--window 3 1", "--window"),
        ("--figure x", "no pair 'x'"),
        ("--cohort none", "none: no such folder"),
        ("--out file", "file: is a file"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    cohort, tmp_path, monkeypatch, capsys, words, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    command = ["evaluate", "--cohort", str(cohort), "--out", "out", *words.split()]
    assert main(command) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("tf-lungreg evaluate: ") and message in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""
    assert {p.name for p in tmp_path.iterdir()} == {"file"}


def test_a_package_that_is_not_installed(cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ants", None)
    out = tmp_path / "out"
    words = ["evaluate", "--cohort", str(cohort), "--out", str(out), "--methods", "syn"]
    assert main(words) == 2
    assert "pip install" in capsys.readouterr().err and not out.exists()
