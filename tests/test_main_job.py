"""The main job from scratch, and on real files: what takes minutes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CT = Path(__file__).parent / "ct"


def run_training(folder, *flags):
    """``python train_keras.py`` in a folder of its own; the run's metrics."""
    script = str(ROOT / "train_keras.py")
    subprocess.run([sys.executable, script, *flags], cwd=folder, check=True, timeout=3000)
    (metrics,) = folder.glob("runs/*/metrics.json")
    return json.loads(metrics.read_text())


@pytest.mark.slow
def test_without_arguments_it_learns_to_register_unseen_patients(tmp_path):
    metrics = run_training(tmp_path)
    assert not metrics["validated_on_training_set"]
    assert metrics["dice_after"] - metrics["dice_before"] >= 0.08
    assert metrics["folds_lung"] < 1e-3
    assert (tmp_path / "saved_models" / "lungreg" / "1" / "saved_model.pb").exists()
    assert (tmp_path / "runs" / "phantom-general" / "report.html").exists()


@pytest.mark.slow
def test_it_trains_on_real_computed_tomography(tmp_path):
    metrics = run_training(tmp_path, "--cohort", str(CT), "--window", "-1000", "300")
    assert metrics["validated_on_training_set"]
    assert len(metrics["pairs"]) == 2
    for pair in metrics["pairs"]:
        assert pair["dice_after"] > pair["dice_before"], pair
