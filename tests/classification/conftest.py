"""Synthetic patients whose deformations tell the classes apart: stiff bases."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tf_lungreg.cli import main
from tf_lungreg.images.geometry import DIRECTIONS, Frame, apply_affine
from tf_lungreg.images.image import Image
from tf_lungreg.tables.table import write_table
from tf_lungreg.transforms.transform import Transform

LOW, HIGH = np.array([-90.0, -70.0, -120.0]), np.array([80.0, 60.0, 100.0])  # the lungs, RAS mm
FLAGS = "--folds 2 --epochs 25 --learning-rate 3e-3 --filters 4".split()
NINE = ["healthy", "ssc", "ssc"] * 3
SMALL = {"epochs": 30, "learning_rate": 3e-3, "filters": 4, "hidden": 16}


def make_frame(spacing=(14, 15, 16), center=(0.0, 0.0, 0.0), angles=(0, 0, 0), margin=30):
    """A grid that holds the lungs."""
    extent = (np.abs(DIRECTIONS.T) @ (HIGH - LOW)) + 2 * margin
    shape = tuple(int(n) for n in np.ceil(extent / spacing))
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, :3] = turn @ (DIRECTIONS * np.asarray(spacing, float))
    middle = (LOW + HIGH) / 2 + center
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Frame(shape, affine)


def displace(points, ill, rng):
    """Breathing, RAS mm: the bases rise, less in the ill; with a translation of the patient."""
    amount, sink, shift = rng.uniform(15, 35), rng.uniform(5, 12), rng.normal(0, 5, 3)
    depth = (HIGH[2] - points[..., 2]) / (HIGH[2] - LOW[2])  # 0 at the apex, 1 at the base
    out = np.zeros(points.shape)
    out[..., 2] = amount * (np.minimum(depth, 0.5) if ill else depth)
    out[..., 1] = -sink * np.cos(points[..., 0] / 120)
    return out + shift


def make_patient(ill, seed, frame=None, center=(0.0, 0.0, 0.0)):
    """Displacement field and mask of one patient, their lungs moved by ``center``."""
    frame = make_frame(center=center) if frame is None else frame
    points = apply_affine(frame.affine, np.moveaxis(np.indices(frame.shape), 0, -1)) - center
    field = displace(points, ill, np.random.default_rng(seed)).astype(np.float32)
    inside = ((points >= LOW) & (points <= HIGH)).all(axis=-1)
    return Transform(field, frame), Image(inside, frame, "none")


def write_cohort(folder, diagnoses, columns=("mask", "truth")):
    """A cohort with empty images and true displacements; diagnosis by number of the patient."""
    people, scans = [], []
    for number, diagnosis in enumerate(diagnoses):
        name = f"p{number:02d}"
        field, mask = make_patient(diagnosis == "ssc", number)
        field.save(folder / f"{name}.nii.gz")
        Image(mask.data, mask.frame).save(folder / f"{name}_mask.nii.gz")
        image = np.random.default_rng(number).uniform(0, 1000, mask.frame.shape)
        Image(image.astype(np.float32), mask.frame).save(folder / f"{name}_image.nii.gz")
        people.append({"participant_id": name, "diagnosis": diagnosis})
        for phase in ("inhale", "exhale"):
            row = {"participant_id": name, "phase": phase, "image": f"{name}_image.nii.gz"}
            files = {"mask": f"{name}_mask.nii.gz", "truth": f"{name}.nii.gz"}
            row.update({c: files[c] if c in columns and phase == "inhale" else None for c in files})
            scans.append(row)
    write_table(folder / "participants.tsv", people, overwrite=True)
    write_table(folder / "images.tsv", scans, overwrite=True)
    return folder


def train_classifier(cohort, out):
    """The folder of a classifier, trained shortly on a cohort's true displacements."""
    words = ["classify", "train", "--cohort", str(cohort), "--method", "truth", "--out", str(out)]
    assert main([*words, *FLAGS]) == 0
    return out


@pytest.fixture(scope="session")
def tools():
    return SimpleNamespace(
        make_frame=make_frame,
        make_patient=make_patient,
        write_cohort=write_cohort,
        train_classifier=train_classifier,
        flags=FLAGS,
        small=SMALL,
        nine=NINE,
        low=LOW,
        high=HIGH,
    )


@pytest.fixture(scope="session")
def nine(tools, tmp_path_factory):
    """A cohort of nine patients; a test that changes it takes a copy."""
    return tools.write_cohort(tmp_path_factory.mktemp("nine") / "cohort", NINE)


@pytest.fixture(scope="session")
def nine_classifier(tools, nine, tmp_path_factory):
    """A classifier that was trained on them."""
    return str(tools.train_classifier(nine, tmp_path_factory.mktemp("nine_runs") / "ild"))


@pytest.fixture(scope="session")
def features(tools):
    """(names, features, labels) of 24 patients."""
    from tf_lungreg.classification.features import make_features, sample

    labels = np.arange(24) % 3 > 0
    rows = []
    for seed, ill in enumerate(labels):
        field, mask = tools.make_patient(ill, seed)
        rows.append(make_features(sample(field, field.frame, mask)))
    return [f"p{n:02d}" for n in range(24)], np.stack(rows), labels.astype(int)
