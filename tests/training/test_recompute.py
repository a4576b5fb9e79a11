"""A training with gradient checkpointing: its record, and weights that are any network's."""

import json

import numpy as np
import pytest

from tf_lungreg.cli import main
from tf_lungreg.export import load_model
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.weights import named_weights
from tf_lungreg.training.checkpoint import load_weights


@pytest.mark.long
def test_a_training_learns_the_same_and_its_weights_load_without_the_flag(
    cohort, tiny, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["train", "--cohort", str(cohort), "--preset", tiny, "--epochs", "1", "--steps", "2"]
    assert main([*words, "--name", "plain"]) == 0
    assert main([*words, "--name", "again", "--recompute"]) == 0
    runs = tmp_path / "runs"
    record = json.loads((runs / "again" / "metrics.json").read_text(encoding="utf-8"))
    assert record["settings"]["recompute"]
    weights = []
    for name in ("plain", "again"):
        model = build_registration_model(tiny)
        load_weights(runs / name / "best.npz", model)
        weights.append({key: value.numpy() for key, value in named_weights(model).items()})
    plain, again = weights
    exported = load_model(tmp_path / "saved_models" / "lungreg").weights
    assert set(exported) == set(again) == set(plain)
    for name in again:
        np.testing.assert_array_equal(exported[name], again[name])
        np.testing.assert_allclose(again[name], plain[name], atol=1e-5)
