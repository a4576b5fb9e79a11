"""Flags and configuration files of the settings' records."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, replace

import pytest

from tf_lungreg.classification.settings import ClassifierSettings
from tf_lungreg.cli import main
from tf_lungreg.cli.flags import add_flags, flag_words, given_settings
from tf_lungreg.cli.main import make_parser
from tf_lungreg.cli.train import make_settings
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.setting import setting, settings_in
from tf_lungreg.training.settings import TrainingSettings
from tf_lungreg.tuning.settings import TuningSettings

COMMANDS = {
    "register f.nii m.nii": RegistrationSettings,
    "train": TrainingSettings,
    "tune --cohort c --out o": TuningSettings,
    "classify train --cohort c --out o": ClassifierSettings,
    "classify evaluate --cohort c --out o": ClassifierSettings,
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, text):
    (folder / "run.yaml").write_text(text, encoding="utf-8")


def parse(words):
    return make_parser().parse_args(words.split())


def leaf(parser, words):
    """The parser of a command with its verbs."""
    for word in words:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                parser = action.choices[word]
    return parser


@pytest.mark.parametrize("words, record", COMMANDS.items())
def test_every_setting_has_a_flag_with_the_help_of_the_docstring(words, record):
    flags = leaf(make_parser(), words.split())._option_string_actions
    for each in settings_in(record).values():
        assert flags[each.flag].dest == each.name
        assert each.help in flags[each.flag].help.replace("%%", "%")
        assert each.shown_default in flags[each.flag].help


@pytest.mark.parametrize("words, record", COMMANDS.items())
def test_what_is_not_given_is_left_to_the_record(words, record):
    given = given_settings(record, parse(words))
    assert given == {}


@dataclass(frozen=True)
class Longer(TrainingSettings):
    """With a setting more.

    Attributes:
        warmup: steps before the learning rate is full.
    """

    warmup: int = setting(5, least=0)


def test_a_new_setting_is_stated_in_one_place(here):
    parser = argparse.ArgumentParser()
    add_flags(parser, settings_in(Longer))
    assert "steps before the learning rate is full (default: 5)" in " ".join(
        parser.format_help().split()
    )
    write(here, "warmup: 7\nepochs: 3\ncohort: data")
    options = parser.parse_args(["--config", "run.yaml"])
    settings = Longer(**given_settings(Longer, options))
    assert (settings.warmup, settings.epochs, settings.cohort) == (7, 3, "data")
    options = parser.parse_args("--cohort data --warmup 9".split())
    assert Longer(**given_settings(Longer, options)) == Longer("data", warmup=9)


EVERYTHING = """
cohort: data/mine
preset: small
affine: true
deformable: false
anchor: corner
similarity: mse+0.5*ncc
alpha: 1e-6
beta: 0
learning_rate: 1.0e-3
epochs: 5
spacing: [10, 9.69, 9.69]
shape: [24, 64, 64]
window: [-1000, 300]
pairs: all
gamma: null
recompute: true
"""


def test_a_file_gives_what_the_flags_give(here):
    write(here, EVERYTHING)
    words = (
        "train --cohort data/mine --preset small --affine --no-deformable --anchor corner "
        "--similarity mse+0.5*ncc --alpha 1e-6 --beta 0 --learning-rate 1e-3 --epochs 5 "
        "--spacing 10 9.69 9.69 --shape 24 64 64 --window -1000 300 --pairs all --recompute"
    )
    expected = make_settings(parse(words))
    assert make_settings(parse("train --config run.yaml")) == expected
    assert expected.gamma is None and expected.window == (-1000, 300)


@pytest.mark.parametrize(
    "words", ["{flags} --config run.yaml", "--config run.yaml {flags}"], ids=["before", "after"]
)
def test_flags_override_the_file(here, words):
    write(here, EVERYTHING)
    flags = "--epochs 9 --window auto --deformable --no-recompute --spacing 1 2 3 --pairs patient"
    settings = make_settings(parse(f"train {words.format(flags=flags)}"))
    of_file = make_settings(parse("train --config run.yaml"))
    changes = {"epochs": 9, "window": "auto", "deformable": True, "recompute": False}
    assert settings == replace(of_file, **changes, spacing=(1, 2, 3), pairs="patient")


def test_a_file_for_a_registration_and_a_search(here):
    write(here, "refine: 160\nwindow: [-1000, 300]\nmask: auto\n")
    options = parse("register --config run.yaml f.nii m.nii")
    settings = RegistrationSettings(**given_settings(RegistrationSettings, options))
    assert settings == RegistrationSettings(window=(-1000, 300), refine=160, mask="auto")
    assert options.images == ["f.nii", "m.nii"]
    write(here, "cohort: data\nalso: [similarity]\ntrials: 4\nseed: 3\n")
    options = parse("tune --config run.yaml --out o")
    assert given_settings(TuningSettings, options) == {"also": ("similarity",), "trials": 4}
    assert make_settings(options) == TrainingSettings("data", seed=3)


@pytest.mark.parametrize(
    "text, message",
    [
        ("epoch: 5", "unknown setting 'epoch'; the settings here are affine, alpha, anchor,"),
        ("5: 1", "unknown setting 5;"),
        ("runs: elsewhere", "unknown setting 'runs'"),
        ("epochs: many", "epochs: a whole number from 1 is needed, not 'many'"),
        ("epochs: 2.5", "epochs: a whole number from 1 is needed, not 2.5"),
        ("epochs: [1, 2]", "epochs: a whole number from 1 is needed, not '1 2'"),
        ("epochs: 0", "epochs: a whole number from 1 is needed, not 0"),
        ("affine: maybe", "affine: true or false is needed, not 'maybe'"),
        ("shape: 24", "shape: three whole numbers from 8 are needed, not 24"),
        ("window: [300, -1000]", "window: LOW must be below HIGH, not 300 -1000"),
        ("cohort: 41", "cohort: a text is needed, not 41"),
        ("loss: {alpha: 1}", "unknown setting 'loss'"),
        ("alpha: {beta: 1}", "alpha: a number from 0 is needed"),
        ("just words", "lines such as 'seed: 1' are needed"),
        ("", "lines such as 'seed: 1' are needed"),
        ("a: [1", "not a YAML file"),
        ("refine: 2026-02-31", "not a YAML file"),
        pytest.param("[" * 3000, "not a YAML file of settings; nested too deeply", id="deep"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_and_writes_nothing(here, capsys, text, message):
    write(here, text)
    with pytest.raises(SystemExit) as stopped:
        main(["train", "--config", "run.yaml"])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"tf-lungreg train: run.yaml: {message}") and error.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["run.yaml"]


def test_a_file_that_cannot_be_read_is_one_line(here, capsys):
    (here / "latin.yaml").write_bytes(b"cohort: M\xfcller")
    for name, message in (("none.yaml", "no such file"), ("latin.yaml", "not a YAML file")):
        with pytest.raises(SystemExit) as stopped:
            main(["classify", "train", "--cohort", "c", "--out", "o", "--config", name])
        assert stopped.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith(f"tf-lungreg classify train: {name}: {message}")
        assert error.count("\n") == 1


def test_the_words_of_a_record_give_it_again():
    settings = ClassifierSettings(epochs=3, learning_rate=3e-3, pooling="average", mirror=False)
    words = ["classify", "train", "--cohort", "c", "--out", "o", *flag_words(settings)]
    options = make_parser().parse_args(words)
    given = given_settings(ClassifierSettings, options)
    assert given == asdict(settings)
