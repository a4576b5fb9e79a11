"""CSV and TSV tables."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tf_lungreg.errors import InputError
from tf_lungreg.files import check_file, replacing
from tf_lungreg.tables.slicer import is_slicer

NOT_AVAILABLE = "n/a"  # BIDS' word for a missing value
_SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars"}


def read_table(
    path: str | os.PathLike[str], required: Sequence[str] = (), delimiter: str | None = None
) -> list[dict[str, str]]:
    """Reads a table with a header line; cells and column names come stripped of white space.

    Args:
        path: a UTF-8 file.
        required: columns that must be there; others are kept.
        delimiter: between cells; by default a tab for .tsv, a comma for anything else.

    Returns:
        One dict a row, column → text.

    Raises:
        MissingFileError: there is no such file.
        InputError: a folder, not a text table, no rows, a missing or doubled column, a row of
            another length.
    """
    path = Path(path)
    check_file(path, "a table")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=delimiter or _delimiter(path), strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        if "unexpected end of data" in str(error):
            raise InputError(
                f"{path}: a quotation mark is opened and not closed; close it, or leave it out."
            ) from error
        raise InputError(
            f"{path}: not a readable table ({error}); UTF-8 text is needed."
        ) from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if len(lines) < 2:
        raise InputError(f"{path}: the table has no rows; a header line and one row are needed.")
    columns = lines[0][1]
    _check_columns(path, columns, required)
    for number, cells in lines[1:]:
        if len(cells) != len(columns):
            raise InputError(
                f"{path}: line {number} has {len(cells)} cells; "
                f"{len(columns)} are needed, as in the header."
            )
    return [dict(zip(columns, cells)) for _, cells in lines[1:]]


def write_table(
    path: str | os.PathLike[str],
    rows: Iterable[Mapping[str, object]],
    delimiter: str | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a table, whole or not at all; :func:`read_table` reads it back as text.

    Args:
        path: the file; missing folders are made.
        rows: one mapping a row, column → value. The columns are those of all rows, in the order
            in which they first appear; a value that is missing or None becomes ``n/a``.
        delimiter: between cells; by default a tab for .tsv, a comma for anything else.
        overwrite: whether an existing file may be replaced.

    Raises:
        InputError: there are no rows, the name is that of one of 3D Slicer's files, or the file
            exists and ``overwrite`` is false.
    """
    path, rows = Path(path), list(rows)
    if is_slicer(path):
        raise InputError(f"{path}: 3D Slicer's files are not written; end the name in .csv.")
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not columns:
        raise InputError(f"{path}: no rows to write; at least one is needed.")
    with replacing(path, overwrite) as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(
                stream, delimiter=delimiter or _delimiter(path), lineterminator="\n"
            )
            writer.writerow(columns)
            for row in rows:
                values = [row.get(column) for column in columns]
                writer.writerow([NOT_AVAILABLE if v is None else v for v in values])


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def _check_columns(path: Path, columns: list[str], required: Sequence[str]) -> None:
    missing = [column for column in required if column not in columns]
    if missing:
        _check_separator(path, columns, required)
        # The header is not repeated: whoever names the file may have no right to read it.
        raise InputError(
            f"{path}: no column {', '.join(map(repr, missing))} among the {len(columns)} of its "
            f"header. Needed: {', '.join(map(repr, required))}, in small letters and "
            f"separated by {_SEPARATORS[_delimiter(path)]}."
        )
    doubled = sorted({column for column in columns if columns.count(column) > 1})
    if doubled:
        raise InputError(f"{path}: the column {doubled[0]!r} appears twice; once is needed.")


def _check_separator(path: Path, columns: list[str], required: Sequence[str]) -> None:
    """Says it where a header is right except for what separates its cells."""
    for mark, name in _SEPARATORS.items():
        cells = [cell.strip() for column in columns for cell in column.split(mark)]
        if set(required) <= set(cells):
            raise InputError(
                f"{path}: the columns are separated by {name}; "
                f"{_SEPARATORS[_delimiter(path)]} are needed in a "
                f"{path.suffix.lower() or 'table'} file."
            )
