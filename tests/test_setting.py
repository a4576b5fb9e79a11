"""A setting is stated once: types, ranges, defaults and help of the records."""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

from tf_lungreg.classification.settings import ClassifierSettings
from tf_lungreg.errors import InputError
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.setting import check_settings, setting, settings_in
from tf_lungreg.training.settings import TrainingSettings
from tf_lungreg.tuning.settings import TuningSettings

RECORDS = (RegistrationSettings, TrainingSettings, TuningSettings, ClassifierSettings)


@dataclass(frozen=True)
class Every:
    """One setting of each type.

    Attributes:
        whole: a whole number, with a
            second line.
        share: a ``share``. It has two sentences.
        name: a name.
        kind: one of two.
        switch: a switch.
        shape: voxels.
        spacing: mm.
        names: some names.
        window: intensities.
        size: optional.
    """

    whole: int
    share: float = setting(1e-3, least=0, below=1)
    name: str = "a"
    kind: str = setting("x", choices=("x", "y"))
    switch: bool = False
    shape: tuple[int, int, int] = setting((8, 8, 8), least=8)
    spacing: tuple[float, float, float] = setting((1.0, 1.0, 1.0), unit="mm", above=0)
    names: tuple[str, ...] = setting((), choices=("p", "q"))
    window: Window = "auto"  # noqa: F821
    size: int | None = setting(None, shown="the preset's", least=1, most=9)

    def __post_init__(self):
        check_settings(self)


@pytest.mark.parametrize("record", RECORDS)
def test_every_field_is_a_setting_with_a_help(record):
    assert is_dataclass(record) and record.__dataclass_params__.frozen
    settings = settings_in(record)
    nested = {"training"} if record is TuningSettings else set()
    assert set(settings) == {field.name for field in fields(record)} - nested
    for each in settings.values():
        assert each.help and "`" not in each.help and ":func:" not in each.help
        if each.default is not MISSING:
            each.check(each.default)


def test_what_a_field_states():
    settings = settings_in(Every)
    assert settings["whole"].help == "a whole number, with a second line"
    assert settings["share"].help == "a share. It has two sentences"
    assert settings["whole"].default is MISSING and settings["whole"].flag == "--whole"
    assert settings["share"].range == "at least 0, below 1"
    assert settings["size"].range == "at least 1, at most 9"
    assert settings["kind"].range == "x, y"
    shown = [settings[name].shown_default for name in ("share", "size", "switch", "window")]
    assert shown == ["0.001", "the preset's", "no", "auto"]


@pytest.mark.parametrize(
    "name, value",
    [
        ("whole", -3),
        ("whole", np.int64(3)),
        ("share", 0),
        ("share", np.float32(0.5)),
        ("name", Path("a")),
        ("shape", [8, 9, 10]),
        ("names", ("p", "q")),
        ("window", (-1000, 300)),
        ("window", "paper"),
        ("size", None),
        ("size", 9),
    ],
)
def test_values_that_can_be_used(name, value):
    record = Every(**{"whole": 1, name: value})
    assert getattr(record, name) is value


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("whole", None, "whole: a whole number is needed, not None"),
        ("whole", True, "whole: a whole number is needed, not True"),
        ("whole", 2.5, "whole: a whole number is needed, not 2.5"),
        ("share", "0.5", "share: a number from 0 below 1 is needed, not '0.5'"),
        ("share", 1.0, "share: a number from 0 below 1 is needed, not 1.0"),
        ("share", math.nan, "share: .* not nan"),
        ("name", 3, "name: a text is needed, not 3"),
        ("kind", "z", "kind: one of x, y is needed, not 'z'"),
        ("switch", 1, "switch: true or false is needed, not 1"),
        ("shape", (8, 8), "shape: three whole numbers from 8 are needed"),
        ("shape", (8, 8, 7), r"shape: three whole numbers from 8 are needed, not \(8, 8, 7\)"),
        ("spacing", (1, 1, 0), "spacing: mm, three numbers above 0 are needed"),
        ("spacing", (1, 1, math.inf), "spacing: "),
        ("names", ("p", "r"), "names: one of p, q is needed"),
        ("names", "p", "names: "),
        ("window", "lung", "window: auto, paper or LOW HIGH is needed, not 'lung'"),
        ("window", (3, 1), "window: LOW must be below HIGH, not 3 1"),
        ("window", (3,), "window: auto, paper or LOW HIGH"),
        ("size", 0, "size: a whole number from 1 is needed, not 0; 9 is the most"),
        ("size", 10, "size: .* 9 is the most"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(name, value, message):
    with pytest.raises(InputError, match=message):
        Every(**{"whole": 1, name: value})


@pytest.mark.parametrize(
    "name, given, value",
    [
        ("whole", 3, 3),
        ("whole", "3", 3),
        ("share", "1e-6", 1e-6),  # a text in YAML, for want of a dot
        ("share", 0, 0.0),
        ("switch", True, True),
        ("shape", [8, 9, 10], (8, 9, 10)),
        ("spacing", ["1", "2.5", "3"], (1.0, 2.5, 3.0)),
        ("names", ["p", "q"], ("p", "q")),
        ("names", "p", ("p",)),
        ("window", [-1000, 300], (-1000.0, 300.0)),
        ("window", ["-1e3", ".5"], (-1000.0, 0.5)),
        ("window", "auto", "auto"),
        ("window", ["paper"], "paper"),
    ],
)
def test_values_of_words_and_files(name, given, value):
    found = settings_in(Every)[name].read(given)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "name, given",
    [
        ("whole", "many"),
        ("whole", 2.5),
        ("whole", True),
        ("whole", [1, 2]),
        ("whole", {"a": 1}),
        ("share", "nan"),
        ("name", 41),
        ("switch", "maybe"),
        ("switch", 1),
        ("shape", 8),
        ("shape", [8, 8, 8, 8]),
        ("window", ["lung"]),
        ("window", [300, -1000]),
        ("size", 10),
    ],
)
def test_words_and_values_of_files_that_do_not_fit(name, given):
    with pytest.raises(InputError, match=f"^{name}: "):
        settings_in(Every)[name].read(given)


def test_a_field_without_a_help_or_of_a_foreign_type_is_a_defect():
    @dataclass
    class Silent:
        """Has no section."""

        count: int = 1

    @dataclass
    class Foreign:
        """Foreign.

        Attributes:
            count: complex.
        """

        count: complex = 1

    for record in (Silent, Foreign):
        with pytest.raises(TypeError, match=f"{record.__name__}.count"):
            settings_in(record)
