"""Writes a cohort of phantoms in the form that everything here reads cohorts in."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.files import check_folder, is_empty_folder, new_folder, read_json
from tf_lungreg.images.geometry import Frame
from tf_lungreg.images.nifti import nifti_image
from tf_lungreg.phantom.subject import FIELD_OF_VIEW, PHASES, Subject, make_subject

GENERATOR = "tf_lungreg phantom"
VERSION = 1  # of the generator: raised whenever the same seed gives other files
_DESCRIPTION = "dataset_description.json"
_HEALTHY_SHARE = 12 / 41  # the paper's


def write_phantom_cohort(
    out: str | os.PathLike[str],
    subjects: int = 41,
    shape: Sequence[int] = (64, 192, 192),
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Writes a synthetic cohort of breathing chests with known deformations.

    Each subject has an inhale and an exhale image, masks of the lungs, eleven landmarks marked by
    two observers, and the true displacement u on the inhale grid, with
    ``exhale(p + u(p)) ≃ inhale(p)`` (LPS mm). The same arguments give the same files.

    Args:
        out: the folder to write; it appears when it is complete.
        subjects: how many; 12 of 41 are healthy, the others have systemic sclerosis.
        shape: voxels along D (anterior to posterior), H (superior to inferior), W (right to left),
            of a field of view of 240 × 620 × 620 mm.
        seed: a non-negative integer.
        overwrite: replace an older phantom cohort in ``out``.
        progress: show a progress bar.

    Returns:
        The folder.

    Raises:
        InputError: an argument cannot be used, or ``out`` exists.
    """
    out = Path(out).absolute()
    subjects, shape, seed = _check_arguments(subjects, shape, seed)
    check_folder(out)
    with new_folder(out, lambda: _check_target(out, overwrite)) as folder:
        _write_files(folder, subjects, shape, seed, progress)
    return out


def subject_seeds(seed: int, subjects: int) -> list[np.random.SeedSequence]:
    """One seed a subject, the same for a subject however many there are.

    Args:
        seed: of the cohort.
        subjects: how many.
    """
    return np.random.SeedSequence(seed, spawn_key=(1,)).spawn(subjects)


def draw_diagnoses(seed: int, subjects: int) -> list[str]:
    """``healthy`` and ``ssc`` in the paper's proportion, at least one of each, in random order.

    Args:
        seed: of the cohort.
        subjects: how many.
    """
    healthy = int(round(subjects * _HEALTHY_SHARE))
    if subjects >= 2:
        healthy = min(max(healthy, 1), subjects - 1)
    diagnoses = ["healthy"] * healthy + ["ssc"] * (subjects - healthy)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    return [diagnoses[number] for number in rng.permutation(subjects)]


def _check_arguments(
    subjects: int, shape: Sequence[int], seed: int
) -> tuple[int, tuple[int, ...], int]:
    if int(subjects) != subjects or subjects < 1:
        raise InputError(f"subjects: a whole number of at least 1 is needed, not {subjects!r}.")
    if int(seed) != seed or seed < 0:
        raise InputError(f"seed: a whole number of at least 0 is needed, not {seed!r}.")
    sizes = tuple(int(n) for n in shape)
    if len(sizes) != 3 or min(sizes) < 16 or any(a != b for a, b in zip(sizes, shape)):
        raise InputError(
            f"shape: three whole numbers of at least 16 are needed, not {tuple(shape)!r}."
        )
    return int(subjects), sizes, int(seed)


def _check_target(out: Path, overwrite: bool) -> None:
    """Refuses a folder that holds anything but, with ``overwrite``, a phantom cohort."""
    if is_empty_folder(out):
        return
    if not overwrite:
        raise InputError(f"{out}: already exists; choose another folder, or --overwrite.")
    try:
        generator = read_json(out / _DESCRIPTION)["GeneratedBy"][0]["Name"]
    except (OSError, ValueError, LookupError, TypeError):
        generator = None
    if generator != GENERATOR:
        raise InputError(
            f"{out} is not a phantom cohort; it is left as it is, name another folder."
        )


def _write_files(
    folder: Path, subjects: int, shape: Sequence[int], seed: int, progress: bool
) -> None:
    people: list[dict[str, object]] = []
    images: list[dict[str, str]] = []
    diagnoses = draw_diagnoses(seed, subjects)
    seeds = subject_seeds(seed, subjects)
    numbers = tqdm(
        range(subjects), desc="phantom", unit="subject", disable=None if progress else True
    )
    for number in numbers:
        name = f"sub-{number + 1:03d}"
        subject = make_subject(seeds[number], diagnoses[number], shape)
        images += _write_subject(folder, name, subject)
        people.append(
            {
                "participant_id": name,
                "diagnosis": diagnoses[number],
                "age": subject.age,
                "sex": subject.sex,
            }
        )
    _write_table(folder / "participants.tsv", people, "\t")
    _write_table(folder / "images.tsv", images, "\t")
    _write_description(folder, subjects, shape, seed)


def _write_subject(folder: Path, name: str, subject: Subject) -> list[dict[str, str]]:
    """Writes one subject's files and returns their rows of images.tsv."""
    rows: list[dict[str, str]] = []
    for phase in PHASES:
        row = {
            "participant_id": name,
            "phase": phase,
            "image": f"{name}/{name}_{phase}.nii.gz",
            "mask": f"{name}/{name}_{phase}_mask.nii.gz",
            "landmarks": f"{name}/{name}_{phase}_landmarks.csv",
            "truth": f"truth/{name}_displacement.nii.gz" if phase == "inhale" else "n/a",
        }
        affine = subject.frame(phase).affine
        image, mask = subject.image_and_mask(phase)
        _write_nifti(folder / row["image"], image, affine)
        _write_nifti(folder / row["mask"], mask, affine)
        _write_landmarks(folder / row["landmarks"], subject, phase)
        if phase == "inhale":
            _write_displacement(folder / row["truth"], subject.displacement(), affine)
        rows.append(row)
    return rows


def _write_nifti(
    path: Path, values: Array, affine: Array, intent: int | None = None, level: int = 6
) -> None:
    d, h, w = values.shape[:3]
    image = nifti_image(values, Frame((d, h, w), affine))
    if intent is not None:
        image.header.set_intent(intent)
    path.parent.mkdir(exist_ok=True)
    # No time and no name in the compressed file: the same image is the same bytes.
    path.write_bytes(gzip.compress(image.to_bytes(), compresslevel=level, mtime=0))


def _write_displacement(path: Path, displacement: Array, affine: Array) -> None:
    """(D, H, W, 3) LPS mm as a 5D vector image; rounded to 1/128 mm to compress far better."""
    rounded = (np.rint(displacement * 128) / 128).astype(np.float32)
    _write_nifti(path, rounded[:, :, :, None, :], affine, intent=1007, level=4)


def _write_landmarks(path: Path, subject: Subject, phase: str) -> None:
    names = subject.marks[0]
    rows = [
        {"name": name, **dict(zip("xyz", (f"{v:.3f}" for v in point))), "observer": observer}
        for observer, points in enumerate(subject.observed_landmarks(phase), start=1)
        for name, point in zip(names, points)
    ]
    _write_table(path, rows, ",")


def _write_table(path: Path, rows: Sequence[Mapping[str, object]], delimiter: str) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode())


def _write_description(folder: Path, subjects: int, shape: Sequence[int], seed: int) -> None:
    description = {
        "Name": "Synthetic phantom of breathing chests",
        "BIDSVersion": "n/a",
        "DatasetType": "synthetic phantom",
        "Description": "Computed images of invented chests. No patient is in this data set.",
        "GeneratedBy": [{"Name": GENERATOR, "Version": str(VERSION)}],
        "Parameters": {
            "subjects": subjects,
            "shape": list(shape),
            "seed": seed,
            "field_of_view_mm": list(FIELD_OF_VIEW),
        },
        "Truth": (
            "truth/*_displacement.nii.gz: u on the inhale grid, LPS mm, "
            "exhale(p + u(p)) shows the anatomy of inhale(p)"
        ),
    }
    (folder / _DESCRIPTION).write_bytes((json.dumps(description, indent=2) + "\n").encode())
