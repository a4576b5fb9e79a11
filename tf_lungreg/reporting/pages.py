"""Reports: one HTML page with its pictures inside, no script and no outside request."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

from matplotlib.figure import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2126; background: #fff;
       max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } img { max-width: 100%; height: auto; }
.scroll img { min-width: 44rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .9rem .25rem 0; text-align: left;
        border-bottom: 1px solid #dde2e7; font-variant-numeric: tabular-nums; }
.note { background: #fff6dd; border-left: 4px solid #d9a400; padding: .6rem .9rem; }
.muted { color: #5b6670; } details { margin-top: 2rem; } pre { overflow-x: auto; }
"""


def page(title: str, lead: str, sections: Sequence[tuple[str, str]], style: str = "") -> str:
    """A whole HTML page.

    Args:
        title: plain text.
        lead: a sentence under the title, plain text.
        sections: heading (plain text) and body (HTML) of each section.
        style: CSS beside the one of all reports.
    """
    body = "\n".join(f"<section><h2>{html.escape(h)}</h2>\n{b}</section>" for h, b in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}{style}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
        f'<p class="muted">{html.escape(lead)}</p>\n{body}\n</body>\n</html>\n'
    )


def picture(figure: Figure, description: str) -> str:
    """A figure as an image inside the page; wide ones scroll on a narrow screen.

    Args:
        figure: of matplotlib.
        description: what it shows, for those who do not see it.
    """
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    source = f"data:image/png;base64,{encoded}"
    return f'<div class="scroll"><img alt="{html.escape(description)}" src="{source}"></div>'


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    """A table of plain texts.

    Args:
        rows: of cells.
        header: cells of the first line; none without it.
    """

    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    lines = [line(header, "th")] if header else []
    lines += [line(cells, "td") for cells in rows]
    return '<div class="scroll"><table>' + "\n".join(lines) + "</table></div>"
