"""Flags and configuration files from the records that state the settings."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_lungreg.errors import USER_ERRORS, InputError
from tf_lungreg.files import check_file
from tf_lungreg.setting import REQUIRED, Setting, settings_in


def add_flags(
    parser: argparse.ArgumentParser,
    settings: Mapping[str, Setting],
    groups: Mapping[str, Any] | None = None,
    types: Mapping[str, Callable[[str], Any]] | None = None,
) -> dict[str, Any]:
    """Adds a flag for each setting, and ``--config`` for a file of them.

    What is not given is missing from the result, so that :func:`given_settings` can tell.

    Args:
        parser: of a command.
        settings: as :func:`tf_lungreg.setting.settings_in` gives them.
        groups: groups of the parser by the settings' group; others are made.
        types: what makes a value of the word after a flag, for settings with a check of their own.

    Returns:
        The groups, those that were made included.
    """
    places = {"": parser, **(groups or {})}
    flags = {}
    for name, setting in settings.items():
        group = setting.rule.group
        if group not in places:
            places[group] = parser.add_argument_group(group)
        flags[name] = _add_flag(places[group], setting, (types or {}).get(name))
    parser.add_argument(
        "--config",
        action=_ReadConfig,
        settings=settings,
        flags=flags,
        default=argparse.SUPPRESS,
        metavar="YAML",
        help="file of settings, name: value (see docs/settings.md); flags override it",
    )
    return places


def given_settings(record: type, options: argparse.Namespace) -> dict[str, Any]:
    """Values of the settings that the flags or the configuration file give.

    Args:
        record: a dataclass of settings.
        options: of the command line.

    Raises:
        InputError: the words after a flag are no value of the setting.
    """
    values = {}
    for name, setting in settings_in(record).items():
        if hasattr(options, name):
            value = getattr(options, name)
            values[name] = read_words(setting, value) if isinstance(value, list) else value
    return values


def read_words(setting: Setting, words: list[str]) -> Any:
    """The value of a setting from the words after its flag.

    Args:
        setting: of a record.
        words: as argparse gives them.

    Raises:
        InputError: they are no value of the setting.
    """
    try:
        return setting.read(words)
    except InputError as error:
        raise InputError(f"--{error}") from None


def flag_words(record: Any) -> list[str]:
    """The words of a command line that give these settings.

    Args:
        record: of settings that are None or scalars.
    """
    words = []
    for name, setting in settings_in(type(record)).items():
        value = getattr(record, name)
        if isinstance(value, bool):
            words.append(setting.flag if value else _negative(setting.flag))
        elif value is not None:
            words += [setting.flag, str(value)]
    return words


def read_config(path: Path, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """The settings in a configuration file; a value that is null is left out.

    Args:
        path: a YAML file.
        settings: those that it may give.

    Raises:
        MissingFileError: there is no such file.
        InputError: it is not a table of settings, or a value has another type or is out of range.
    """
    import yaml  # seldom needed

    check_file(path, "a YAML file of settings")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:  # a date that does not exist is a ValueError
        raise InputError(f"{path}: not a YAML file ({error}).") from None
    except RecursionError:
        raise InputError(f"{path}: not a YAML file of settings; nested too deeply.") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: lines such as 'seed: 1' are needed.")
    values = {}
    for name, value in content.items():
        if name not in settings:
            known = ", ".join(sorted(settings))
            raise InputError(f"{path}: unknown setting {name!r}; the settings here are {known}.")
        if value is not None:
            try:
                values[name] = settings[name].read(value)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None
    return values


class _ReadConfig(argparse.Action):
    """Gives the settings of a file to the flags that are not given, wherever they stand."""

    def __init__(
        self,
        *args: Any,
        settings: Mapping[str, Setting],
        flags: Mapping[str, argparse.Action],
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self._settings, self._flags = settings, flags

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            config = read_config(Path(str(values)), self._settings)
        except USER_ERRORS as error:
            parser.exit(2, f"{parser.prog}: {' '.join(str(error).split())}\n")
        for name, value in config.items():
            self._flags[name].required = False
            if not hasattr(namespace, name):  # a flag after this one replaces the value
                setattr(namespace, name, value)


def _add_flag(place: Any, setting: Setting, read: Callable[[str], Any] | None) -> argparse.Action:
    kind, rule = setting.kind, setting.rule
    words: dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS}
    if kind.words == 0:
        words["action"] = argparse.BooleanOptionalAction
    else:
        words.update(required=setting.default is REQUIRED, nargs=kind.words)
        words["type"] = read or kind.word
        words["metavar"] = rule.unit or kind.metavar
        if rule.choices:
            words["metavar"] = f"{{{','.join(rule.choices)}}}"
            words["choices"] = None if read else rule.choices
    flag = place.add_argument(setting.flag, **words)
    # Set afterwards, since BooleanOptionalAction of Python 3.9 appends its own default.
    default = f" (default: {setting.shown_default})" if setting.shown_default else ""
    flag.help = (setting.help + default).replace("%", "%%")
    return flag


def _negative(flag: str) -> str:
    """How argparse turns a switch off."""
    return f"--no-{flag[2:]}"
