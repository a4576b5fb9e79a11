"""A setting, stated once: by a field of a frozen dataclass and an entry of its docstring.

The field gives name, type and default, :func:`setting` its range, the section ``Attributes`` its
help. The flags of the commands, configuration files, the checks of Python values and the table in
docs/settings.md all come from here::

    @dataclass(frozen=True)
    class SearchSettings:
        \"\"\"What a search does.

Attributes:
            trials: maximum number of trials.
        \"\"\"

        trials: int = setting(30, least=1)

        def __post_init__(self):
            check_settings(self)
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar

from docstring_parser import parse

from tf_lungreg.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

REQUIRED = dataclasses.MISSING

Record = TypeVar("Record", bound="DataclassInstance")  # a dataclass of settings


@dataclass(frozen=True)
class Rule:
    """What a setting's field states besides its name, type and default.

    Attributes:
        group: heading under which the commands list the flag.
        shown: how the help describes the default, by default its value.
        unit: of a number.
        flag: the flag's name, by default the setting's with dashes.
        choices: the only values, if there are few.
        least: smallest value.
        above: lower bound that is excluded.
        most: largest value.
        below: upper bound that is excluded.
    """

    group: str = ""
    shown: str = ""
    unit: str = ""
    flag: str = ""
    choices: tuple[str, ...] = ()
    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    below: float = math.inf

    def allows(self, part: Any) -> bool:
        """Whether one value, or one element of a tuple, is in the range."""
        if self.choices:
            return part in self.choices
        return not isinstance(part, Real) or self._covers(part)

    def _covers(self, number: Any) -> bool:
        return bool(self.least <= number <= self.most and self.above < number < self.below)


def setting(default: Any = REQUIRED, **rule: Any) -> Any:
    """A field of a settings record.

    Args:
        default: its default; without one the setting must be given.
        **rule: fields of :class:`Rule`.
    """
    return dataclasses.field(default=default, metadata={"rule": Rule(**rule)})


@dataclass(frozen=True)
class Kind:
    """A type that settings have.

    Attributes:
        noun: what messages and the documentation call it.
        read: makes the value of a list of words or of values from a configuration file; raises
            TypeError or ValueError if they do not fit.
        fits: whether a Python value has this type.
        word: makes a value of a word of the command line.
        words: how many words follow the flag, as argparse's ``nargs``; 0 for a switch.
        metavar: what stands for them in the help.
    """

    noun: str
    read: Callable[[list[Any]], Any]
    fits: Callable[[Any], bool]
    word: Callable[[str], Any] = str
    words: int | str | None = None
    metavar: str | tuple[str, ...] | None = None


@dataclass(frozen=True)
class Setting:
    """One setting of a record.

    Attributes:
        name: the field's.
        kind: its type.
        default: its default, or ``REQUIRED``.
        help: what it does, from the docstring.
        rule: its range, and how it is shown.
    """

    name: str
    kind: Kind
    default: Any
    help: str
    rule: Rule

    @property
    def flag(self) -> str:
        """The command line flag."""
        return f"--{self.rule.flag or self.name.replace('_', '-')}"

    @property
    def shown_default(self) -> str:
        """The default as the help shows it; empty if there is none."""
        if self.rule.shown or self.default in (REQUIRED, None, ()):
            return self.rule.shown
        if isinstance(self.default, bool):
            return "yes" if self.default else "no"
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)

    @property
    def range(self) -> str:
        """The values that are allowed, for the documentation; empty if all are."""
        rule = self.rule
        bounds = {"at least": rule.least, "above": rule.above, "at most": rule.most}
        parts = [f"{word} {bound}" for word, bound in bounds.items() if math.isfinite(bound)]
        parts += [f"below {rule.below}"] if math.isfinite(rule.below) else []
        return ", ".join(rule.choices or parts)

    def under(self, group: str) -> Setting:
        """The same, listed under another heading.

        Args:
            group: the heading.
        """
        return dataclasses.replace(self, rule=dataclasses.replace(self.rule, group=group))

    def read(self, value: Any) -> Any:
        """The setting's value from a configuration file, or from the words after its flag.

        Args:
            value: a scalar or a list.

        Raises:
            InputError: the value has another type or is out of range.
        """
        try:
            result = self.kind.read(value if isinstance(value, list) else [value])
        except (TypeError, ValueError):
            shown = " ".join(map(str, value)) if isinstance(value, list) else value
            raise InputError(self._expected(shown)) from None
        self.check(result)
        return result

    def check(self, value: Any) -> None:
        """Checks type and range.

        Args:
            value: a Python value.

        Raises:
            InputError: it cannot be used; the message names the setting.
        """
        if value is None and self.default is None:
            return
        parts = value if isinstance(value, (list, tuple)) else (value,)
        if not self.kind.fits(value) or not all(map(self.rule.allows, parts)):
            raise InputError(self._expected(value))
        if self.kind is _WINDOW and len(parts) == 2 and not parts[0] < parts[1]:
            raise InputError(f"{self.name}: LOW must be below HIGH, not {parts[0]:g} {parts[1]:g}.")

    def _expected(self, value: Any) -> str:
        rule, noun = self.rule, self.kind.noun
        if rule.choices:
            noun = ", ".join(rule.choices)
            noun = f"one of {noun}" if len(rule.choices) > 1 else noun
        text = f"{rule.unit}, {noun}" if rule.unit else noun
        text += f" from {rule.least}" if math.isfinite(rule.least) else ""
        text += f" above {rule.above}" if math.isfinite(rule.above) else ""
        text += f" below {rule.below}" if math.isfinite(rule.below) else ""
        most = f"; {rule.most} is the most" if math.isfinite(rule.most) else ""
        verb = "are" if noun.startswith("three") else "is"
        return f"{self.name}: {text} {verb} needed, not {value!r}{most}."


@functools.cache
def settings_in(record: type) -> Mapping[str, Setting]:
    """The settings of a dataclass by name, in their order.

    A field that holds another record of settings is left out.

    Args:
        record: the dataclass, with type annotations that are not evaluated
            (``from __future__ import annotations``).

    Raises:
        TypeError: a field has a type that no setting can have, or no help.
    """
    texts = _attributes(record)
    found = {}
    for field in dataclasses.fields(record):
        # Names of types, not types: Python 3.9 cannot evaluate ``int | None``.
        kind = str(field.type).partition(" | None")[0]
        if kind.endswith("Settings"):
            continue
        if kind not in _KINDS or field.name not in texts:
            raise TypeError(
                f"{record.__name__}.{field.name}: a type of {', '.join(_KINDS)} and an entry in "
                "the section Attributes of the docstring are needed."
            )
        rule = field.metadata.get("rule", Rule())
        found[field.name] = Setting(
            field.name, _KINDS[kind], field.default, texts[field.name], rule
        )
    return found


def check_settings(record: Any) -> None:
    """Checks type and range of every setting of a record.

    Args:
        record: a dataclass.

    Raises:
        InputError: a value that cannot be used; the message names it.
    """
    for name, each in settings_in(type(record)).items():
        each.check(getattr(record, name))


def replace_settings(record: Record, function: str, changes: Mapping[str, Any]) -> Record:
    """The record with other values of some settings.

    Args:
        record: of settings.
        function: that takes them as keyword arguments, for the message.
        changes: name → value.

    Raises:
        TypeError: a name is no setting's; as Python's own, with the names that are.
        InputError: a value that cannot be used.
    """
    known = [field.name for field in dataclasses.fields(record)]
    unknown = [name for name in changes if name not in known]
    if unknown:
        raise TypeError(
            f"{function}() got an unexpected keyword argument {unknown[0]!r}; its settings are "
            f"{', '.join(known)}"
        )
    return dataclasses.replace(record, **changes)


def _attributes(record: type) -> dict[str, str]:
    """The entries of the sections ``Attributes`` of a class and those it is derived from."""
    texts = {}
    for each in reversed(record.__mro__):
        for entry in parse(each.__doc__ or "").params:
            text = " ".join((entry.description or "").split())
            texts[entry.arg_name] = text.rstrip(".").replace("``", "").replace('"', "")
    return texts


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_window(value: Any) -> bool:
    return value in ("auto", "paper") if isinstance(value, str) else _all(_is_number, 2)(value)


def _is_steps(value: Any) -> bool:
    return value == "auto" if isinstance(value, str) else _is_whole(value)


def _all(fits: Callable[[Any], bool], count: int | None = None) -> Callable[[Any], bool]:
    """Whether a value is a sequence of parts that fit."""

    def fit(value: Any) -> bool:
        return (
            isinstance(value, (list, tuple))
            and len(value) == (count or len(value))
            and all(map(fits, value))
        )

    return fit


# From a word, or from what YAML made of it: 1e-6 is a text there, and 5 a number.
def _whole(part: Any) -> int:
    return int(str(part))


def _number_or_auto(part: Any) -> int | str:
    return part if part == "auto" else _whole(part)


def _number(part: Any) -> float:
    return float(str(part))


def _text(part: Any) -> str:
    if not isinstance(part, str):
        raise TypeError
    return part


def _switch(part: Any) -> bool:
    if not isinstance(part, bool):
        raise TypeError
    return part


def _one(read: Callable[[Any], Any]) -> Callable[[list[Any]], Any]:
    return lambda parts: read(*parts)


def _three(read: Callable[[Any], Any]) -> Callable[[list[Any]], tuple[Any, Any, Any]]:
    def reading(parts: list[Any]) -> tuple[Any, Any, Any]:
        first, second, third = parts
        return read(first), read(second), read(third)

    return reading


def _names(parts: list[Any]) -> tuple[str, ...]:
    return tuple(map(_text, parts))


def _window(parts: list[Any]) -> str | tuple[float, float]:
    if parts in (["auto"], ["paper"]):
        return parts[0]
    low, high = map(_number, parts)
    return low, high


_DHW = ("D", "H", "W")
_WINDOW = Kind("auto, paper or LOW HIGH", _window, _is_window, words="+")

_KINDS = {
    "int": Kind("a whole number", _one(_whole), _is_whole, int, metavar="N"),
    "float": Kind("a number", _one(_number), _is_number, float, metavar="VALUE"),
    "str": Kind("a text", _one(_text), _is_text),
    "bool": Kind("true or false", _one(_switch), _is_switch, words=0),
    "tuple[int, int, int]": Kind(
        "three whole numbers", _three(_whole), _all(_is_whole, 3), int, 3, _DHW
    ),
    "tuple[float, float, float]": Kind(
        "three numbers", _three(_number), _all(_is_number, 3), float, 3, _DHW
    ),
    "tuple[str, ...]": Kind("a list of names", _names, _all(_is_text), words="+", metavar="NAME"),
    "Steps": Kind(
        "auto, or a whole number",
        _one(_number_or_auto),
        _is_steps,
        _number_or_auto,
        metavar="N|auto",
    ),
    "Window": _WINDOW,
}
