import json

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.cli import main
from tf_lungreg.errors import InputError
from tf_lungreg.export import load_model
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.weights import named_weights
from tf_lungreg.training import compile_registration_model
from tf_lungreg.training.checkpoint import Progress, save_checkpoint
from tf_lungreg.training.run_export import export_run

SETTINGS = {"preset": "tiny", "affine": True, "deformable": True, "anchor": "corner", "seed": 3}


@pytest.fixture
def run(tiny, tmp_path):
    """A run that ended, with weights that no new model has; and those weights."""
    model = compile_registration_model(build_registration_model(tiny, anchor="corner"))
    for number, variable in enumerate(named_weights(model).values()):
        variable.assign(tf.random.stateless_normal(variable.shape, (number, 2)))
    folder = tmp_path / "runs" / "chest"
    save_checkpoint(folder / "best.npz", model, Progress(epoch=2))
    metrics = {
        **{"dice_before": 0.5, "dice_after": 0.75, "epochs": 2, "seconds": 12.5},
        **{"model": "lost", "settings": SETTINGS, "software": {"numpy": "1"}, "pairs": [{}]},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return folder, {name: v.numpy() for name, v in named_weights(model).items()}


def test_a_run_is_exported_as_the_next_version(run, tmp_path, capsys):
    folder, weights = run
    models = tmp_path / "models" / "chest"
    (models / "4").mkdir(parents=True)
    assert main(["export", "--run", str(folder), "--out", str(models)]) == 0
    assert capsys.readouterr().out.split() == ["model", str(models / "5")]
    exported = load_model(models)
    assert exported.card["settings"] == SETTINGS and exported.card["software"] == {"numpy": "1"}
    measured = {"dice_before": 0.5, "dice_after": 0.75, "epochs": 2}
    assert exported.card["metrics"] == measured
    for name, value in weights.items():
        np.testing.assert_array_equal(exported.weights[name], value)


def test_what_is_no_run_that_ended_is_named(run, tmp_path, capsys):
    folder, _ = run
    words = ["export", "--out", str(tmp_path / "models"), "--run"]
    assert main([*words, str(tmp_path / "nowhere")]) == 2
    assert "metrics.json: no such file" in capsys.readouterr().err
    (folder / "metrics.json").write_text('{"settings": {}}', encoding="utf-8")
    with pytest.raises(InputError, match="not the metrics of a training"):
        export_run(folder, tmp_path / "models")
    assert not (tmp_path / "models").exists()
