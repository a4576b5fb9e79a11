"""The command with real trainings, and a training with what it found."""

import json

import pytest

from tf_lungreg.cli import main


@pytest.mark.long
def test_a_trial_is_a_training_with_its_settings(cohort, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    common = ["--cohort", str(cohort), "--preset", tiny, "--epochs", "1", "--steps", "2"]
    search = ["--out", "found", "--tuner", "random", "--trials", "1", "--tune", "learning-rate"]
    assert main(["tune", *common, *search]) == 0
    assert "found/report.html" in capsys.readouterr().out
    best = json.loads((tmp_path / "found" / "best.json").read_text())
    assert 0 < best["val_dice"] < 1 and best["seconds"] > 0

    assert main(["train", *common, "--from-tuning", "found", "--gamma", "0.5"]) == 0
    metrics = json.loads((tmp_path / "runs" / "phantom-tiny" / "metrics.json").read_text())
    for name in ("alpha", "beta", "learning_rate"):
        assert metrics["settings"][name] == best["settings"][name]
    assert metrics["dice_after"] == pytest.approx(best["val_dice"], abs=2e-6)
    assert metrics["folds_lung"] == pytest.approx(best["folds_lung"], abs=2e-6)


def test_flags_win_over_what_was_found(tmp_path):
    from tf_lungreg.cli.main import make_parser
    from tf_lungreg.cli.train import make_settings

    (tmp_path / "best.json").write_text('{"settings": {"alpha": 0.5, "beta": 0.25}}')
    words = ["train", "--from-tuning", str(tmp_path), "--beta", "2"]
    config = make_settings(make_parser().parse_args(words)).resolved()
    assert (config.alpha, config.beta) == (0.5, 2)


def test_a_folder_without_a_search_is_one_line(tmp_path, capsys):
    assert main(["train", "--from-tuning", str(tmp_path)]) == 2
    (tmp_path / "best.json").write_text("[]")
    assert main(["train", "--from-tuning", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and all("best.json" in line for line in lines)
