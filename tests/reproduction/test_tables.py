import re

import pytest

from tf_lungreg.reproduction import paper
from tf_lungreg.reproduction.baselines import BASELINES
from tf_lungreg.reproduction.methods import MODEL_ROWS
from tf_lungreg.reproduction.paper_tables import MISSING, Table, make_tables
from tf_lungreg.reproduction.table_files import latex, markdown, pair_rows

RECORD = {"command": "c", "date": "d", "machine": "m", "software": {"a": "1"}, "seed": 0}


def summary(mean, std=1.0, n=3):
    return {"mean": mean, "std": std, "n": n}


@pytest.fixture
def results():
    part = {**summary(81.237, 2.5), "pairs": 3, "seconds": 0.5, "device": "CPU (x_y)"}
    part.update(hd95=summary(12.345), folds_volume=summary(0.00123), msd=summary(3.0, None, 1))
    bare = {"pairs": 3, "seconds": 0.0, "device": "CPU", "folds_volume": summary(0.0)}
    axes = {"dx": 1.0, "dy": 2.0, "dz": 3.0, "ds": 4.5678, "n": 3, "std": {}, "landmarks": 33}
    return {
        "table1": {
            "proposed": {"inhale_exhale": part, "record": RECORD},
            "my_own": {"inhale_exhale": bare, "all_combinations": part, "record": RECORD},
        },
        "table2": {"inter-observer": axes, "proposed": axes},
        "comparisons": [
            {
                **{"measure": "dice", "part": "inhale_exhale", "reference": "proposed"},
                **{"method": "my_own", "n": 3, "difference": -1.5, "low": -2, "high": 0.5},
                "p": 0.0312,
            }
        ],
    }


def cells(tables, title, row):
    table = next(t for t in tables if t.title.startswith(title))
    found = next(r for r in table.rows if r[0] == row)
    assert len(found) == len(table.header)
    return dict(zip(reversed(table.header), reversed(found)))  # of two alike, the first


def test_own_figures_stand_beside_the_papers(results):
    tables = make_tables(results)
    row = cells(tables, "Table 1", "Proposed")
    assert row["Inhale–exhale"] == "81.24 ± 2.50" and row["Seconds"] == "0.50"
    assert row["All combinations"] == MISSING
    assert row["Paper: inhale–exhale"] == "91.48 ± 2.33" and row["pairs"] == "3"
    row = cells(tables, "Table 1", "my_own")
    assert row["Inhale–exhale"] == row["Paper: seconds"] == row["Seconds"] == MISSING
    row = cells(tables, "Table 2", "Inter-observer")
    assert row["ds"] == "4.568" and row["Paper: ds"] == "3.905" and row["n"] == "3 images"
    row = cells(tables, "Further measures, inhale", "Proposed")
    assert row["Mean surface distance (mm)"] == "3.00" and row["Folded, volume (%)"] == "0.123"
    assert "Folded, lung (%)" not in row
    row = cells(tables, "Comparisons", "Dice (%)")
    assert row["Compared"] == "Proposed − my_own" and row["95 % interval"] == "-2.00 to +0.50"
    assert row["p"] == "0.031"


def test_markdown_has_one_cell_a_column(results):
    text = markdown(make_tables(results), ["A note."], RECORD, {"proposed": "f.png"})
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "![proposed](f.png)" in text and "- A note." in text and paper.SOURCE in text


def test_latex_is_balanced_ascii(results):
    text = latex(make_tables(results), RECORD)
    assert text.isascii()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 5
    for rows, columns in (
        (re.search(r"\\midrule\n(.*?)\\bottomrule", part, re.DOTALL).group(1), part.index("}{l"))
        for part in text.split(r"\begin{tabular")[1:]
    ):
        assert columns == 0
        assert all(line.endswith(r" \\") for line in rows.strip().splitlines())
    assert r"my\_own" in text and r"$\pm$" in text and r"(\%)" in text
    odd = Table("a", ("h", "i"), [("\\ {x} ~ ^ # $ & %", "−–")])
    line = latex([odd], RECORD).splitlines()[-4]
    expected = r"\textbackslash{} \{x\} $\sim$ \textasciicircum{} \# \$ \& \% & $-$-- \\"
    assert line == expected


def test_every_pair_is_a_row():
    rows = {"m": {"b_to_a": {"method": "m", "fixed": "a", "moving": "b", "dice": 3.0}}}
    (row,) = pair_rows(rows)
    assert row["pair"] == "b_to_a" and row["dice"] == 3.0 and row["ds"] is None


def test_the_papers_figures_are_those_of_its_rows():
    assert set(paper.TABLE_1) == {*BASELINES, *MODEL_ROWS} - {"linear-only"}
    assert set(paper.TABLE_2) - {"inter-observer"} <= set(paper.TABLE_1)
    for row in paper.TABLE_2.values():
        assert max(row["dx"], row["dy"], row["dz"]) < row["ds"] < row["dx"] + row["dy"] + row["dz"]
