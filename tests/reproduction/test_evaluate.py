"""From a cohort's tables to the files, with methods that are quick."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.files import locked
from tf_lungreg.reproduction import evaluation as whole
from tf_lungreg.reproduction import methods
from tf_lungreg.reproduction.baselines.result import BaselineResult, identity_grid
from tf_lungreg.reproduction.methods import Method
from tf_lungreg.reproduction.results_folder import cohort_record
from tf_lungreg.tables.table import read_table, write_table
from tf_lungreg.transforms.transform import Transform


@pytest.fixture
def calls(monkeypatch):
    """Baselines that shift by voxels; the list of those that ran."""
    ran = []

    def find(name):
        def register(fixed, moving, spacing):
            ran.append(name)
            shift = np.float32([0, 0.3 * (name == "syn"), 0])
            return BaselineResult(identity_grid(fixed.shape) + shift, 0.0 + 2 * (name == "syn"))

        return register

    monkeypatch.setattr(methods, "find_baseline", find)
    return ran


@pytest.fixture
def proposed(monkeypatch):
    """Adds a model's row: a uniform shift of a few mm beyond the centres'."""

    def register(fixed, moving):
        shift = moving.frame.center - fixed.frame.center + [1.0, 2.0, 5.0]
        data = np.broadcast_to(shift.astype(np.float32), (*fixed.frame.shape, 3))
        return Transform(data, fixed.frame), 0.5

    made = whole.make_methods

    def make(names, models, *rest):
        rows = [Method(n, register, "GPU (some)", {"model": p}, {}) for n, p in models.items()]
        return [*made(names, {}, *rest), *rows]

    monkeypatch.setattr(whole, "make_methods", make)


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_all_files(small_cohort, tmp_path, calls, proposed):
    out = tmp_path / "out"
    results = whole.evaluate(
        small_cohort(),
        ["unregistered", "syn"],
        {"proposed": "x"},
        out,
        combinations=4,
        command="tf-lungreg evaluate",
    )
    assert {p.name for p in out.iterdir()} == {
        *("settings.json", "pairs", "results.json", "results.md", "results.tex", "pairs.csv"),
        *(f"figure2_{name}.png" for name in ("unregistered", "syn", "proposed")),
    }
    stored = read_json(out / "results.json")
    assert {k: v for k, v in stored.items() if k != "notes"} == json.loads(json.dumps(results))
    with (out / "pairs.csv").open(encoding="utf-8") as stream:
        pairs = list(csv.DictReader(stream))
    for method, row in stored["table1"].items():
        own = [r for r in pairs if r["method"] == method]
        within = [float(r["dice"]) for r in own if r["fixed"][:7] == r["moving"][:7]][:3]
        part = row["inhale_exhale"]
        assert part["mean"] == pytest.approx(np.mean(within)) and part["n"] == 3
        assert part["std"] == pytest.approx(np.std(within, ddof=1))
        assert part["tre_true"]["n"] == 3 and "tre_true" not in row["all_combinations"]
        assert row["all_combinations"]["n"] == 4
        assert row["record"]["seed"] == 0 and row["record"]["command"] == "tf-lungreg evaluate"
    assert stored["table1"]["syn"]["inhale_exhale"]["seconds"] == 2.0
    assert stored["table1"]["proposed"]["inhale_exhale"]["device"] == "GPU (some)"
    assert list(stored["table2"]) == ["inter-observer", "unregistered", "syn", "proposed"]
    assert stored["table2"]["proposed"]["landmarks"] == 33
    # Both shift by different known amounts, so that the vertical error differs in every pair.
    assert {(c["measure"], c["part"]) for c in stored["comparisons"]} == {
        ("dice", "inhale_exhale"),
        ("dice", "all_combinations"),
        ("ds", "inhale_exhale"),
    }
    page = (out / "results.md").read_text(encoding="utf-8")
    assert "fewer than four patients" in page and "91.48 ± 2.33" in page
    assert "Of the 9 combinations a random sample" in page
    assert r"\toprule" in (out / "results.tex").read_text(encoding="utf-8")


def test_what_is_done_is_not_done_again(small_cohort, tmp_path, calls, proposed):
    folder, out = small_cohort(), tmp_path / "out"
    whole.evaluate(folder, ["syn"], {}, out, combinations=0)
    assert calls == ["syn"] * 3
    first = (out / "results.json").read_bytes()
    whole.evaluate(folder, ["syn"], {}, out, combinations=0)
    assert len(calls) == 3
    left = sorted((out / "pairs" / "syn").glob("*.json"))
    left[1].write_text('{"method": "sy')  # what a crash of the machine may leave
    whole.evaluate(folder, ["syn"], {}, out, combinations=0)
    assert len(calls) == 4
    before, after = json.loads(first), read_json(out / "results.json")
    assert before["table1"]["syn"]["inhale_exhale"] == after["table1"]["syn"]["inhale_exhale"]
    # More pairs and methods are added; the part that is there stays.
    results = whole.evaluate(folder, ["unregistered", "syn"], {"m": "1"}, out)
    assert calls.count("syn") == 4 + 6 and calls.count("unregistered") == 9
    assert results["table1"]["m"]["all_combinations"]["n"] == 9
    with pytest.raises(InputError, match=r"another m \(model 1\)"):
        whole.evaluate(folder, ["syn"], {"m": "2"}, out)
    whole.evaluate(folder, ["syn"], {}, out, combinations=0, overwrite=True)
    assert calls.count("syn") == 13
    assert [p.name for p in (out / "pairs").iterdir()] == ["syn"]
    assert not (out / "figure2_m.png").exists()


def test_slow_methods_see_a_sample(small_cohort, tmp_path, calls, proposed, monkeypatch):
    monkeypatch.setattr(whole, "SAMPLE", 5)
    results = whole.evaluate(small_cohort(), ["syn"], {"proposed": "x"}, tmp_path / "a")
    counts = {m: row["all_combinations"]["n"] for m, row in results["table1"].items()}
    assert counts == {"syn": 5, "proposed": 9}
    compared = {c["part"]: c["n"] for c in results["comparisons"] if c["measure"] == "dice"}
    assert compared == {"inhale_exhale": 3, "all_combinations": 5}
    results = whole.evaluate(small_cohort(), ["syn"], {}, tmp_path / "a", combinations="all")
    assert results["table1"]["syn"]["all_combinations"]["n"] == 9


def test_the_pair_that_is_drawn(small_cohort, tmp_path, calls, proposed):
    folder, out = small_cohort(), tmp_path / "out"
    whole.evaluate(folder, ["syn"], {}, out, combinations=0)
    first = (out / "figure2_syn.png").read_bytes()
    name = "sub-003_exhale_to_sub-001_inhale"
    results = whole.evaluate(folder, ["syn"], {}, out, combinations=0, figure=name)
    assert len(calls) == 4 and (out / "figure2_syn.png").read_bytes() != first
    assert results["table1"]["syn"]["inhale_exhale"]["n"] == 3
    assert "all_combinations" not in results["table1"]["syn"]
    second = "sub-002_exhale_to_sub-002_inhale"  # was registered, but not drawn
    whole.evaluate(folder, ["syn"], {}, out, combinations=0, figure=second)
    assert len(calls) == 5
    with pytest.raises(InputError, match="no pair 'x'.*sub-001_exhale_to_sub-001_inhale"):
        whole.evaluate(folder, ["syn"], {}, out, figure="x")


@pytest.mark.parametrize(
    ("columns", "missing", "tables"),
    [
        (("mask",), "there is no Table 2", {"table1"}),
        (("landmarks",), "there is no Dice", {"table2"}),
    ],
)
def test_tables_that_can_be_made(small_cohort, tmp_path, calls, proposed, columns, missing, tables):
    results = whole.evaluate(small_cohort(columns=columns), ["unregistered"], {}, tmp_path / "o")
    page = (tmp_path / "o" / "results.md").read_text(encoding="utf-8")
    assert missing in page and "there is no error against the truth" in page
    part = results["table1"]["unregistered"]["inhale_exhale"]
    assert ("mean" in part) == ("table1" in tables) == ("Table 1: Dice" in page)
    assert bool(results["table2"]) == ("table2" in tables)


def test_refusals_leave_the_folder_alone(small_cohort, tmp_path, calls, proposed):
    out = tmp_path / "out"
    with pytest.raises(InputError, match="masks or landmarks"):
        whole.evaluate(small_cohort(columns=()), ["unregistered"], {}, out)
    assert not out.exists()
    folder = small_cohort()
    whole.evaluate(folder, ["unregistered"], {}, out, combinations=0)
    for changed, message in (
        ({"seed": 1}, "with seed 0, not 1"),
        ({"window": (0.0, 5.0)}, r"with window auto, not \[0.0, 5.0\]"),
    ):
        with pytest.raises(InputError, match=message):
            whole.evaluate(folder, ["unregistered"], {}, out, **changed)
    with pytest.raises(InputError, match=r"another unregistered \(spacing None\)"):
        whole.evaluate(folder, ["unregistered"], {}, out, spacing=(20.0, 20.0, 20.0))
    with pytest.raises(InputError, match="with cohort .*three, not .*other"):
        whole.evaluate(small_cohort(name="other"), ["unregistered"], {}, out)
    table = folder / "participants.tsv"
    table.write_text(table.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="other files of the cohort"):
        whole.evaluate(folder, ["unregistered"], {}, out)
    (out / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="precious.txt"):
        whole.evaluate(folder, ["unregistered"], {}, out, overwrite=True)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "a.jpg").write_text("mine")
    with pytest.raises(InputError, match="no evaluation"):
        whole.evaluate(folder, ["unregistered"], {}, other)
    (other / "a.jpg").unlink()
    for content in ("[]", "5", '{"methods": 5}'):
        (other / "settings.json").write_text(content)
        for overwrite in (False, True):
            with pytest.raises(InputError, match="no evaluation"):
                whole.evaluate(folder, ["unregistered"], {}, other, overwrite=overwrite)


def test_two_evaluations_do_not_share_a_folder(small_cohort, tmp_path, calls):
    out = tmp_path / "out"
    with locked(out), pytest.raises(InputError, match="out: another process is writing there"):
        whole.evaluate(small_cohort(), ["unregistered"], {}, out, combinations=0)
    assert not out.exists()


def test_a_name_in_a_picture_is_no_formula(small_cohort, tmp_path, calls):
    folder = small_cohort()
    for table in ("participants.tsv", "images.tsv"):
        rows = read_table(folder / table)
        rows = [{**row, "participant_id": f"{row['participant_id']}$^$"} for row in rows]
        write_table(folder / table, rows, overwrite=True)
    results = whole.evaluate(folder, ["unregistered"], {}, tmp_path / "out", combinations=0)
    assert "unregistered" in results["table1"]


def test_a_cohort_is_known_by_the_contents_of_its_files(tmp_path):
    for name in ("participants.tsv", "images.tsv", "image.nii", "truth.nii"):
        (tmp_path / name).write_text("a", encoding="utf-8")
    scan = SimpleNamespace(
        image=tmp_path / "image.nii", mask=None, landmarks=None, columns={"truth": "truth.nii"}
    )
    cohort = SimpleNamespace(root=tmp_path, scans=[scan])
    records = [cohort_record(cohort)]
    for name in ("images.tsv", "image.nii", "truth.nii"):
        (tmp_path / name).write_text("b", encoding="utf-8")  # as long as before
        records.append(cohort_record(cohort))
    assert len({record["cohort_files"] for record in records}) == 4
