"""Tables of many pairs."""

import csv
import json

import pytest

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.registration import pairs as module
from tf_lungreg.registration.inputs import PairFiles
from tf_lungreg.registration.pairs import read_pairs, register_pairs


@pytest.fixture
def known(tools, monkeypatch):
    """Every model is the known one."""
    monkeypatch.setattr(module, "find_model", lambda path: path)
    monkeypatch.setattr(module, "_load_model", lambda path: tools.known_model(tools.SOME_AFFINE))


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table(tmp_path):
    path = write(
        tmp_path / "pairs.csv",
        "fixed,moving,name,moving_mask,fixed_mask,extra",
        "a.nii.gz,b.nii,,m.nii,n/a,1",
        "sub/a.mha,/data/series,other,,,2",
    )
    assert read_pairs(path) == {
        "b_to_a": PairFiles(
            f"{tmp_path}/a.nii.gz", f"{tmp_path}/b.nii", moving_mask=f"{tmp_path}/m.nii"
        ),
        "other": PairFiles(f"{tmp_path}/sub/a.mha", "/data/series"),
    }


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (("fixed,name", "a.nii,x"), "'moving'"),
        (("fixed,moving", "a.nii,"), "an image is missing"),
        (("fixed,moving", "a.nii,b.nii", "x/a.nii,y/b.nii"), "'b_to_a' appears twice"),
        (("fixed,moving,name", "a.nii,b.nii,../up"), "'../up'"),
        (("fixed,moving,name", "a.nii,b.nii,.."), "'..'"),
        (("fixed,moving,name", "a.nii,b.nii,summary.csv"), "'summary.csv'"),
        (("fixed,moving,name", "a.nii,b.nii," + "a" * 220), "no folder's name"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, lines, word):
    path = write(tmp_path / "pairs.csv", *lines)
    with pytest.raises(InputError) as caught:
        read_pairs(path)
    assert word in str(caught.value) and str(path) in str(caught.value)


def test_a_bad_pair_is_reported_and_the_rest_go_on(pair, known, tmp_path, capsys):
    (tmp_path / "bad.nii").write_text("no image")
    table = write(
        tmp_path / "pairs.csv",
        "fixed,moving,name",
        "fixed.nii.gz,moving.nii.gz,one",
        "fixed.nii.gz,none.nii,two",
        "fixed.nii.gz,bad.nii,three",
    )
    out = tmp_path / "out"
    assert register_pairs(read_pairs(table), out, "model") == ["two", "three"]
    assert {p.name for p in out.iterdir()} == {"one", "summary.csv"}
    assert (out / "one" / "report.html").exists()
    printed = capsys.readouterr()
    assert "two: failed" in printed.out and "none.nii" in printed.out
    with (out / "summary.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["one"]
    metrics = json.loads((out / "one" / "metrics.json").read_text())
    assert rows[0]["quality"] == metrics["quality"] and rows[0]["dice_after"] == "n/a"

    stamp = (out / "one" / "metrics.json").stat().st_mtime_ns
    assert register_pairs(read_pairs(table), out, "model") == ["two", "three"]
    assert "1 of 3 pairs are done" in capsys.readouterr().out
    assert (out / "one" / "metrics.json").stat().st_mtime_ns == stamp
    register_pairs(read_pairs(table), out, "model", overwrite=True)
    assert (out / "one" / "metrics.json").stat().st_mtime_ns != stamp


def test_a_defect_in_one_pair_does_not_stop_the_rest(pair, known, tmp_path, monkeypatch, capsys):
    files = PairFiles(pair.fixed, pair.moving)
    monkeypatch.setattr(module, "register", lambda *_, **__: 1 / 0)
    assert register_pairs({"a": files, "b": files}, tmp_path / "out", "m") == ["a", "b"]
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_mistakes_before_the_first_pair(pair, tmp_path):
    files = {"a": PairFiles(pair.fixed, pair.moving)}
    with pytest.raises(InputError, match="jobs"):
        register_pairs(files, tmp_path / "out", "model", jobs=0)
    with pytest.raises(MissingFileError, match="no model"):
        register_pairs(files, tmp_path / "out", tmp_path / "no model")
    assert not (tmp_path / "out").exists()
