"""What a stranger's cohort may hold: said in one line, left out, or made again."""

import shutil

import numpy as np
import pytest

from tf_lungreg import register
from tf_lungreg.classification.deformations import find_box, sample_pairs
from tf_lungreg.classification.features import Sampled, make_features
from tf_lungreg.classification.patients import both_phases
from tf_lungreg.cli import main
from tf_lungreg.cohorts.cohort import load_cohort, phase_pairs
from tf_lungreg.errors import InputError
from tf_lungreg.images.geometry import Frame
from tf_lungreg.images.image import Image, read_mask
from tf_lungreg.transforms.transform import Transform

PREDICT = ["classify", "predict", "--model"]


@pytest.fixture
def cohort(nine, tmp_path):
    return shutil.copytree(nine, tmp_path / "cohort")


def edit(cohort, old, new):
    table = cohort / "images.tsv"
    text = table.read_text(encoding="utf-8")
    assert old in text
    table.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_mask_on_another_grid_is_refused(cohort, nine_classifier, tmp_path, capsys):
    mask = read_mask(cohort / "p04_mask.nii.gz")
    affine = mask.frame.affine.copy()
    affine[2, 3] += 50
    frame = Frame(mask.frame.shape, affine)
    Image(mask.data, frame).save(cohort / "p04_mask.nii.gz", overwrite=True)
    for words in (
        [*PREDICT, nine_classifier, "--cohort", str(cohort)],
        ["classify", "train", "--method", "truth", "--out", "x", "--cohort", str(cohort)],
    ):
        flags = ["--folds", "2", "--deformations", str(tmp_path)] if "train" in words else []
        assert main([*words, *flags]) == 2
        error = capsys.readouterr().err.strip().splitlines()[-1]
        assert "p04_mask.nii.gz" in error and "one grid is needed" in error
    assert not list(tmp_path.rglob("*.npz"))  # told before anyone was registered


def test_a_classifier_registers_nothing(nine, nine_classifier):
    images = [nine / f"p0{n}_image.nii.gz" for n in (0, 1)]
    with pytest.raises(InputError, match="takes no pair of images"):
        register(*images, model=nine_classifier)


@pytest.mark.parametrize(("times", "warned"), [(0, True), (1, False), (1000, True)])
def test_a_breath_unlike_all_others_is_told(nine, nine_classifier, tmp_path, capsys, times, warned):
    field = Transform.read(nine / "p00.nii.gz")
    Transform(times * field.data, field.frame).save(tmp_path / "d.nii.gz")
    words = ["--displacement", str(tmp_path / "d.nii.gz")]
    assert (
        main([*PREDICT, nine_classifier, *words, "--fixed-mask", str(nine / "p00_mask.nii.gz")])
        == 0
    )
    assert ("the answer means nothing" in capsys.readouterr().err) == warned


def test_lungs_of_one_voxel_are_told(nine, nine_classifier, tmp_path, capsys):
    mask = read_mask(nine / "p00_mask.nii.gz")
    data = np.zeros(mask.data.shape, np.uint8)
    data[5, 5, 5] = 1
    Image(data, mask.frame).save(tmp_path / "mask.nii.gz")
    words = ["--displacement", str(nine / "p00.nii.gz")]
    assert (
        main([*PREDICT, nine_classifier, *words, "--fixed-mask", str(tmp_path / "mask.nii.gz")])
        == 0
    )
    assert "the box's size" in capsys.readouterr().err


@pytest.mark.parametrize("unit", ["mm", "lung", "breath"])
def test_a_translation_alone_is_nothing(unit):
    """Rounding of a mean over thousands of cells is no breath."""
    moved = np.full((12, 16, 16, 3), (3.3, -47.123456, 0.1), np.float32)
    assert not make_features(Sampled(moved, np.array([200.0, 250.0, 300.0])), unit).any()


def test_who_has_one_phase_is_named(cohort, tools):
    edit(cohort, "p03\texhale", "p03\texpir")
    with pytest.warns(UserWarning, match="left out.*: p03"):
        pairs = both_phases(load_cohort(cohort))
    assert len(pairs) == len(tools.nine) - 1


def test_one_missing_mask_is_named(cohort):
    edit(cohort, "p02_mask.nii.gz", "n/a")
    with pytest.warns(UserWarning, match="no mask of p02.*whole volume"):
        assert find_box(phase_pairs(load_cohort(cohort))) == "volume"


@pytest.mark.parametrize("size", [0, 200])
def test_a_damaged_stored_deformation_is_made_again(cohort, tmp_path, size):
    pairs = phase_pairs(load_cohort(cohort))[:2]
    first = sample_pairs(None, pairs, cohort, tmp_path, "lungs", "auto")
    file = sorted(tmp_path.rglob("*.npz"))[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:size])
    again = sample_pairs(None, pairs, cohort, tmp_path, "lungs", "auto")
    assert file.stat().st_size == len(whole)
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one.displacement, other.displacement)


def test_a_damaged_classifier_is_one_line(nine_classifier, tmp_path, capsys):
    copy = shutil.copytree(nine_classifier, tmp_path / "damaged")
    variables = copy / "1" / "variables" / "variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[:1000])
    assert main([*PREDICT, str(copy), "--displacement", "d.nii.gz"]) == 2
    error = capsys.readouterr().err.strip()
    assert "damaged" in error and "\n" not in error
    card = copy / "1" / "assets.extra" / "model_card.json"
    card.write_text('{"task": "classification of interstitial lung disease"}', encoding="utf-8")
    assert main([*PREDICT, str(copy), "--displacement", "d.nii.gz"]) == 2
    assert "not a classifier" in capsys.readouterr().err


def test_a_place_that_may_not_be_written(nine, nine_classifier, tmp_path, monkeypatch, capsys):
    def deny(*_, **__):
        raise PermissionError(13, "Permission denied", str(tmp_path / "map.nii.gz"))

    monkeypatch.setattr("tf_lungreg.classification.prediction.write_report", deny)
    files = [str(nine / f"p00{end}.nii.gz") for end in ("", "_mask")]
    words = ["--displacement", files[0], "--fixed-mask", files[1], "--out", str(tmp_path)]
    assert main([*PREDICT, nine_classifier, *words]) == 2
    assert "map.nii.gz: may not be read or written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "proposed"], "--method: one of"),
        (["--method", "truth", "--seed", str(2**40)], "seed: a whole number from 0"),
    ],
)
def test_words_of_train(cohort, tmp_path, capsys, words, message):
    command = ["classify", "train", "--cohort", str(cohort), "--out", str(tmp_path / "x")]
    assert main([*command, *words]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "x").exists()
