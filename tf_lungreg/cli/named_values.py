"""Words like ``NAME=PATH`` after a flag."""

from __future__ import annotations

from collections.abc import Sequence

from tf_lungreg.errors import InputError


def named_values(flag: str, words: Sequence[str], value: str = "PATH") -> dict[str, str]:
    """Name → what stands behind its ``=``.

    Args:
        flag: for messages.
        words: each ``NAME=VALUE``.
        value: what the second part is called in messages.

    Raises:
        InputError: a word is not of that form, or a name comes twice.
    """
    named: dict[str, str] = {}
    for word in words:
        name, equals, found = word.partition("=")
        if not (name and equals and found):
            raise InputError(f"{flag}: NAME={value} is needed, not {word!r}.")
        if name in named:
            raise InputError(f"{flag}: {name!r} is given twice; once is needed.")
        named[name] = found
    return named
