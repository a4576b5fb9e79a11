import csv
import dataclasses

import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.training import TrainingSettings, fit_shape
from tf_lungreg.training.data import load_training_data


def subset(cohort, folder, keep, columns):
    """The cohort's table with some rows and columns, its files in place."""
    folder.mkdir()
    for name in ("participants.tsv", "images.tsv"):
        with open(cohort / name, newline="") as file:
            rows = [r for r in csv.DictReader(file, delimiter="\t") if keep(r)]
        if name == "images.tsv":
            rows = [
                {k: str(cohort / v) if k in ("image", "mask") else v for k, v in r.items()}
                for r in rows
            ]
            rows = [{k: r[k] for k in columns} for r in rows]
        with open(folder / name, "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
            writer.writeheader()
            writer.writerows(rows)
    return folder


def load(cohort, tiny):
    config = TrainingSettings(cohort=str(cohort), preset=tiny).resolved()
    return load_training_data(config, None)


def test_patients_are_split_and_pairs_are_inhale_and_exhale(cohort, tiny):
    data = load(cohort, tiny)
    train = {scan.scan.participant for scan in data.train}
    validation = {fixed.scan.participant for fixed, _ in data.validation}
    assert len(train) == 3 and len(validation) == 1 and not train & validation
    assert len(data.train) == 6 and not data.shared
    assert sorted(data.pairs) == [(m, f) for m in range(6) for f in range(6) if m != f]
    for fixed, moving in data.validation:
        assert (fixed.scan.phase, moving.scan.phase) == ("inhale", "exhale")
        assert fixed.scan.participant == moving.scan.participant
        assert fixed.image.shape == (16, 24, 24) and fixed.mask.any()


def test_one_image_a_patient_gives_pairs_between_patients(cohort, tiny, tmp_path):
    columns = ("participant_id", "phase", "image")
    only = subset(cohort, tmp_path / "only", lambda r: r.get("phase") != "exhale", columns)
    data = load(only, tiny)
    ((fixed, moving),) = data.validation
    assert fixed.scan.participant != moving.scan.participant
    assert len(data.train) == 2 and not data.shared
    config = TrainingSettings(cohort=str(only), preset=tiny, pairs="patient").resolved()
    with pytest.raises(InputError, match="within patients there are none"):
        load_training_data(config, None)


def test_the_grid_is_no_larger_than_the_images_need(cohort, tiny):
    config = TrainingSettings(cohort=str(cohort), preset=tiny).resolved()
    assert fit_shape(config) == config  # the images are larger, or as large
    coarse = dataclasses.replace(config, spacing=(15.0, 40.0, 20.0))
    assert fit_shape(coarse).shape == (16, 16, 24)  # of 240 and 620 mm, in multiples of 8


def test_few_patients_are_validated_on_and_that_is_known(cohort, tiny, tmp_path):
    columns = ("participant_id", "phase", "image", "mask")
    keep = {"sub-001", "sub-002"}
    few = subset(cohort, tmp_path / "few", lambda r: r["participant_id"] in keep, columns)
    data = load(few, tiny)
    assert data.shared and len(data.train) == 4 and len(data.validation) == 2
    for moving, fixed in data.pairs:  # between two patients there is little to learn
        assert data.train[moving].scan.participant == data.train[fixed].scan.participant
    assert len(data.pairs) == 4
    config = TrainingSettings(cohort=str(few), preset=tiny, pairs="all").resolved()
    assert len(load_training_data(config, None).pairs) == 4 * 3


def test_a_scan_without_a_mask_is_prepared_without(cohort, tiny, tmp_path):
    columns = ("participant_id", "phase", "image")
    data = load(subset(cohort, tmp_path / "bare", lambda r: True, columns), tiny)
    assert all(scan.mask is None for scan in data.train)
