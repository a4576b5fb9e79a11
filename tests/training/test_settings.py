import dataclasses
import json

import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.files import locked
from tf_lungreg.models import find_preset
from tf_lungreg.training import TrainingSettings, find_run_folder
from tf_lungreg.training.folder import claimed_run


def test_the_preset_fills_what_is_not_given():
    config = TrainingSettings("cohort", preset="paper", beta=0.5).resolved()
    preset = find_preset("paper")
    assert (config.alpha, config.beta) == (1e-6, 0.5)
    assert config.shape == preset.shape == (64, 192, 192)
    assert config.spacing == (3.75, 3.21, 3.21)


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"preset": "big"}, "paper, small"),
        ({"similarity": "ssd"}, "mse"),
        ({"anchor": "middle"}, "corner, center, ends"),
        ({"affine": False, "deformable": False}, "--no-affine"),
        ({"pairs": "some"}, "auto, all, patient"),
        ({"epochs": 0}, "epochs"),
        ({"batch": -1}, "batch"),
        ({"alpha": -1.0}, "alpha"),
        ({"gamma": float("nan")}, "gamma"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"shape": (4, 64, 64)}, "shape"),
        ({"spacing": (0.0, 1.0, 1.0)}, "spacing"),
    ],
)
def test_unusable_settings_are_named(settings, word):
    with pytest.raises(InputError, match=word):
        TrainingSettings("cohort", **settings).resolved()


@pytest.fixture
def config():
    return TrainingSettings("some/cohort").resolved()


def leave_run(folder, config, ended):
    folder.mkdir(parents=True)
    settings = {"settings": dataclasses.asdict(config)}
    (folder / "config.json").write_text(json.dumps(settings))
    if ended:
        (folder / "metrics.json").write_text("{}")


def test_without_a_name_an_interrupted_run_goes_on_and_an_ended_one_stays(tmp_path, config):
    assert find_run_folder(tmp_path, config) == tmp_path / "cohort-general"
    leave_run(tmp_path / "cohort-general", config, ended=True)
    assert find_run_folder(tmp_path, config) == tmp_path / "cohort-general-2"
    leave_run(tmp_path / "cohort-general-2", config, ended=False)
    assert find_run_folder(tmp_path, config) == tmp_path / "cohort-general-2"
    other = dataclasses.replace(config, seed=1)
    assert find_run_folder(tmp_path, other) == tmp_path / "cohort-general-3"


def test_a_named_run_is_not_overwritten_unless_asked(tmp_path, config):
    leave_run(tmp_path / "mine", config, ended=True)
    with pytest.raises(InputError, match="has ended.*--overwrite"):
        find_run_folder(tmp_path, config, "mine")
    leave_run(tmp_path / "half", dataclasses.replace(config, beta=0.5), ended=False)
    with pytest.raises(InputError, match="another beta"):
        find_run_folder(tmp_path, config, "half")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="no run"):
            find_run_folder(tmp_path, config, "foreign", overwrite)
        for content in ("[]", "{", '{"settings": 5}'):  # other programs have such a file, too
            (tmp_path / "foreign" / "config.json").write_text(content)
            with pytest.raises(InputError, match="no run"):
                find_run_folder(tmp_path, config, "foreign", overwrite)
    assert (tmp_path / "foreign" / "thesis.txt").exists()
    assert find_run_folder(tmp_path, config, "mine", overwrite=True) == tmp_path / "mine"
    assert not (tmp_path / "mine").exists()


def test_a_folder_in_which_a_training_runs_is_left_alone(tmp_path, config):
    folder = tmp_path / "mine"
    leave_run(folder, config, ended=True)
    with locked(folder), pytest.raises(InputError, match="mine: another process is writing there"):
        find_run_folder(tmp_path, config, "mine", overwrite=True)
    assert (folder / "metrics.json").exists()


def test_a_folder_that_another_training_took_meanwhile(tmp_path, config):
    with claimed_run(tmp_path / "run", config):
        with pytest.raises(InputError, match="another process is writing there"):
            with claimed_run(tmp_path / "run", config):
                pass
    assert not (tmp_path / "run").exists()
    leave_run(tmp_path / "run", dataclasses.replace(config, seed=1), ended=False)
    with pytest.raises(InputError, match="another seed"):
        with claimed_run(tmp_path / "run", config):
            pass
