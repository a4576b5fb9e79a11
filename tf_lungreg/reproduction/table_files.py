"""The results' files: JSON, CSV, Markdown, LaTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tf_lungreg.files import write_json, write_text
from tf_lungreg.reproduction import paper
from tf_lungreg.reproduction.pair_measures import MEASURES
from tf_lungreg.reproduction.paper_tables import Table, make_tables
from tf_lungreg.tables.spreadsheets import for_spreadsheets
from tf_lungreg.tables.table import write_table

_COLUMNS = ("method", "pair", "fixed", "moving", "seconds", "device", *MEASURES, "landmarks")

# Characters that mean something to LaTeX, and those beyond ASCII that the tables use.
_LATEX = {
    **{mark: "\\" + mark for mark in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"$\sim$", "^": r"\textasciicircum{}"},
    **{"±": r"$\pm$", "−": "$-$", "–": "--"},
}


def write_results(
    out: Path,
    results: dict[str, Any],
    rows: Mapping[str, Mapping[str, dict[str, Any]]],
    notes: Sequence[str],
    pictures: Mapping[str, str],
) -> None:
    """Writes ``results.json``, ``results.md``, ``results.tex`` and ``pairs.csv``.

    Args:
        out: the folder.
        results: of :func:`~tf_lungreg.reproduction.results.make_results`.
        rows: method → pair → its row.
        notes: what the reader must know.
        pictures: method → name of its picture's file.
    """
    write_json(out / "results.json", {**results, "notes": list(notes)})
    write_table(out / "pairs.csv", for_spreadsheets(pair_rows(rows)), overwrite=True)
    tables = make_tables(results)
    record = next(iter(results["table1"].values()))["record"]
    write_text(out / "results.md", markdown(tables, notes, record, pictures))
    write_text(out / "results.tex", latex(tables, record))


def pair_rows(rows: Mapping[str, Mapping[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row a method and pair, with every measure as a column."""
    return [
        {name: {**row, "pair": pair}.get(name) for name in _COLUMNS}
        for found in rows.values()
        for pair, row in found.items()
    ]


def markdown(
    tables: Sequence[Table],
    notes: Sequence[str],
    record: dict[str, Any],
    pictures: Mapping[str, str],
) -> str:
    """A page with all tables, the notes, the pictures, and how it was made.

    Args:
        tables: in their order.
        notes: one sentence or two each.
        record: command, date, machine, software and seed.
        pictures: method → file, relative to the page.
    """
    parts = ["# Evaluation", *("\n".join(_markdown_table(t)) for t in tables)]
    parts.append(f'Columns "Paper": {paper.SOURCE}; of other images, for orientation only.')
    parts.append("\n".join(f"- {note}" for note in notes))
    parts.append("## Figure 2")
    parts += [f"![{method}]({file})" for method, file in pictures.items()]
    software = ", ".join(f"{name} {version}" for name, version in record["software"].items())
    parts.append(f"## How it was made\n\n```sh\n{record['command']}\n```")
    parts.append(f"{record['date']}, {record['machine']}, {software}; seed {record['seed']}.")
    return "\n\n".join(parts) + "\n"


def latex(tables: Sequence[Table], record: dict[str, Any]) -> str:
    """The tables for a document with the package booktabs.

    Args:
        tables: in their order.
        record: command and date, for a comment at the top.
    """
    lines = [f"% {record['command']}", f"% {record['date']}", r"% \usepackage{booktabs}"]
    for table in tables:
        lines += [
            *("", r"\begin{table}", r"\centering", rf"\caption{{{_escape(table.title)}}}"),
            *(rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", r"\toprule"),
            *(_latex_row(table.header), r"\midrule", *map(_latex_row, table.rows)),
            *(r"\bottomrule", r"\end{tabular}", r"\end{table}"),
        ]
    return "\n".join(lines) + "\n"


def _markdown_table(table: Table) -> list[str]:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---" + "|--:" * (len(table.header) - 1) + "|"
    return [f"## {table.title}\n", row(table.header), rule, *map(row, table.rows)]


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_escape, cells)) + r" \\"


def _escape(text: str) -> str:
    return re.sub(r"[&%$#_{}\\~^±−–]", lambda found: _LATEX[found.group()], text)
