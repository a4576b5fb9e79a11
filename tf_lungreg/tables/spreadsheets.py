"""Texts in tables that spreadsheet programs open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what makes a spreadsheet run a cell


def for_spreadsheets(rows: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Rows in which no text is a formula: a name may come from a stranger's file.

    Args:
        rows: column → value. A text that a spreadsheet would run gets an apostrophe in front,
            which spreadsheets do not show; numbers stay as they are.
    """
    return [{column: _plain(value) for column, value in row.items()} for row in rows]


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
