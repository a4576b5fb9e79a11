"""The words after ``--window``."""

from __future__ import annotations

from tf_lungreg.cli.flags import read_words
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.setting import settings_in

_WINDOW = settings_in(RegistrationSettings)["window"]


def parse_window(words: list[str]) -> str | tuple[float, float]:
    """``auto``, ``paper``, or two numbers, from the words after ``--window``."""
    return read_words(_WINDOW, words)


def split_window(words: list[str]) -> tuple[list[str], list[str]]:
    """The words that belong to ``--window``, and those after them, which are images.

    argparse hands a flag all words up to the next flag: ``--window -1000 300 FIXED MOVING``.

    Raises:
        InputError: the first words are no window.
    """
    count = 1 if words[0] in ("auto", "paper") else 2
    parse_window(words[:count])
    return words[:count], words[count:]
