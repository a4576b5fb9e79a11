"""Writes docs/settings.md from the records of settings: ``python docs/settings_page.py``."""

from __future__ import annotations

from pathlib import Path

from tf_lungreg.classification.settings import ClassifierSettings
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.setting import REQUIRED, Setting, settings_in
from tf_lungreg.training.settings import TrainingSettings
from tf_lungreg.tuning.settings import TuningSettings

PAGE = Path(__file__).parent / "settings.md"

SECTIONS = {
    "Registration": (RegistrationSettings, "`tf-lungreg register`"),
    "Training": (TrainingSettings, "`tf-lungreg train` and, some of them, `tf-lungreg tune`"),
    "Tuning": (TuningSettings, "`tf-lungreg tune`"),
    "Classification": (
        ClassifierSettings,
        "`tf-lungreg classify train` and `tf-lungreg classify evaluate`",
    ),
}

_INTRODUCTION = """\
<!-- Written by docs/settings_page.py; change the docstrings and fields of the records instead. -->

# Settings

You can give each setting in three ways:

- in Python, as a field of the record that its section names;
- on the command line, with its flag;
- in a YAML file that `--config` names, with one `name: value` on each line.

A flag overrides the file, and the file overrides the default. The file takes lists where a flag
takes several words: `window: [-1000, 300]`. It takes `true` and `false` for a switch. A value of
`null` leaves the default. An unknown name or a value that does not fit is an error.
"""


def make_page() -> str:
    """The text of docs/settings.md."""
    parts = [_INTRODUCTION]
    for title, (record, commands) in SECTIONS.items():
        name = f"{record.__module__}.{record.__name__}"
        rows = [_row(setting) for setting in settings_in(record).values()]
        parts.append(
            f"## {title}\n\n`{name}`; {commands}.\n\n"
            "| setting | flag | values | default | meaning |\n|---|---|---|---|---|\n"
            + "".join(rows)
        )
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    flag = f"`{setting.flag}`"
    if setting.kind.words == 0:
        flag += f", `--no-{setting.flag[2:]}`"
    if setting.rule.choices:
        values = setting.range
    else:
        noun = setting.kind.noun
        noun = noun[2:] if noun.startswith("a ") else noun
        values = ", ".join(filter(None, (noun, setting.rule.unit, setting.range)))
    default = "required" if setting.default is REQUIRED else setting.shown_default or "none"
    cells = (f"`{setting.name}`", flag, values, default, setting.help)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    PAGE.write_text(make_page(), encoding="utf-8")
