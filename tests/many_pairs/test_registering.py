"""Tables of many pairs."""

import csv
import json
import os

import pytest

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.many_pairs import record
from tf_lungreg.many_pairs import registering as module
from tf_lungreg.many_pairs.registering import read_pairs, register_pairs
from tf_lungreg.many_pairs.summary import write_summary
from tf_lungreg.registration.inputs import PairInputs
from tf_lungreg.registration.pipeline import register
from tf_lungreg.registration.settings import RegistrationSettings


@pytest.fixture
def known(tools, monkeypatch):
    """Every model is the known one, and pairs are registered in this process."""
    record = {"model": "known", "model_sha256": None}
    monkeypatch.setattr(module, "_find_model", lambda model, settings: (model, record))
    monkeypatch.setattr(module, "_load_model", lambda path: tools.known_model(tools.SOME_AFFINE))

    def run_here(work, tasks, jobs):
        for name, argument in tasks.items():
            yield name, work(argument)

    monkeypatch.setattr(module, "run_in_workers", run_here)


def read_summary(out):
    with (out / "summary.csv").open(newline="") as stream:
        return {row["name"]: row for row in csv.DictReader(stream)}


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
        "b_to_a": PairInputs(
            f"{tmp_path}/a.nii.gz", f"{tmp_path}/b.nii", moving_mask=f"{tmp_path}/m.nii"
        ),
        "other": PairInputs(f"{tmp_path}/sub/a.mha", "/data/series"),
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
        (("fixed,moving,name", "a.nii,b.nii," + "a" * 256), "cannot be a folder's"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, lines, word):
    path = write(tmp_path / "pairs.csv", *lines)
    with pytest.raises(InputError) as caught:
        read_pairs(path)
    assert word in str(caught.value) and str(path) in str(caught.value)


def test_a_bad_pair_is_reported_and_the_rest_go_on(pair, known, tmp_path, caplog):
    caplog.set_level("INFO", "tf_lungreg")
    (tmp_path / "bad.nii").write_text("no image")
    table = write(
        tmp_path / "pairs.csv",
        "fixed,moving,name",
        "fixed.nii.gz,moving.nii.gz,one",
        "fixed.nii.gz,none.nii,two",
        "fixed.nii.gz,bad.nii,three",
    )
    out = tmp_path / "out"
    assert list(register_pairs(read_pairs(table), out, "model")) == ["two", "three"]
    assert {p.name for p in out.iterdir()} == {"one", "summary.csv"}
    assert (out / "one" / "report.html").exists()
    lines = caplog.messages
    assert lines[0].startswith("one: registered (1 of 3, 0 failed, ")
    assert lines[1].startswith("two: failed: ") and "none.nii" in lines[1]
    assert lines[2].endswith("(3 of 3, 2 failed, 0 s left)")
    assert lines[3].startswith("1 registered, 2 failed, ")
    assert lines[4] == f"summary {out / 'summary.csv'}"
    rows = read_summary(out)
    assert list(rows) == ["one", "two", "three"]
    metrics = json.loads((out / "one" / "metrics.json").read_text())
    assert (
        rows["one"]["status"] == "registered"
        and rows["one"]["quality"] == metrics["quality"]["verdict"]
    )
    assert rows["one"]["dice_after"] == "n/a"
    assert float(rows["one"]["folds_volume"]) == metrics["measures"]["folds_volume"]
    assert rows["two"]["status"] == "failed" and "none.nii" in rows["two"]["reasons"]

    stamp = (out / "one" / "metrics.json").stat().st_mtime_ns
    caplog.clear()
    assert list(register_pairs(read_pairs(table), out, "model")) == ["two", "three"]
    assert "1 of 3 pairs are done" in caplog.text
    assert "0 registered, 2 failed, 1 skipped" in caplog.text
    assert (out / "one" / "metrics.json").stat().st_mtime_ns == stamp
    register_pairs(read_pairs(table), out, "model", overwrite=True)
    assert (out / "one" / "metrics.json").stat().st_mtime_ns != stamp


def test_a_defect_in_one_pair_does_not_stop_the_rest(pair, known, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "tf_lungreg")
    files = PairInputs(pair.fixed, pair.moving)
    monkeypatch.setattr(module, "register", lambda *_, **__: 1 / 0)
    assert list(register_pairs({"a": files, "b": files}, tmp_path / "out", "m")) == ["a", "b"]
    assert "ZeroDivisionError" in caplog.text


def test_mistakes_before_the_first_pair(pair, tmp_path):
    files = {"a": PairInputs(pair.fixed, pair.moving)}
    with pytest.raises(InputError, match="jobs"):
        register_pairs(files, tmp_path / "out", "model", jobs=0)
    with pytest.raises(MissingFileError, match="no model"):
        register_pairs(files, tmp_path / "out", tmp_path / "no model")
    assert not (tmp_path / "out").exists()


def test_results_of_something_else_are_not_kept(pair, known, tmp_path, monkeypatch):
    out, files = tmp_path / "out", {"a": PairInputs(pair.fixed, pair.moving)}
    register_pairs(files, out, "model", settings=RegistrationSettings(init="center"))
    stamp = (out / "a" / "metrics.json").stat().st_mtime_ns
    same = RegistrationSettings(window="auto")  # in other words
    register_pairs(files, out, "model", settings=same)
    assert (out / "a" / "metrics.json").stat().st_mtime_ns == stamp

    def refused(word, files=files, itk_transform=False, **changes):
        settings = RegistrationSettings(**changes)
        with pytest.raises(InputError, match=f"out/a: holds a result with {word}.*--overwrite"):
            register_pairs(files, out, "model", itk_transform=itk_transform, settings=settings)
        assert (out / "a" / "metrics.json").stat().st_mtime_ns == stamp

    refused("refine 0, not 10", refine=10)
    refused("init center, not world", init="world")
    refused(r"window auto, not \[0, 9\]", window=(0, 9))
    refused("no transform.h5", itk_transform=True)
    mask = {"a": PairInputs(pair.fixed, pair.moving, fixed_mask=pair.fixed)}
    refused("no fixed_mask", mask)
    refused("another moving", {"a": PairInputs(pair.fixed, pair.fixed)})
    other = {"model": "other", "model_sha256": None}
    with monkeypatch.context() as patch:
        patch.setattr(module, "_find_model", lambda model, settings: (model, other))
        refused("another model")
    pair.moving.write_bytes(b"changed")
    refused("another moving")


def test_a_model_that_was_moved_is_the_same_one_and_a_new_one_at_its_place_is_not():
    before = {"model": "models/1", "model_sha256": "a"}
    assert record._model_changes(before, {"model": "elsewhere/1", "model_sha256": "a"}) == []
    assert record._model_changes(before, {"model": "models/1", "model_sha256": "b"})
    of_an_older_version = {"model": "models/1"}
    assert record._model_changes(of_an_older_version, before) == []
    assert record._model_changes(of_an_older_version, {**before, "model": "models/2"})


def test_two_commands_that_write_to_one_folder(pair, known, tmp_path, monkeypatch, caplog):
    """The other one registers the pair meanwhile, and another one that only it knows."""
    caplog.set_level("INFO", "tf_lungreg")
    out, files = tmp_path / "out", PairInputs(pair.fixed, pair.moving)
    others = {"b": files, "c": files, "d": PairInputs("none.nii", pair.moving)}

    def meanwhile(*args, **settings):
        monkeypatch.setattr(module, "register", register)
        assert list(register_pairs(others, out, "model")) == ["d"]
        return register(*args, **settings)

    monkeypatch.setattr(module, "register", meanwhile)
    assert register_pairs({"b": files}, out, "model") == {}
    assert {name: row["status"] for name, row in read_summary(out).items()} == {
        **{"b": "registered", "c": "registered", "d": "failed"}
    }
    assert {p.name for p in out.iterdir()} == {"b", "c", "summary.csv"}
    assert "b: skipped, another command is registering it" in caplog.text


def test_two_commands_with_other_settings(pair, known, tmp_path, monkeypatch):
    """The second one is refused before it registers anything."""
    out, files = tmp_path / "out", PairInputs(pair.fixed, pair.moving)
    center, world = (RegistrationSettings(init=init) for init in ("center", "world"))
    asked = []

    def meanwhile(*args, **settings):
        asked.append(settings["settings"])
        if len(asked) == 1:
            with pytest.raises(InputError, match="out: another process .* init center, not world"):
                register_pairs({"c": files}, out, "model", settings=world)
        return register(*args, **settings)

    monkeypatch.setattr(module, "register", meanwhile)
    assert register_pairs({"b": files}, out, "model", settings=center) == {}
    assert register_pairs({"c": files}, out, "model", settings=world) == {}  # the first has ended
    assert asked == [center, world]


def test_a_summary_runs_nothing_in_a_spreadsheet(pair, known, tmp_path):
    names = ("=1+cmd|' C'!A0", "@x", "-1_to_+2")
    files = {name: PairInputs(pair.fixed, "=none.nii") for name in names}
    for _ in range(2):
        register_pairs(files, tmp_path / "out", "model")
    rows = read_summary(tmp_path / "out")
    assert list(rows) == [f"'{name}" for name in names]
    assert all(row["reasons"].startswith("'=none.nii") for row in rows.values())


def test_names_that_are_not_utf8_are_refused_before_the_work(pair, tmp_path):
    series = tmp_path / "series"
    series.mkdir()
    (series / os.fsdecode(b"M\xfcller.dcm")).write_text("slice")
    for files in (
        PairInputs(pair.fixed, series),
        PairInputs(os.fsdecode(b"M\xfcller.nii"), pair.moving),
    ):
        with pytest.raises(InputError, match="not UTF-8"):
            files.open()


def test_a_pair_that_another_command_registered_keeps_its_row(tmp_path):
    """This command's own try failed, since the other was faster and had other settings."""
    folder = tmp_path / "a"
    folder.mkdir()
    metrics = {"quality": "ok", "settings": {}, "model": "m", "inputs": {}, "dice_after": 0.97}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    write_summary(tmp_path, ["a", "b"], {"a": "a: holds another result", "b": "b: damaged"})
    rows = read_summary(tmp_path)
    assert rows["a"]["status"] == "registered" and rows["a"]["dice_after"] == "0.97"
    assert rows["b"]["status"] == "failed" and rows["b"]["reasons"] == "b: damaged"
