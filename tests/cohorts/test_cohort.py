import itertools
import os
from pathlib import Path

import pytest

from tf_lungreg.cohorts.cohort import (
    Cohort,
    Scan,
    all_combinations,
    load_cohort,
    phase_pairs,
    split_patients,
)
from tf_lungreg.errors import InputError, MissingFileError

PARTICIPANTS = "participant_id\tdiagnosis\tage\nP1\thealthy\t50\nP2\tssc\tn/a\n"
IMAGES = (
    "participant_id\tphase\timage\tmask\tlandmarks\tscanner\n"
    "P2\texhale\tP2/ex.nii\tn/a\t\tSkyra\n"
    "P1\tinhale\tP1/in.nii\tP1/in_mask.nii\tP1/in.csv\tSkyra\n"
    "P1\texhale\tP1/ex.nii\t\tn/a\tSkyra\n"
    "P2\tinhale\tP2/in.nii\tn/a\t\tSkyra\n"
)


def write_cohort(root, participants=PARTICIPANTS, images=IMAGES):
    for name in ("P1/in.nii", "P1/ex.nii", "P2/in.nii", "P2/ex.nii", "P1/in_mask.nii", "P1/in.csv"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    (root / "participants.tsv").write_text(participants)
    (root / "images.tsv").write_text(images)
    return root


def make_cohort(diagnoses, phases=("inhale", "exhale")):
    participants = {f"S{i:02d}": {"diagnosis": d} for i, d in enumerate(diagnoses)}
    scans = [Scan(p, phase, Path(f"{p}_{phase}.nii")) for p in participants for phase in phases]
    return Cohort(Path("root"), participants, scans)


def test_load_cohort(tmp_path):
    cohort = load_cohort(write_cohort(tmp_path))
    assert cohort.root == tmp_path
    assert cohort.participants == {
        "P1": {"diagnosis": "healthy", "age": "50"},
        "P2": {"diagnosis": "ssc", "age": "n/a"},
    }
    assert [s.name for s in cohort.scans] == ["P2_exhale", "P1_inhale", "P1_exhale", "P2_inhale"]
    first, second = cohort.scans[:2]
    assert (first.image, first.mask, first.landmarks) == (tmp_path / "P2/ex.nii", None, None)
    assert second.mask == tmp_path / "P1/in_mask.nii"
    assert second.landmarks == tmp_path / "P1/in.csv"
    assert second.columns == {"scanner": "Skyra"}
    assert len({first, second, *cohort.scans}) == 4  # scans can be keys


def test_only_what_is_needed_and_from_another_working_directory(tmp_path, monkeypatch):
    root = write_cohort(
        tmp_path,
        "participant_id\nP1\n",
        f"image\tphase\tparticipant_id\nP1/in.nii\tT0\tP1\n{tmp_path / 'P1/ex.nii'}\tT50\tP1\n",
    )
    monkeypatch.chdir(tmp_path.parent)
    cohort = load_cohort(os.path.relpath(root))
    assert cohort.participants == {"P1": {"diagnosis": "n/a"}}
    assert all(scan.image.exists() for scan in cohort.scans)


@pytest.mark.parametrize("diagnosis", ["", "n/a", "N/A"])
def test_an_unknown_diagnosis_is_allowed_to_be_missing(tmp_path, diagnosis):
    cohort = load_cohort(write_cohort(tmp_path, PARTICIPANTS.replace("ssc", diagnosis)))
    assert cohort.participants["P2"]["diagnosis"] == "n/a"


@pytest.mark.parametrize(
    ("table", "old", "new", "words"),
    [
        ("participants", "P2", "P1", ["'P1' appears twice"]),
        ("participants", "P2\tssc\tn/a\n", "", ["no row for the participant 'P2' of images.tsv"]),
        ("images", "P1", "P3", ["'P3'"]),
        ("participants", "P2\t", "P2\tssc\t1\nP4\t", ["'P4'"]),
        ("participants", "ssc", "asthma", ["'P2'", "'asthma'", "healthy, ssc, n/a"]),
        ("participants", "participant_id", "id", ["'participant_id'", "among the 3"]),
        ("participants", "P2", "P/2", ["slashes"]),
        ("images", "P1\texhale", "P1\tinhale", ["'P1'", "two images", "'inhale'"]),
        ("images", "phase", "state", ["no column 'phase'"]),
        ("images", "P1\tinhale", "P1\t", ["phase ''", "needed"]),
        ("images", "P1/in.nii", "n/a", ["no image for 'P1'", "needed"]),
        ("images", "\tSkyra", "", ["line 2"]),
    ],
)
def test_bad_tables(tmp_path, table, old, new, words):
    texts = {"participants": PARTICIPANTS, "images": IMAGES}
    texts[table] = texts[table].replace(old, new)
    if (table, old) == ("images", "P1"):
        texts[table] = IMAGES.replace("P1\t", "P3\t")
    with pytest.raises(InputError) as caught:
        load_cohort(write_cohort(tmp_path, **texts))
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path) in message and all(word in message for word in words), message


def test_one_image_is_no_cohort(tmp_path):
    root = write_cohort(
        tmp_path, "participant_id\nP1\n", "participant_id\tphase\timage\nP1\tinhale\tP1/in.nii\n"
    )
    with pytest.raises(InputError, match=r"images\.tsv: the cohort has one image; at least two"):
        load_cohort(root)


@pytest.mark.parametrize(
    "name", ["participants.tsv", "images.tsv", "P1/in.nii", "P1/in_mask.nii", "P1/in.csv"]
)
def test_missing_files(tmp_path, name):
    root = write_cohort(tmp_path)
    (root / name).unlink()
    with pytest.raises(MissingFileError, match=str(root / name)):
        load_cohort(root)


def test_a_missing_folder(tmp_path):
    with pytest.raises(MissingFileError, match=r"none: no such folder.*participants\.tsv"):
        load_cohort(tmp_path / "none")


def test_select(tmp_path):
    cohort = load_cohort(write_cohort(tmp_path))
    part = cohort.select(["P2"])
    assert list(part.participants) == ["P2"] and part.root == cohort.root
    assert [s.name for s in part.scans] == ["P2_exhale", "P2_inhale"]
    assert cohort.select(["P2", "P1"]) == cohort
    with pytest.raises(InputError, match=rf"{tmp_path}: no participant 'P9'.*P1, P2"):
        cohort.select(["P1", "P9"])


PAPER = make_cohort(["ssc"] * 29 + ["healthy"] * 12)


def test_the_papers_split():
    train, validation = split_patients(PAPER)
    assert len(train.participants) == 28 and len(validation.participants) == 13
    assert len(train.scans) == 56 and len(validation.scans) == 26
    assert not set(train.participants) & set(validation.participants)
    for part in (train, validation):
        assert {s.participant for s in part.scans} == set(part.participants)
    healthy = [c["diagnosis"] for c in validation.participants.values()].count("healthy")
    assert healthy in (3, 4)  # 13 × 12 / 41 = 3.8


def test_the_split_depends_on_the_seed_and_not_on_the_order():
    def names(cohort, seed):
        return set(split_patients(cohort, seed=seed)[1].participants)

    turned = Cohort(
        PAPER.root, dict(reversed(PAPER.participants.items())), list(reversed(PAPER.scans))
    )
    assert names(PAPER, 3) == names(turned, 3) == names(PAPER, 3)
    assert len({frozenset(names(PAPER, seed)) for seed in range(10)}) == 10
    drawn = [name for seed in range(300) for name in names(PAPER, seed)]
    counts = [drawn.count(name) for name in PAPER.participants]
    assert min(counts) > 60 and max(counts) < 130  # expected: 300 × 13 / 41 = 95


@pytest.mark.parametrize("validation", [None, 2, 3, 7])
@pytest.mark.parametrize(
    ("healthy", "ssc", "unknown"), [(2, 6, 0), (4, 4, 4), (6, 2, 1), (2, 9, 5)]
)
def test_both_diagnoses_are_in_both_parts(healthy, ssc, unknown, validation):
    diagnoses = ["healthy"] * healthy + ["ssc"] * ssc + ["n/a"] * unknown
    for seed in range(5):
        parts = split_patients(make_cohort(diagnoses), validation, seed)
        size = validation or max(1, round(len(diagnoses) * 13 / 41))
        assert len(parts[1].participants) == size
        for part in parts:
            found = {columns["diagnosis"] for columns in part.participants.values()}
            if min(size, len(diagnoses) - size) >= 3:
                assert {"healthy", "ssc"} <= found
            elif min(size, len(diagnoses) - size) == 2 and not unknown:
                assert {"healthy", "ssc"} == found


@pytest.mark.parametrize(("total", "expected"), [(4, 1), (5, 2), (6, 2), (8, 3), (41, 13)])
def test_the_default_size(total, expected):
    assert len(split_patients(make_cohort(["n/a"] * total))[1].participants) == expected


def test_a_single_case_trains():
    cohort = make_cohort(["healthy"] + ["ssc"] * 6)
    for seed in range(10):
        assert "S00" in split_patients(cohort, 3, seed)[0].participants


@pytest.mark.parametrize("total", [1, 2, 3])
def test_fewer_than_four_patients_validate_on_all(total):
    cohort = make_cohort(["ssc"] * total)
    assert split_patients(cohort) == (cohort, cohort)


@pytest.mark.parametrize("validation", [0, -1, 41, 50])
def test_an_empty_part_is_refused(validation):
    with pytest.raises(InputError, match=rf"validation: 1 to 40 of the 41 .* not {validation}\."):
        split_patients(PAPER, validation)


def test_phase_pairs(tmp_path):
    cohort = load_cohort(write_cohort(tmp_path))
    names = [(f.name, m.name) for f, m in phase_pairs(cohort)]
    assert names == [("P1_inhale", "P1_exhale"), ("P2_inhale", "P2_exhale")]
    names = [(f.name, m.name) for f, m in phase_pairs(cohort, "exhale", "inhale")]
    assert names == [("P1_exhale", "P1_inhale"), ("P2_exhale", "P2_inhale")]
    part = Cohort(cohort.root, cohort.participants, cohort.scans[:3])  # P2 without inhale
    assert [(f.name, m.name) for f, m in phase_pairs(part)] == [("P1_inhale", "P1_exhale")]


def test_other_phases_are_taken_in_their_order():
    cohort = make_cohort(["ssc"] * 2, ("T50", "T00", "T90"))
    assert [(f.phase, m.phase) for f, m in phase_pairs(cohort)] == [("T50", "T00")] * 2
    assert [(f.phase, m.phase) for f, m in phase_pairs(cohort, "T90", "T00")] == [
        ("T90", "T00")
    ] * 2


@pytest.mark.parametrize(
    ("phases", "asked"),
    [(("inhale", "rest"), ("inhale", "exhale")), (("T0", "T1"), ("T0", "T5")), (("T0",), ())],
)
def test_no_pairs(phases, asked):
    cohort = make_cohort(["ssc"] * 2, phases)
    with pytest.raises(InputError, match=r"images\.tsv: no participant has both .* found are"):
        phase_pairs(cohort, *asked)


def test_all_combinations():
    cohort = make_cohort(["ssc"] * 13)
    pairs = all_combinations(cohort)
    assert len(pairs) == len(set(pairs)) == 169
    assert set(pairs) == set(
        itertools.product(
            [s for s in cohort.scans if s.phase == "inhale"],
            [s for s in cohort.scans if s.phase == "exhale"],
        )
    )
